"""The echoes of an RF frame: its samples without offset and hum, and 0 where nothing was recorded.

An offset of the receiver, hum, or rows filled with a constant are the same in any two frames and would
correlate at any motion. All motion estimation therefore uses echoes instead of samples: each line minus its
local mean, a triangular average over several wavelengths on either side. Frequencies above a third of the
centre frequency pass; those below a hundredth of it are attenuated by 45 dB.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH, LARGEST, readable
from rtelasto.frames.rf import Float32Image, RfFormat
from rtelasto.host.compiled import kernel

MEAN_WAVELENGTHS = 4.0


def mean_samples(samples_per_wavelength: float) -> int:
    """Half the length of the local mean in samples: about 4 wavelengths, a power of two."""
    wanted: float = math.log2(MEAN_WAVELENGTHS * samples_per_wavelength)
    return int(2 ** round(wanted))


# The loops over a line are separate functions: only then does numba vectorise them.


@kernel(fastmath=FASTMATH)
def _sums_of_four(source, apart, target):  # type: ignore[no-untyped-def]
    size = target.size
    s0, s1 = source[:size], source[apart : apart + size]
    s2, s3 = source[2 * apart : 2 * apart + size], source[3 * apart : 3 * apart + size]
    for i in range(target.size):
        target[i] = (s0[i] + s1[i]) + (s2[i] + s3[i])


@kernel(fastmath=FASTMATH)
def _sums_of_two(source, apart, target):  # type: ignore[no-untyped-def]
    size = target.size
    s0, s1 = source[:size], source[apart : apart + size]
    for i in range(target.size):
        target[i] = s0[i] + s1[i]


@kernel()
def _triangular_sums(values, spare, half):  # type: ignore[no-untyped-def]
    """Compute values[i] = Σ over m of (half - |m - half + 1|) · values[i + m], m = 0 … 2 half - 2.

    This is two running sums of ``half`` values, a power of two, each built from sums of four or two earlier
    sums. Sums of 16-bit samples remain whole numbers up to 20 samples per wavelength. ``spare`` has the size
    of ``values``; the last 2 half - 2 elements of ``values`` are undefined afterwards.
    """
    size, in_values = values.size, True
    for _ in range(2):
        apart = 1
        while apart < half:
            many = 4 if 4 * apart <= half else 2
            size -= (many - 1) * apart
            if many == 4 and in_values:
                _sums_of_four(values, apart, spare[:size])
            elif many == 4:
                _sums_of_four(spare, apart, values[:size])
            elif in_values:
                _sums_of_two(values, apart, spare[:size])
            else:
                _sums_of_two(spare, apart, values[:size])
            apart *= many
            in_values = not in_values
    # Both sums take the same number of steps, so that the last result is in ``values``.


@kernel(fastmath=FASTMATH)
def _mark_fill(line, half, recorded):  # type: ignore[no-untyped-def]
    """Set recorded = 0 in runs of ``half`` or more equal samples, or if all are equal.

    Returns whether there are any. Every such run contains a complete section of half / 2 samples. The
    sections are checked one by one; most of them differ in their first two samples.
    """
    found = False
    n = line.size
    longest = min(half, n)
    stretch = max(1, longest // 2)
    begin = 0
    while begin + stretch <= n:
        end = begin + 1
        while end < n and line[end] == line[begin]:
            end += 1
        if end - begin >= stretch:
            first = begin
            while first > 0 and line[first - 1] == line[begin]:
                first -= 1
            if end - first >= longest:
                recorded[first:end] = 0.0
                found = True
        begin += max(stretch, (end - begin) // stretch * stretch)
    return found


@kernel(fastmath=FASTMATH)
def _convert(source, line):  # type: ignore[no-untyped-def]
    """Copy source to line and return how many samples are finite."""
    n_finite = 0
    for j in range(line.size):
        value = np.float32(source[j])
        line[j] = value
        n_finite += abs(value) <= LARGEST
    return n_finite


@kernel(fastmath=FASTMATH)
def _copy(source, target):  # type: ignore[no-untyped-def]
    for j in range(target.size):
        target[j] = source[j]


@kernel(fastmath=FASTMATH)
def _subtract(line, sums, whole_line):  # type: ignore[no-untyped-def]
    for j in range(line.size):
        line[j] -= sums[j] * whole_line[j]


@kernel(fastmath=FASTMATH)
def _subtract_recorded_mean(line, recorded, sums, weights, spare, half):  # type: ignore[no-untyped-def]
    """Do the same as `_subtract`, with the mean over the recorded samples only."""
    n, first = line.size, half - 1
    weights[:] = 0.0
    for j in range(n):
        if recorded[j] == 0.0:
            line[j] = 0.0
        sums[first + j] = line[j]
        weights[first + j] = recorded[j]
    _triangular_sums(sums, spare, half)
    _triangular_sums(weights, spare, half)
    for j in range(n):
        if recorded[j] != 0.0:
            line[j] -= sums[j] / weights[j]


@kernel(fastmath=FASTMATH)
def _subtract_local_means(samples, half, whole_line, out):  # type: ignore[no-untyped-def]
    """Compute out = samples minus their local mean.

    ``whole_line`` is 1 / the sum of the weights where the whole line was recorded.
    """
    n = samples.shape[1]
    first = half - 1
    sums = np.empty(n + 2 * first, np.float32)
    weights, spare = np.empty_like(sums), np.empty_like(sums)
    recorded = np.ones(n, np.float32)
    for i in range(samples.shape[0]):
        line = out[i]
        n_finite = _convert(samples[i], line)
        has_fill = _mark_fill(line, half, recorded)
        sums[:first] = 0.0
        sums[first + n :] = 0.0
        if n_finite == n and not has_fill:
            _copy(line, sums[first : first + n])
            _triangular_sums(sums, spare, half)
            _subtract(line, sums, whole_line)
            continue
        for j in range(n):
            if not abs(line[j]) <= LARGEST:
                recorded[j] = 0.0
        _subtract_recorded_mean(line, recorded, sums, weights, spare, half)
        recorded[:] = 1.0


@lru_cache(maxsize=8)
def _whole_line(n_samples: int, half: int) -> NDArray[np.float32]:
    weights = np.zeros(n_samples + 2 * (half - 1), np.float32)
    weights[half - 1 : half - 1 + n_samples] = 1.0
    _triangular_sums(weights, np.empty_like(weights), half)
    return np.asarray(np.float32(1.0) / weights[:n_samples])


def echoes(samples: NDArray[np.generic], rf_format: RfFormat) -> Float32Image:
    """Return a frame minus the local mean of each line, and 0 where nothing was recorded.

    Samples that are not finite count as not recorded, and so do runs of equal samples too long for an echo
    (about 4 wavelengths): beyond the field of view, in dead lines, in rows filled with a constant. The mean
    excludes them.

    Parameters
    ----------
    samples
        RF lines, (n_lines, n_samples) of ``rf_format``, any real dtype.
    rf_format
        Format of ``samples``.

    Returns
    -------
    float32 (n_lines, n_samples), a new array
    """
    samples = readable(samples)
    half = mean_samples(rf_format.samples_per_wavelength)
    out = np.empty(samples.shape, np.float32)
    whole_line = _whole_line(samples.shape[1], half)
    _subtract_local_means(samples, half, whole_line, out)
    return out
