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


def upsampler(channel_format: ChannelFormat) -> Upsampler:
    """The filters for a format."""
    group = 2 if channel_format.sampling == "quadrature" else 1
    # Times in periods of the centre frequency, so that numbers are near 1.
    spacing = group * channel_format.center_freq_hz / channel_format.sampling_freq_hz
    n_phases = math.ceil(SAMPLES_PER_PERIOD * spacing)
    groups = np.arange(N_TAPS // group) - (N_TAPS // group // 2 - 1)
    within = np.arange(group) * 0.25
    taps = (groups[:, None] * spacing + within).ravel()
    wanted = np.arange(n_phases) / n_phases * spacing
    half_band = PASS * channel_format.half_band_hz / channel_format.center_freq_hz
    low, high = max(1.0 - half_band, LOWEST), 1.0 + half_band

    def cosines(lag: NDArray[np.float64]) -> NDArray[np.float64]:
        """∫ cos 2πf·lag df over the band."""
        return np.asarray(
            high * np.sinc(2.0 * high * lag) - low * np.sinc(2.0 * low * lag), np.float64
        )

    gram = cosines(taps[:, None] - taps[None, :])
    gram[np.diag_indices(N_TAPS)] += NOISE * (high - low)
    table = np.linalg.solve(gram, cosines(taps[:, None] - wanted[None, :]))
    return Upsampler(
        np.ascontiguousarray(table, np.float32),
        group,
        int(groups[0]) * group,
        channel_format.sampling_freq_hz * n_phases / group,
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
