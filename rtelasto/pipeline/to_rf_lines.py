"""Converts frames of any kind to RF lines: the stage between receiving and pairing."""

from __future__ import annotations

import logging
import time
from typing import Any

from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.iq import IqFormat, ScannerFrame
from rtelasto.frames.rf import RfFrame
from rtelasto.gpu.beamform import GpuBeamformer, mach_installed
from rtelasto.telemetry.counters import Counters

log = logging.getLogger(__name__)


class RfLines:
    """Beamforms channel data, remodulates IQ, and passes RF lines on unchanged.

    Delays and filters are computed once for every format; a change of format in the middle of a stream costs
    the time of one frame. A format that cannot become RF lines is a fault of the sender: its frames are
    counted as ``rf_lines.refused`` and dropped, and the reason is logged once.

    Parameters
    ----------
    settings
        How channel data are beamformed.
    counters
        Where to count.
    on_gpu
        Sum channel data on the GPU, where mach is installed; else on the CPU.
    """

    def __init__(
        self,
        settings: BeamformSettings | None = None,
        counters: Counters | None = None,
        *,
        on_gpu: bool = False,
    ) -> None:
        self.settings = settings or BeamformSettings()
        self.counters = counters if counters is not None else Counters()
        self.on_gpu = on_gpu and mach_installed()
        self.spent_ns = 0
        """Time taken to convert the last frame; 0 if it arrived as RF lines."""
        self._format: Any = None
        self._converter: Beamformer | GpuBeamformer | Remodulator | None = None

    def __call__(self, frame: ScannerFrame) -> RfFrame | None:
        """Return the frame as RF lines; None if its format cannot become RF lines."""
        self.spent_ns = 0
        if isinstance(frame, RfFrame):
            return frame
        started = time.perf_counter_ns()
        if frame.format != self._format:
            self._format, self._converter = frame.format, self._open(frame.format)
        if self._converter is None:
            self.counters.add("rf_lines.refused")
            return None
        lines = RfFrame(self._converter(frame.samples), self._converter.format, frame.stamp)
        self.spent_ns = time.perf_counter_ns() - started
        return lines

    def _open(
        self, scanner_format: ChannelFormat | IqFormat
    ) -> Beamformer | GpuBeamformer | Remodulator | None:
        try:
            if isinstance(scanner_format, IqFormat):
                return Remodulator(scanner_format, self.settings.samples_per_wavelength)
            beamformer = GpuBeamformer if self.on_gpu else Beamformer
            return beamformer(scanner_format, self.settings)
        except RtelastoError as error:
            log.warning("frames cannot become RF lines and are dropped: %s", error)
            return None
