"""Real RF at a fine rate from channel samples that may lie far apart.

Scanners store few samples per period: four (NS200BW), four thirds (BS67BW), or pairs a quarter of a
period apart, one pair every period (BS100BW) or every other (BS50BW). All of them determine an echo
whose spectrum lies within `ChannelFormat.half_band_hz` of its centre. A least-squares interpolator
over just that band restores it, whatever the sample times: for every fraction of a period the taps
that minimise the integrated squared error over the band (Laakso et al., "Splitting the unit delay",
IEEE Signal Processing Magazine 13(1), 1996, sec. 3; for pairs this is the second-order sampling of
A. Kohlenberg, J. Applied Physics 24, 1953).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH, finite
from rtelasto.frames.channel import ChannelFormat
from rtelasto.host.compiled import kernel

SAMPLES_PER_PERIOD = 32  # of the result: reading it linearly then errs by at most 0.5 %
N_TAPS = 24
PASS = 0.8  # of the half band; echoes leave its edges empty
LOWEST = 0.1  # of the centre frequency: what lies below is drift, not echo
NOISE = 1e-4  # how much white noise counts against errors in the band


@dataclass(frozen=True, slots=True, eq=False)
class Upsampler:
    """Interpolation filters from stored samples to fine ones.

    ``table`` is float32 (N_TAPS, n_phases): fine sample j of a stored group (one sample, or a pair)
    is the sum over k of table[k, j] times the stored sample ``first_tap`` + k after the group's
    first. ``group`` samples are stored and ``n_phases`` made for each group.
    """

    table: NDArray[np.float32]
    group: int
    first_tap: int
    sampling_freq_hz: float

    def fine_samples(self, n_samples: int) -> int:
        """How many fine samples a line of stored ones gives."""
        return n_samples // self.group * self.table.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class BandFilters:
    """Least-squares filters over the band of a format, for any time within a stored group.

    Times are in periods of the centre frequency, so that numbers are near 1.

    Attributes
    ----------
    group
        Stored samples that repeat: one, or a pair.
    spacing
        Time from a group to the next.
    taps
        Times of the samples that a filter reads, float64 (N_TAPS,), from the group's first.
    first_tap
        Which sample the first tap reads, from the group's first.
    low, high
        The band, over the centre frequency.
    """

    group: int
    spacing: float
    taps: NDArray[np.float64]
    first_tap: int
    low: float
    high: float

    @classmethod
    def of(cls, channel_format: ChannelFormat) -> BandFilters:
        """The filters for a format."""
        group = 2 if channel_format.sampling == "quadrature" else 1
        spacing = group * channel_format.center_freq_hz / channel_format.sampling_freq_hz
        groups = np.arange(N_TAPS // group) - (N_TAPS // group // 2 - 1)
        within = np.arange(group) * 0.25
        half_band = PASS * channel_format.half_band_hz / channel_format.center_freq_hz
        return cls(
            group,
            spacing,
            (groups[:, None] * spacing + within).ravel(),
            int(groups[0]) * group,
            max(1.0 - half_band, LOWEST),
            1.0 + half_band,
        )

    def real(self, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filters that give the echo at these times, (N_TAPS, n_wanted)."""
        return np.asarray(self._solve(self._cosines(self._lags(wanted))), np.float64)

    def analytic(self, wanted: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Filters that give the analytic signal of the echo at these times, (N_TAPS, n_wanted)."""
        lags = self._lags(wanted)
        return np.asarray(self._solve(self._cosines(lags) - 1j * self._sines(lags)))

    def _lags(self, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.taps[:, None] - wanted[None, :]

    def _solve(self, wanted: NDArray[Any]) -> NDArray[Any]:
        gram = self._cosines(self.taps[:, None] - self.taps[None, :])
        gram[np.diag_indices(N_TAPS)] += NOISE * (self.high - self.low)
        return np.asarray(np.linalg.solve(gram, wanted))

    def _cosines(self, lag: NDArray[np.float64]) -> NDArray[np.float64]:
        """∫ cos 2πf·lag df over the band."""
        high, low = self.high, self.low
        return np.asarray(
            high * np.sinc(2.0 * high * lag) - low * np.sinc(2.0 * low * lag), np.float64
        )

    def _sines(self, lag: NDArray[np.float64]) -> NDArray[np.float64]:
        """∫ sin 2πf·lag df over the band."""
        middle, width = self.high + self.low, self.high - self.low
        return np.asarray(width * np.sin(np.pi * middle * lag) * np.sinc(width * lag), np.float64)


def upsampler(channel_format: ChannelFormat) -> Upsampler:
    """The filters for a format."""
    made = BandFilters.of(channel_format)
    n_phases = math.ceil(SAMPLES_PER_PERIOD * made.spacing)
    table = made.real(np.arange(n_phases) / n_phases * made.spacing)
    return Upsampler(
        np.ascontiguousarray(table, np.float32),
        made.group,
        made.first_tap,
        channel_format.sampling_freq_hz * n_phases / made.group,
    )


@kernel(fastmath=FASTMATH)
def upsample(samples, table, group, first_tap, out, begin, end):  # type: ignore[no-untyped-def]
    """Fine RF of channels ``begin`` to ``end``: ``out`` is float32 (n_channels, 1 + n + 2).

    A zero stands before the fine samples and two behind them, so that a reader may clamp its index
    instead of asking at every sample whether it is inside.
    """
    n_samples = samples.shape[1]
    n_taps, n_phases = table.shape
    for c in range(begin, end):
        source, target = samples[c], out[c]
        target[:] = 0.0
        for p in range(n_samples // group):
            first = p * group + first_tap
            place = target[1 + p * n_phases : 1 + (p + 1) * n_phases]
            for k in range(max(0, -first), min(n_taps, n_samples - first)):
                value = finite(source[first + k])
                weights = table[k]
                for j in range(n_phases):
                    place[j] += value * weights[j]
