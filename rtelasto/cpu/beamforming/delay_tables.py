"""Delays, phases and weights of delay and sum, worked out once for a format.

A delay is the sum of three parts: what depends on the distance between line and element, and depth (the
rows of a table, one for each distance); what depends on the transmit's angle and depth; and a constant for
each line. Where lines lie at elements, a row serves every line, and the two elements at that distance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.apertures import apodisation
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.channel_baseband import PAD
from rtelasto.cpu.beamforming.line_format import line_positions, lines_of
from rtelasto.cpu.beamforming.pixel_grid import BLOCK, PixelGrid
from rtelasto.frames.channel import ChannelFormat, PlaneWave

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

_SQUARE = 8
_SAME_M = 1e-9  # distances that differ by less are one
# Of rows kept for all acquisitions together: beams on odd lines have few distances in common.
_MAX_BYTES = 1 << 27


@dataclass(frozen=True, slots=True, eq=False)
class DistanceRows:
    """What depends on the distance between line and element: a row for each.

    Attributes
    ----------
    late : float32 (n_rows, n_pixels)
        How much later the echo reaches the element than the line's own, in baseband samples, relative to
        the middle of each block of pixels.
    late_middle : float64 (n_rows, n_blocks)
        The same at the middle of each block.
    weight_real, weight_imag : float32 (n_rows, n_pixels)
        Apodisation times the turn of the carrier.
    weight : float32 (n_rows, n_pixels)
        Apodisation alone; 0 outside the aperture and above the array.
    first_block : int32 (n_rows,)
        The first block that reaches into the aperture.
    """

    late: Float32Array
    late_middle: Float64Array
    weight_real: Float32Array
    weight_imag: Float32Array
    weight: Float32Array
    first_block: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class TransmitDelays:
    """What one acquisition adds to which lines, when.

    Attributes
    ----------
    terms : int32 (n_terms, 4)
        Line (from the acquisition's first), row, and the two channels that the row serves there, the number
        of channels where there is only one.
    shift, shift_middle : float32 (n_pixels,), float64 (n_blocks,)
        As `DistanceRows.late`, what depends on the angle.
    line_shift : float64 (n_lines,)
        The constant of each line, in baseband samples; the zeros before the samples are counted in.
    turn : complex64 (n_pixels,)
        Turn of the carrier by angle and depth.
    line_turn : complex64 (n_lines,)
        And by line.
    """

    terms: NDArray[np.int32]
    shift: Float32Array
    shift_middle: Float64Array
    line_shift: Float64Array
    turn: NDArray[np.complex64]
    line_turn: NDArray[np.complex64]


def distance_rows(
    distance_m: Float64Array, channels: ChannelFormat, settings: BeamformSettings, grid: PixelGrid
) -> DistanceRows:
    """The rows of distances between line and element, (n_rows,)."""
    c, f_c = channels.sound_speed_m_s, channels.center_freq_hz
    dx, z = distance_m[:, None], grid.depth_m
    below = z > 0.0
    depth = np.where(below, z, 1.0)
    # √(dx² + z²) − z, without the difference of nearly equal numbers
    late_s = np.where(below, dx**2 / (np.hypot(dx, depth) + depth), 0.0) / c
    inside, weight = apodisation(settings.half_window(), settings.f_number, dx, z)
    inside, weight = below & inside, np.where(below, weight, 0.0)
    turn = weight * np.exp(2j * np.pi * (f_c * late_s))
    late, middle = _by_blocks(grid.fine_freq_hz * late_s)
    reached = np.any(inside.reshape(distance_m.size, -1, BLOCK), axis=2)
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1])
    return DistanceRows(
        late,
        middle,
        np.ascontiguousarray(turn.real, np.float32),
        np.ascontiguousarray(turn.imag, np.float32),
        weight.astype(np.float32),
        first.astype(np.int32),
    )


def transmit_delays(
    acquisition: int, distance_m: Float64Array, channels: ChannelFormat, grid: PixelGrid
) -> TransmitDelays:
    """The delays of an acquisition; its distances must be among ``distance_m``, which rise."""
    transmit, c = channels.transmits[acquisition], channels.sound_speed_m_s
    f_c, rate = channels.center_freq_hz, grid.fine_freq_hz
    chosen = lines_of(channels, acquisition)
    line_x_m, z = line_positions(channels)[chosen], grid.depth_m
    sine, cosine = 0.0, 1.0
    if isinstance(transmit, PlaneWave):
        sine, cosine = np.sin(transmit.angle_rad), np.cos(transmit.angle_rad)
    pixels = np.arange(z.size) * float(grid.fine_per_pixel)
    shift, shift_middle = _by_blocks(rate * z * (1.0 + cosine) / c - pixels)
    constant_s = transmit.origin_time_s + line_x_m * sine / c - channels.start_time_s
    return TransmitDelays(
        _terms(line_x_m, channels.channel_x_m(acquisition), distance_m),
        shift,
        shift_middle,
        rate * constant_s + PAD * grid.fine_per_pixel,
        np.exp(2j * np.pi * (f_c * z * (cosine - 1.0) / c)).astype(np.complex64),
        np.exp(2j * np.pi * (f_c * constant_s % 1.0)).astype(np.complex64),
    )


def distances_m(acquisitions: list[int], channels: ChannelFormat) -> Float64Array:
    """All distances between line and element of these acquisitions, rising."""
    found = [
        np.unique(
            _rounded(line_positions(channels)[lines_of(channels, a)], channels.channel_x_m(a))
        )
        for a in acquisitions
    ]
    return _SAME_M * np.unique(np.concatenate(found)).astype(np.float64)


def _rounded(line_x_m: Float64Array, channel_x_m: Float64Array) -> NDArray[np.int64]:
    return np.rint(np.abs(line_x_m[:, None] - channel_x_m) / _SAME_M).astype(np.int64)


def _terms(
    line_x_m: Float64Array, channel_x_m: Float64Array, distance_m: Float64Array
) -> NDArray[np.int32]:
    known = np.rint(distance_m / _SAME_M).astype(np.int64)
    rows = np.searchsorted(known, _rounded(line_x_m, channel_x_m))
    lines, channels = np.indices(rows.shape)
    silent = channel_x_m.size
    # In small squares of lines and rows, whose channels stay in the cache.
    squares = (rows.ravel() // _SQUARE, lines.ravel() // _SQUARE)
    order = np.lexsort((channels.ravel(), lines.ravel(), rows.ravel(), *squares))
    row, line, channel = rows.ravel()[order], lines.ravel()[order], channels.ravel()[order]
    again = np.zeros(row.size, bool)
    again[1:] = (row[1:] == row[:-1]) & (line[1:] == line[:-1])
    second = np.append(np.where(again[1:], channel[1:], silent), silent)
    terms = np.stack([line, row, channel, second], axis=1)[~again]
    return np.ascontiguousarray(terms, np.int32)


def _by_blocks(position: Float64Array) -> tuple[Float32Array, Float64Array]:
    """Positions relative to the middle of each block of pixels, and those middles."""
    blocks = position.reshape(*position.shape[:-1], -1, BLOCK)
    middle = 0.5 * (blocks[..., 0] + blocks[..., -1])
    relative = (blocks - middle[..., None]).reshape(position.shape)
    return np.ascontiguousarray(relative, np.float32), np.ascontiguousarray(middle)


class DelayTables:
    """The tables of every acquisition of a format; where they are many, made when they are asked for."""

    def __init__(
        self, channels: ChannelFormat, settings: BeamformSettings, grid: PixelGrid
    ) -> None:
        self._channels, self._settings, self._grid = channels, settings, grid
        every = list(range(channels.n_acquisitions))
        distance_m = distances_m(every, channels)
        n_bytes = 16 * distance_m.size * grid.depth_m.size
        self._rows: DistanceRows | None = None
        if n_bytes <= _MAX_BYTES:
            self._rows = distance_rows(distance_m, channels, settings, grid)
            self._sent = [transmit_delays(a, distance_m, channels, grid) for a in every]
            # Plane waves that the same elements receive have the same terms.
            shared = {first: self._sent[a].terms for a, first in enumerate(channels.first_elements)}
            if isinstance(channels.transmits[0], PlaneWave):
                self._sent = [
                    replace(sent, terms=shared[first])
                    for sent, first in zip(self._sent, channels.first_elements, strict=True)
                ]

    def of(self, acquisition: int) -> tuple[DistanceRows, TransmitDelays]:
        """The tables of an acquisition."""
        if self._rows is not None:
            return self._rows, self._sent[acquisition]
        distance_m = distances_m([acquisition], self._channels)
        return (
            distance_rows(distance_m, self._channels, self._settings, self._grid),
            transmit_delays(acquisition, distance_m, self._channels, self._grid),
        )
