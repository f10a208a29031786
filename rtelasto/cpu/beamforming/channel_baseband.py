"""Channel samples to baseband: the least-squares filters of `bandpass`, for the analytic signal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.bandpass import BandFilters
from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import FASTMATH, finite
from rtelasto.cpu.vector8 import LANES, all8, load8, store8
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel

GROUP = 2 * LANES  # channels filtered at once
PAD = 18  # groups of zeros before and at least behind the samples, so that readers may clamp their index


@dataclass(frozen=True, slots=True, eq=False)
class Baseband:
    """Filters from stored samples to baseband at any rate, the same for every channel.

    Attributes
    ----------
    taps : float32 (n_fine, n_taps, 2)
        Real and imaginary part of the filter for each baseband sample.
    first_tap : int32 (n_fine,)
        The stored sample that its first tap reads; may lie outside.
    phases
        Baseband sample n is kept as element n // phases of row n % phases.
    n_columns
        Elements of such a row, zeros included.
    """

    taps: NDArray[np.float32]
    first_tap: NDArray[np.int32]
    phases: int
    n_columns: int

    @classmethod
    def plan(cls, channels: ChannelFormat, fine_freq_hz: float, phases: int) -> Baseband:
        """The filters for a format. Times count from its first sample, and so does the carrier."""
        made = BandFilters.of(channels)
        group, spacing = made.group, made.spacing
        n_fine = 1 + math.floor(
            (channels.n_samples // group * spacing) * fine_freq_hz / channels.center_freq_hz
        )
        at = np.arange(n_fine) * (channels.center_freq_hz / fine_freq_hz)
        base = np.floor(at / spacing)
        within = at - base * spacing
        carrier = np.exp(-2j * np.pi * at)
        taps = made.analytic(within) * carrier
        table = np.stack([taps.real, taps.imag], axis=-1).transpose(1, 0, 2)
        return cls(
            np.ascontiguousarray(table, np.float32),
            (base * group + made.first_tap).astype(np.int32),
            phases,
            -(-n_fine // phases) + 3 * PAD,
        )

    def room(self, n_channels: int) -> Float32Image:
        """An array for the result, float32 (n_channels + 1, 2, phases, n_columns): the parts of each
        channel, and silence as the last."""
        return np.zeros((n_channels + 1, 2, self.phases, self.n_columns), np.float32)

    def __call__(self, samples: NDArray[np.generic], out: Float32Image) -> None:
        """Fill ``out`` (see `room`) from samples (n_channels, n_samples)."""
        n_groups = -(-samples.shape[0] // GROUP)
        over_lines(_demodulate, n_groups, samples, self.taps, self.first_tap, self.phases, PAD, out)


@kernel(fastmath=FASTMATH)
def _demodulate(samples, taps, first_tap, phases, pad, out, begin, end):  # type: ignore[no-untyped-def]
    n_channels, n_samples = samples.shape
    n_fine, n_taps, _ = taps.shape
    # Samples of the channels side by side, with as many zeros before and behind as a filter may read.
    tile = np.zeros((n_samples + 2 * n_taps + 2, GROUP), np.float32)
    real, imag = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    for group in range(begin, end):
        first_channel = GROUP * group
        n_here = min(GROUP, n_channels - first_channel)
        for c in range(n_here):
            source = samples[first_channel + c]
            for n in range(n_samples):
                tile[n_taps + n, c] = finite(source[n])
        if n_here < GROUP:
            tile[:, n_here:] = np.float32(0.0)
        for n in range(n_fine):
            # Beyond the ends of the samples the filters read zeros only.
            first = min(max(first_tap[n] + n_taps, 0), n_samples + n_taps + 2)
            place = GROUP * first
            p0 = all8(np.float32(0.0))
            p1, q0, q1 = p0, p0, p0
            for k in range(n_taps):
                x0, x1 = load8(tile, place + GROUP * k), load8(tile, place + GROUP * k + LANES)
                a, b = all8(taps[n, k, 0]), all8(taps[n, k, 1])
                p0 = p0 + a * x0
                p1 = p1 + a * x1
                q0 = q0 + b * x0
                q1 = q1 + b * x1
            store8(real, 0, p0)
            store8(real, LANES, p1)
            store8(imag, 0, q0)
            store8(imag, LANES, q1)
            row, column = n % phases, pad + n // phases
            for c in range(n_here):
                out[first_channel + c, 0, row, column] = real[c]
                out[first_channel + c, 1, row, column] = imag[c]
