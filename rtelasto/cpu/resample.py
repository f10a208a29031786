"""Resampling of RF frames: fractional lines laterally, band-limited fractional samples axially.

Global elongation and a change of sampling are both linear maps of depth, line by line, so that one pass over
the frame does both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.interpolation import (
    ALIAS_FREE_RATIO,
    LATERAL_TAPS,
    N_PHASES,
    POLYNOMIAL_PASS_EDGE,
    POLYNOMIAL_TAPS,
    axial_table,
    interpolation_table,
    lateral_table,
    polynomial_filters,
)
from rtelasto.frames.rf import Float32Image, Grid, RfFormat
from rtelasto.frames.strain import Elongation
from rtelasto.host.compiled import kernel

# Reassociation lets sums vectorise; NaNs keep their meaning, because samples may be NaN.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

VECTOR = 8
FAR = 1e9  # outputs or lines; with a drift close to 0 the length of a run would overflow an int
LARGEST = np.float32(3e38)  # values beyond this, and NaN, are read as 0
# Interpolating for smaller shifts loses as much correlation as leaving them uncorrected, and takes time.
# On pairs of a forearm, shifts of 0.15 to 0.22 lines are better left, and one of 0.24 is not.
NEGLIGIBLE_LINES = 0.2
# The same for a shear: the shift at either end that is left beside that at mid depth.
NEGLIGIBLE_SHEAR_LINES = 0.15


def engine_grid(rf_format: RfFormat, samples_per_wavelength: float | None) -> Grid:
    """Return the grid with this many samples per wavelength over the lines and depth span of a recording.

    Axial step = wavelength / (2 samples_per_wavelength) with wavelength = sound speed / centre
    frequency. None, or the sampling of the recording, gives the grid of the recording.
    """
    own = rf_format.grid
    if samples_per_wavelength is None:
        return own
    ratio = rf_format.samples_per_wavelength / samples_per_wavelength
    if abs(ratio - 1.0) * own.n_depths < 0.01:
        return own
    n_depths = int((own.n_depths - 1) / ratio + 1e-9) + 1
    return Grid(
        own.n_lines, n_depths, own.axial_step_m * ratio, own.line_pitch_m, own.start_depth_m
    )


@kernel(fastmath=FASTMATH)
def finite(value):  # type: ignore[no-untyped-def]
    single = np.float32(value)
    return single if abs(single) <= LARGEST else np.float32(0.0)


@kernel(fastmath=FASTMATH)
def _gather_line(samples, first_line, weights, out):  # type: ignore[no-untyped-def]
    """Compute out = the weighted sum of LATERAL_TAPS lines; samples that are not finite count as 0."""
    n_lines = samples.shape[0]
    last = n_lines - 1
    if weights[LATERAL_TAPS // 2 - 1] == 1.0:
        line = samples[min(max(first_line + LATERAL_TAPS // 2 - 1, 0), last)]
        for j in range(out.size):
            out[j] = finite(line[j])
        return
    w0, w1, w2, w3, w4, w5 = weights
    l0 = samples[min(max(first_line, 0), last)]
    l1 = samples[min(max(first_line + 1, 0), last)]
    l2 = samples[min(max(first_line + 2, 0), last)]
    l3 = samples[min(max(first_line + 3, 0), last)]
    l4 = samples[min(max(first_line + 4, 0), last)]
    l5 = samples[min(max(first_line + 5, 0), last)]
    for j in range(out.size):
        inner = w2 * finite(l2[j]) + w3 * finite(l3[j])
        outer = w1 * finite(l1[j]) + w4 * finite(l4[j])
        out[j] = inner + outer + (w0 * finite(l0[j]) + w5 * finite(l5[j]))


@kernel(fastmath=FASTMATH)
def run_length(fraction, drift, most):  # type: ignore[no-untyped-def]
    """Return after how many steps of ``drift``, of up to ``most``, a fraction of a step leaves 0 … 1."""
    if drift > 0.0:
        return min(most, int(min((1.0 - fraction) / drift, FAR)) + 1)
    if drift < 0.0:
        return min(most, int(min(fraction / -drift, FAR)) + 1)
    return most


@kernel(fastmath=FASTMATH)
def clear_beside(out, position, drift, n_lines):  # type: ignore[no-untyped-def]
    """Set out[j] to 0 where the line position + drift j lies more than half a line outside the frame."""
    end = position + drift * (out.size - 1)
    if min(position, end) < -0.5 or max(position, end) > n_lines - 0.5:
        for j in range(out.size):
            here = position + drift * j
            if here < -0.5 or here > n_lines - 0.5:
                out[j] = 0.0


@kernel(fastmath=FASTMATH)
def _gather_slanted(samples, position, drift, table, out):  # type: ignore[no-untyped-def]
    """Compute out[j] = the frame at the fractional line position + drift j, 0 more than half a line outside.

    ``table`` is a `lateral_table`; lines outside are replaced by the nearest one.
    Samples that are not finite count as 0.
    """
    n_lines, last = samples.shape[0], samples.shape[0] - 1
    n_phases = table.shape[0] - 1
    if not (abs(position) < FAR and abs(drift) < FAR):  # NaN included
        out[:] = 0.0
        return
    j = 0
    while j < out.size:  # in runs between the same lines
        base = math.floor(position + drift * j)
        fraction = position + drift * j - base
        run = run_length(fraction, drift, out.size - j)
        first = base - (LATERAL_TAPS // 2 - 1)
        l0 = samples[min(max(first, 0), last), j : j + run]
        l1 = samples[min(max(first + 1, 0), last), j : j + run]
        l2 = samples[min(max(first + 2, 0), last), j : j + run]
        l3 = samples[min(max(first + 3, 0), last), j : j + run]
        l4 = samples[min(max(first + 4, 0), last), j : j + run]
        l5 = samples[min(max(first + 5, 0), last), j : j + run]
        target = out[j : j + run]
        for k in range(run):
            phase = int((fraction + drift * k) * n_phases + 0.5)
            w = table[min(max(phase, 0), n_phases)]
            inner = w[2] * finite(l2[k]) + w[3] * finite(l3[k])
            outer = w[1] * finite(l1[k]) + w[4] * finite(l4[k])
            target[k] = inner + outer + (w[0] * finite(l0[k]) + w[5] * finite(l5[k]))
        j += run
    clear_beside(out, position, drift, n_lines)


@kernel(fastmath=FASTMATH)
def _readable(start, increment, n_samples, n_out):  # type: ignore[no-untyped-def]
    """Return the first and one past the last output whose position lies within half a sample of the line."""
    if not (increment > 0.0 and abs(start) < FAR):  # NaN included
        return 0, 0
    first = math.ceil(max((-0.5 - start) / increment, 0.0))
    last = math.floor(min(max((n_samples - 0.5 - start) / increment, -1.0), n_out - 1.0))
    return min(first, n_out), max(last + 1, min(first, n_out))


@kernel(fastmath=FASTMATH)
def _read_polynomial(buffer, pad, n_samples, start, increment, taps, out, n_out):  # type: ignore[no-untyped-def]
    """Compute out[j] = the buffered line at start + increment j, for increments near 1; 0 outside it.

    Where the base sample advances by one per output, the delay is linear in j and the loop over outputs
    vectorises. ``out`` is longer than ``n_out`` because runs are rounded up to whole vectors.
    """
    e0, e1, e2, e3, e4, e5 = taps[0]
    o0, o1, o2, o3, o4, o5 = taps[1]
    f0, f1, f2, f3, f4, f5 = taps[2]
    p0, p1, p2, p3, p4, p5 = taps[3]
    g0, g1, g2, g3, g4, g5 = taps[4]
    first, last = _readable(start, increment, n_samples, n_out)
    out[:first] = 0.0
    drift = increment - 1.0
    step = np.float32(drift)
    j = first
    while j < last:
        position = start + increment * j + pad
        base = int(position)
        fraction = position - base
        run = run_length(fraction, drift, last - j)
        n_read = (run + VECTOR - 1) // VECTOR * VECTOR
        s = buffer[base - 5 : base + 7 + n_read]
        o = out[j : j + n_read]
        delay = np.float32(fraction - 0.5)
        for k in range(n_read):
            d = delay + step * np.float32(np.int32(k))
            d2 = d * d
            a0, b0 = s[k] + s[k + 11], s[k] - s[k + 11]
            a1, b1 = s[k + 1] + s[k + 10], s[k + 1] - s[k + 10]
            a2, b2 = s[k + 2] + s[k + 9], s[k + 2] - s[k + 9]
            a3, b3 = s[k + 3] + s[k + 8], s[k + 3] - s[k + 8]
            a4, b4 = s[k + 4] + s[k + 7], s[k + 4] - s[k + 7]
            a5, b5 = s[k + 5] + s[k + 6], s[k + 5] - s[k + 6]
            even0 = e0 * a0 + e1 * a1 + e2 * a2 + e3 * a3 + e4 * a4 + e5 * a5
            even2 = f0 * a0 + f1 * a1 + f2 * a2 + f3 * a3 + f4 * a4 + f5 * a5
            even4 = g0 * a0 + g1 * a1 + g2 * a2 + g3 * a3 + g4 * a4 + g5 * a5
            odd1 = o0 * b0 + o1 * b1 + o2 * b2 + o3 * b3 + o4 * b4 + o5 * b5
            odd3 = p0 * b0 + p1 * b1 + p2 * b2 + p3 * b3 + p4 * b4 + p5 * b5
            o[k] = even0 + d2 * (even2 + d2 * even4) + d * (odd1 + d2 * odd3)
        j += run
    out[last:n_out] = 0.0


@kernel(fastmath=FASTMATH)
def _read_table(buffer, pad, n_samples, start, increment, table, out, n_out):  # type: ignore[no-untyped-def]
    """Compute out[j] = the buffered line at start + increment j, for any increment; 0 outside it."""
    n_phases, n_taps = table.shape[0] - 1, table.shape[1]
    before = n_taps // 2 - 1
    first, last = _readable(start, increment, n_samples, n_out)
    out[:first] = 0.0
    for j in range(first, last):
        position = start + increment * j + pad
        base = int(position)
        phase = int((position - base) * n_phases + 0.5)
        s = buffer[base - before : base - before + n_taps]
        h = table[phase]
        total = np.float32(0.0)
        for tap in range(n_taps):
            total += s[tap] * h[tap]
        out[j] = total
    out[last:n_out] = 0.0


@kernel(fastmath=FASTMATH)
def _resample(  # type: ignore[no-untyped-def]
    samples, position, shear, lateral, start, increment, table, polynomial, out
):
    """Compute every line of out; ``polynomial`` is whether ``table`` holds polynomial filters.

    Line i is read across the lines at position[i] + shear j, in depth at start[i] + increment[i] j;
    ``lateral`` is the table of filters across the lines.
    """
    n_lines = samples.shape[0]
    n_samples, n_out = samples.shape[1], out.shape[1]
    pad = POLYNOMIAL_TAPS if polynomial else table.shape[1]
    # A run starts before the end of the line and, at increments near 1, reads no further than its own
    # rounded-up length, at most n_out + VECTOR.
    buffer = np.zeros(n_samples + n_out + 2 * pad + VECTOR, np.float32)
    line = np.empty(n_out + VECTOR, np.float32)
    energy = 0.0
    for i in range(out.shape[0]):
        target = out[i]
        gathered = buffer[pad : pad + n_samples]
        if shear != 0.0:
            # Sample k of the frame is that of output j at k = start + increment j.
            drift = shear / increment[i]
            _gather_slanted(samples, position[i] - drift * start[i], drift, lateral, gathered)
        elif position[i] >= -0.5 and position[i] <= n_lines - 0.5:
            base = math.floor(position[i])
            weights = lateral[int(np.rint((position[i] - base) * (lateral.shape[0] - 1)))]
            _gather_line(samples, base - (LATERAL_TAPS // 2 - 1), weights, gathered)
        else:
            target[:] = 0.0
            continue
        if polynomial:
            _read_polynomial(buffer, pad, n_samples, start[i], increment[i], table, line, n_out)
        else:
            _read_table(buffer, pad, n_samples, start[i], increment[i], table, line, n_out)
        for j in range(n_out):
            target[j] = line[j]
            energy += line[j] * line[j]
    return energy


@kernel(fastmath=FASTMATH)
def _convert(samples, out):  # type: ignore[no-untyped-def]
    energy = 0.0
    for i in range(out.shape[0]):
        line, target = samples[i], out[i]
        for j in range(line.size):
            value = finite(line[j])
            target[j] = value
            energy += value * value
    return energy


def axial_filters(rf_format: RfFormat, ratio: float) -> tuple[NDArray[np.float32], bool]:
    """Return filters for reading at ``ratio`` samples per output, and whether they are polynomials."""
    table = axial_table(rf_format, ratio)
    if table is not None:
        return table, False
    if abs(ratio - 1.0) <= ALIAS_FREE_RATIO - 1.0:
        return polynomial_filters(), True
    return interpolation_table(POLYNOMIAL_TAPS, N_PHASES, POLYNOMIAL_PASS_EDGE), False


def readable(samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the samples in a layout and dtype for which the kernels are compiled, copied only if necessary.

    That is line by line in memory, in native byte order, and not float16 or long double.
    """
    dtype = samples.dtype
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray(samples, dtype=dtype.newbyteorder("="))


