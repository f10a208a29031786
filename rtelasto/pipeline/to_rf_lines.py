"""Whatever a scanner sends, as RF lines: the stage between receiving and pairing."""

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
    """Channel data beamformed, IQ remodulated, RF lines as they are.

    Delays and filters are worked out once for every format; a change of format in mid-stream costs
    one frame's time. A format that cannot become RF lines is a fault of the sender: its frames are
    counted as ``rf_lines.refused`` and dropped, the reason is logged once.

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
        """How long the last frame took to convert; 0 where it came as RF lines."""
        self._format: Any = None
        self._converter: Beamformer | Remodulator | None = None

    def __call__(self, frame: ScannerFrame) -> RfFrame | None:
        """The frame as RF lines; None where its format cannot become any."""
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

    def _open(self, scanner_format: ChannelFormat | IqFormat) -> Beamformer | Remodulator | None:
        try:
            if isinstance(scanner_format, IqFormat):
                return Remodulator(scanner_format, self.settings.samples_per_wavelength)
            beamformer = GpuBeamformer if self.on_gpu else Beamformer
            return beamformer(scanner_format, self.settings)
        except RtelastoError as error:
            log.warning("frames cannot become RF lines and are dropped: %s", error)
            return None
