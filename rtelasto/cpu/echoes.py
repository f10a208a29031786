"""The echoes of an RF frame: its samples free of offset and hum, and 0 where nothing was recorded.

An offset of the receiver, hum, or rows filled with a constant are alike in any two frames and would
correlate at any motion. Everything that looks for motion therefore reads echoes instead of samples: each
line less its local mean, a triangular one over some wavelengths to either side. What lies above a third
of the centre frequency passes; what lies below a hundredth of it is 45 dB down.
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


# The loops over a line are functions of their own: only then does numba vectorise them.


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
    """values[i] = Σ over m of (half - |m - half + 1|) · values[i + m], m = 0 … 2 half - 2.

    Two sums of ``half`` values, a power of two, each made of sums of four or two of the sums before.
    Sums of 16-bit samples stay whole numbers up to 20 samples per wavelength. ``spare`` has the size of
    ``values``, whose last 2 half - 2 become meaningless.
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
    # Both sums take equally many steps, so that the last one ends in ``values``.


@kernel(fastmath=FASTMATH)
def _mark_fill(line, half, recorded):  # type: ignore[no-untyped-def]
    """recorded = 0 where ``half`` or more samples on end are equal, or all of them; whether there are any.

    Any such run holds a whole one of the stretches of half / 2 samples that are looked at; most of them
    differ in their first two samples.
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
    """line = source; how many of them are finite."""
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
def _free_with_holes(line, recorded, sums, weights, spare, half):  # type: ignore[no-untyped-def]
    """As `_subtract`, with the mean over what was recorded."""
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
def _free_lines(samples, half, whole_line, out):  # type: ignore[no-untyped-def]
    """out = samples less their local mean.

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
        _free_with_holes(line, recorded, sums, weights, spare, half)
        recorded[:] = 1.0


@lru_cache(maxsize=8)
def _whole_line(n_samples: int, half: int) -> NDArray[np.float32]:
    weights = np.zeros(n_samples + 2 * (half - 1), np.float32)
    weights[half - 1 : half - 1 + n_samples] = 1.0
    _triangular_sums(weights, np.empty_like(weights), half)
    return np.asarray(np.float32(1.0) / weights[:n_samples])


def echoes(samples: NDArray[np.generic], rf_format: RfFormat) -> Float32Image:
    """A frame less the local mean of each line, and 0 where nothing was recorded.

    Nothing was recorded where samples are not finite, and where so many on end are equal that no echo
    can have made them (about 4 wavelengths): beyond the field of view, in dead lines, in rows filled with a
    constant. The mean leaves these out.

    Parameters
    ----------
    samples
        RF lines, (n_lines, n_samples) of ``rf_format``, any real dtype.
    rf_format
        What ``samples`` is.

    Returns
    -------
    float32 (n_lines, n_samples), a new array
    """
    samples = readable(samples)
    half = mean_samples(rf_format.samples_per_wavelength)
    out = np.empty(samples.shape, np.float32)
    whole_line = _whole_line(samples.shape[1], half)
    _free_lines(samples, half, whole_line, out)
    return out