def resample_frame(
    samples: NDArray[np.generic],
    rf_format: RfFormat,
    grid: Grid,
    elongation: Elongation | None = None,
    *,
    out: Float32Image | None = None,
) -> tuple[Float32Image, float]:
    """Resample a frame onto another grid, warped by an elongation: out(x, z) = frame(x + v, z + u).

    Parameters
    ----------
    samples
        RF lines, (n_lines, n_samples) of ``rf_format``, any real dtype; samples that are not finite
        count as 0.
    rf_format
        Format of ``samples``.
    grid
        The output grid; it has the lines of the recording.
    elongation
        The motion (none if None): u and v are evaluated at the pixels of ``grid``.
    out
        Output array, float32 of ``grid.shape``; a new one if None.

    Returns
    -------
    out : float32 (n_lines, n_depths)
        0 where the position lies outside the recording.
    energy : float
        Sum of the squares of ``out``.
    """
    if out is None:
        out = np.empty(grid.shape, np.float32)
    samples = readable(samples)
    n_lines = grid.n_lines
    own_grid = grid == rf_format.grid
    if elongation is None and own_grid:
        return out, _convert(samples, out)
    motion = elongation or Elongation()
    x = grid.lateral_m
    strain = motion.axial_strain(x)
    offset_m = motion.axial_offset_m + motion.axial_tilt * x + strain * grid.start_depth_m
    start = offset_m / rf_format.axial_step_m
    ratio = grid.axial_step_m / rf_format.axial_step_m
    increment = ratio * (1.0 + strain)
    middle_m = np.asarray(grid.start_depth_m + 0.5 * (grid.n_depths - 1) * grid.axial_step_m)
    shear = motion.lateral_shear * grid.axial_step_m / grid.line_pitch_m
    if 0.5 * abs(shear) * (grid.n_depths - 1) < NEGLIGIBLE_SHEAR_LINES:
        # Use the shift at mid depth for all depths.
        shift = motion.lateral_displacement_m(x, middle_m) / grid.line_pitch_m
        shear = 0.0
    else:
        shift = motion.lateral_displacement_m(x, np.asarray(grid.start_depth_m)) / grid.line_pitch_m
    if shear == 0.0 and np.max(np.abs(shift)) < NEGLIGIBLE_LINES:
        shift = np.zeros(n_lines)
    table, polynomial = axial_filters(rf_format, ratio)
    position = np.arange(n_lines) + shift
    lateral = lateral_table()
    energy = _resample(samples, position, shear, lateral, start, increment, table, polynomial, out)
    return out, energy
