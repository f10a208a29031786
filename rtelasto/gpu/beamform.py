"""Delay-and-sum beamforming of channel data on a GPU by mach, with the contract of `rtelasto.cpu.beamform`.

mach (https://github.com/Forest-Neurotech/mach) sums over the aperture on the device, at every RF sample, from
RF that the CPU upsamples to a fine rate. The grid, the arrival times of the transmits and the weights are the
same as in the CPU's beamformer, so that both give the same lines. mach tapers the aperture by a Tukey window,
which covers three of the CPU's windows exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.apertures import arrival_s, inverse_weights
from rtelasto.cpu.beamforming.bandpass import upsample, upsampler
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.line_format import line_format, line_positions, lines_of, too_many
from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import readable
from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.rf import Float32Image, check_shape
from rtelasto.gpu.probe import installed

# 512 MiB of restored RF: far above any scanner's, far below what a wrong header could ask for.
_MAX_FINE_SAMPLES = 1 << 27
TUKEY_ALPHA = {"boxcar": 0.0, "tukey": 0.5, "hann": 1.0}


def mach_installed() -> bool:
    """Return whether the libraries for beamforming on a GPU are installed."""
    return installed("mach")


class GpuBeamformer:
    """`rtelasto.cpu.beamform.Beamformer` with sums that run on the GPU.

    Attributes
    ----------
    format : RfFormat
        What the RF lines are.

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

        self.channel_format = channel_format
        self.settings = settings or BeamformSettings()
        if self.settings.window not in TUKEY_ALPHA:
            raise RtelastoError(
                f"window must be one of {', '.join(TUKEY_ALPHA)} on a GPU, got "
                f"{self.settings.window!r}"
            )
        self.format = line_format(channel_format, self.settings)
        self._upsampler = upsampler(channel_format)
        n_fine = self._upsampler.fine_samples(channel_format.n_samples)
        if n_fine * channel_format.n_channels > _MAX_FINE_SAMPLES:
            raise too_many(channel_format)
        self._fine = np.empty((channel_format.n_channels, n_fine + 3), np.float32)
        self._line_x_m = line_positions(channel_format)
        self._depth_m = self.format.grid.depth_m
        self._gain = inverse_weights(channel_format, self.settings, self._depth_m)
        self._mach: Any = beamform
        self._linear: Any = InterpolationType.Linear

    def __call__(self, samples: NDArray[np.generic]) -> Float32Image:
        """RF lines of one frame, as `Beamformer` gives them."""
        channels, made = self.channel_format, self._upsampler
        check_shape(samples, channels.sizes)
        lines = np.zeros((self.format.n_lines, self.format.n_samples), np.float32)
        for acquisition in range(channels.n_acquisitions):
            over_lines(
                upsample,
                channels.n_channels,
                readable(samples[acquisition]),
                made.table,
                made.group,
                made.first_tap,
                self._fine,
            )
            self._add(acquisition, lines[lines_of(channels, acquisition)])
        lines *= self._gain
        return lines

    def _add(self, acquisition: int, lines: Float32Image) -> None:
        """Add what the fine samples of an acquisition say of its lines."""
        channels, rate = self.channel_format, self._upsampler.sampling_freq_hz
        line_x_m = self._line_x_m[lines_of(channels, acquisition)]
        points = np.zeros((*lines.shape, 3), np.float32)
        points[..., 0] = line_x_m[:, None]
        points[..., 2] = self._depth_m
        channel_x_m = channels.channel_x_m(acquisition)
        elements = np.zeros((channel_x_m.size, 3), np.float32)
        elements[:, 0] = channel_x_m
        sent_s = arrival_s(channels, acquisition, line_x_m, self._depth_m)
        summed = self._mach(
            channel_data=self._fine[..., None],
            rx_coords_m=elements,
            scan_coords_m=points.reshape(-1, 3),
            tx_wave_arrivals_s=sent_s.astype(np.float32).ravel(),
            # In fine samples, counted from the zero before the first one.
            rx_start_s=channels.start_time_s - 1.0 / rate,
            sampling_freq_hz=rate,
            f_number=self.settings.f_number,
            sound_speed_m_s=channels.sound_speed_m_s,
            tukey_alpha=TUKEY_ALPHA[self.settings.window],
            interp_type=self._linear,
        )
        lines += np.asarray(summed, np.float32).reshape(lines.shape)
