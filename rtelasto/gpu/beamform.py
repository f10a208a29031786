"""Delay-and-sum beamforming of channel data on a GPU by mach, with the contract of `rtelasto.cpu.beamform`.

mach (https://github.com/Forest-Neurotech/mach) sums over the aperture on the device. Upsampling to fine RF,
the grid, the arrival times of the transmits and the division by the weights are the code of the CPU, so that
both give the same lines. mach tapers the aperture by a Tukey window, which covers three of the CPU's windows
exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.rf import Float32Image
from rtelasto.gpu.probe import installed

TUKEY_ALPHA = {"boxcar": 0.0, "tukey": 0.5, "hann": 1.0}


def mach_installed() -> bool:
    """Return whether the libraries for beamforming on a GPU are installed."""
    return installed("mach")


class GpuBeamformer(Beamformer):
    """A `Beamformer` whose sums run on the GPU.

    Raises
    ------
    MissingExtraError
        If mach is not installed.
    RtelastoError
        As for `Beamformer`, or if mach does not have the window.
    """

    def __init__(
        self, channel_format: ChannelFormat, settings: BeamformSettings | None = None
    ) -> None:
        if not mach_installed():
            raise MissingExtraError("beamforming on the GPU", "mach")
        from mach.kernel import InterpolationType, beamform

        super().__init__(channel_format, settings)
        if self.settings.window not in TUKEY_ALPHA:
            raise RtelastoError(
                f"window must be one of {', '.join(TUKEY_ALPHA)} on a GPU, got "
                f"{self.settings.window!r}"
            )
        self._mach: Any = beamform
        self._linear: Any = InterpolationType.Linear

    def _sum(self, acquisition: int, chosen: slice, lines: Float32Image) -> None:
        line_x_m = self._line_x_m[chosen]
        shape = (line_x_m.size, self.format.n_samples)
        points = np.zeros((*shape, 3), np.float32)
        points[..., 0] = line_x_m[:, None]
        points[..., 2] = self._depth_m
        channel_x_m = self.channel_format.channel_x_m(acquisition)
        elements = np.zeros((channel_x_m.size, 3), np.float32)
        elements[:, 0] = channel_x_m
        made = self._upsampler
        summed = self._mach(
            channel_data=self._fine[..., None],
            rx_coords_m=elements,
            scan_coords_m=points.reshape(-1, 3),
            tx_wave_arrivals_s=self._arrival_s(acquisition, line_x_m).astype(np.float32).ravel(),
            # In fine samples, counted from the zero before the first one.
            rx_start_s=self.channel_format.start_time_s - 1.0 / made.sampling_freq_hz,
            sampling_freq_hz=made.sampling_freq_hz,
            f_number=self.settings.f_number,
            sound_speed_m_s=self.channel_format.sound_speed_m_s,
            tukey_alpha=TUKEY_ALPHA[self.settings.window],
            interp_type=self._linear,
        )
        lines[chosen] += np.asarray(summed, np.float32).reshape(shape)
