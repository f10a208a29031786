"""Channel data to RF lines: delay and sum on the CPU.

Every pixel sums what each element received when the echo from there came back: the transmit's
arrival at the pixel plus the way to the element. The sums are made in baseband, where pixels may lie far
apart (`beamforming.pixel_grid`); the lines hold the real RF itself, not its envelope, on the carrier of the
echo, so that they are what the pipeline pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.channel_baseband import Baseband
from rtelasto.cpu.beamforming.delay_tables import DelayTables
from rtelasto.cpu.beamforming.line_format import line_format, line_positions, lines_of, too_many
from rtelasto.cpu.beamforming.pixel_grid import UP_PASS, UP_TAPS, PixelGrid, pixel_grid
from rtelasto.cpu.beamforming.summing import add_weights, sum_terms, to_rf
from rtelasto.cpu.interpolation import interpolation_table
from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import VECTOR, readable
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.rf import Float32Image, RfFormat, check_shape

# 256 MiB of baseband: far above any scanner's, far below what a wrong header could ask for.
_MAX_BYTES = 1 << 28
_MAX_PAIRS = 1 << 22  # of a line and a channel, for the same reason


class Beamformer:
    """Delay and sum for one format of channel data: plane waves, their angles compounded, or the
    focused lines of a walking aperture.

    Parameters
    ----------
    channel_format
        What the channel data are.
    settings
        Aperture, apodisation and grid.

    Attributes
    ----------
    format : RfFormat
        What the RF lines are. Plane waves give a line at every element that received in all
        acquisitions; focused beams one line each. Lateral positions of an `RfFormat` count from the
        middle of its image.

    Raises
    ------
    RtelastoError
        If the samples cover no depth or more than fits an `RfFormat`, are too many, or if focused
        beams do not lie evenly.
    """

    def __init__(
        self, channel_format: ChannelFormat, settings: BeamformSettings | None = None
    ) -> None:
        self.channel_format = channel_format
        self.settings = settings or BeamformSettings()
        self.format = line_format(channel_format, self.settings)
        self._grid = pixel_grid(channel_format, self.settings, self.format)
        _check_size(channel_format, self.format, self._grid)
        self._baseband = Baseband.plan(
            channel_format, self._grid.fine_freq_hz, self._grid.fine_per_pixel
        )
        self._base = self._baseband.room(channel_format.n_channels)
        shape = (self.format.n_lines, self._grid.depth_m.size)
        self._real, self._imag = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._total_real, self._total_imag = np.empty_like(self._real), np.empty_like(self._real)
        self._tables = DelayTables(channel_format, self.settings, self._grid)
        self._gain = self._inverse_weights()
        self._first_sample = self._first_samples()
        self._taps, self._carrier = _up_mix(self._grid, self.format.grid.depth_m, channel_format)

    def __call__(self, samples: NDArray[np.generic]) -> Float32Image:
        """Beamform one frame.

        Parameters
        ----------
        samples
            Channel data (n_acquisitions, n_channels, n_samples), any real dtype; samples that are
            not finite count as 0.

        Returns
        -------
        lines : float32 (n_lines, n_samples) of ``format``
            In the units of the channel data: a weighted mean over the elements of the aperture and
            over the acquisitions of a plane-wave frame.
        """
        channels = self.channel_format
        check_shape(samples, channels.sizes)
        self._total_real[:] = 0.0
        self._total_imag[:] = 0.0
        for acquisition in range(channels.n_acquisitions):
            self._baseband(readable(samples[acquisition]), self._base)
            self._add(acquisition)
        lines = np.empty((self.format.n_lines, self.format.n_samples), np.float32)
        over_lines(
            to_rf,
            self.format.n_lines,
            self._total_real,
            self._total_imag,
            self._gain,
            self._taps,
            self._carrier[0],
            self._carrier[1],
            self._first_sample,
            self._grid.first,
            lines,
        )
        return lines

    def _add(self, acquisition: int) -> None:
        """Add one acquisition to the lines that it bears on."""
        rows, sent = self._tables.of(acquisition)
        chosen = lines_of(self.channel_format, acquisition)
        over_lines(
            sum_terms,
            sent.line_shift.size,
            self._base,
            sent.terms,
            rows.late,
            rows.late_middle,
            rows.weight_real,
            rows.weight_imag,
            rows.first_block,
            sent.shift,
            sent.shift_middle,
            sent.line_shift,
            sent.turn,
            sent.line_turn,
            self._real[chosen],
            self._imag[chosen],
            self._total_real[chosen],
            self._total_imag[chosen],
        )

    def _inverse_weights(self) -> Float32Image:
        """One over the sum of weights that each pixel gets, (n_lines, n_pixels); 0 where none."""
        channels = self.channel_format
        total = np.zeros_like(self._real)
        for acquisition in range(channels.n_acquisitions):
            rows, sent = self._tables.of(acquisition)
            chosen = total[lines_of(channels, acquisition)]
            add_weights(sent.terms, rows.weight, channels.n_channels, chosen)
        return np.divide(1.0, total, out=np.zeros_like(total), where=total > 0.0)

    def _first_samples(self) -> NDArray[np.int64]:
        """The first sample of each line that lies in an aperture, (n_lines,)."""
        channels, grid = self.channel_format, self.format.grid
        line_x_m = line_positions(channels)
        nearest_m = np.full(line_x_m.size, np.inf)
        for acquisition in range(channels.n_acquisitions):
            chosen = lines_of(channels, acquisition)
            away_m = np.abs(line_x_m[chosen, None] - channels.channel_x_m(acquisition))
            nearest_m[chosen] = np.minimum(nearest_m[chosen], away_m.min(axis=1))
        above_m = 2.0 * self.settings.f_number * nearest_m - grid.start_depth_m
        first = np.ceil(above_m / grid.axial_step_m - 1e-6)
        return np.clip(first, 0, grid.n_depths).astype(np.int64)


def _check_size(channels: ChannelFormat, rf_format: RfFormat, grid: PixelGrid) -> None:
    duration_s = channels.end_time_s - channels.start_time_s
    n_bytes = 8.0 * channels.n_channels * duration_s * grid.fine_freq_hz
    if n_bytes > _MAX_BYTES or rf_format.n_lines * channels.n_channels > _MAX_PAIRS:
        raise too_many(channels)


def _up_mix(
    grid: PixelGrid, depth_m: NDArray[np.float64], channels: ChannelFormat
) -> tuple[Float32Image, Float32Image]:
    """Filters from pixels to RF samples, and the carrier at these: (rf_per_pixel, n_taps) and
    (2, rf_per_pixel, n_columns), a multiple of eight columns."""
    per_pixel = grid.rf_per_pixel
    n_columns = VECTOR * -(-depth_m.size // (per_pixel * VECTOR))
    samples = np.arange(n_columns) * per_pixel + np.arange(per_pixel)[:, None]
    step_m = depth_m[1] - depth_m[0] if depth_m.size > 1 else 0.0
    cycles = (
        2.0 * channels.center_freq_hz / channels.sound_speed_m_s * (depth_m[0] + step_m * samples)
    )
    turn = np.exp(2j * np.pi * (cycles % 1.0))
    carrier = np.stack([turn.real, turn.imag]).astype(np.float32)
    if per_pixel == 1:
        return np.ones((1, 1), np.float32), carrier
    return interpolation_table(UP_TAPS, per_pixel, UP_PASS)[:-1], carrier
