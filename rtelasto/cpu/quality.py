"""The quality map: how well the two frames of a pair agree after removal of all estimated motion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import FASTMATH
from rtelasto.frames.rf import Float32Image
from rtelasto.frames.strain import ResidualMotion, StretchedPair
from rtelasto.host.compiled import kernel

WINDOW_WAVELENGTHS = 3.0
# Stretched pairs have a joint RMS of 1: windows 100 dB below that contain no echo.
POWER_FLOOR = 1e-10


@kernel(fastmath=FASTMATH)
def _interpolate_rows(residual, first_row, rows_per_sample, moved):  # type: ignore[no-untyped-def]
    """Compute moved[j] = the residual (in samples) at sample j, linear between rows, constant beyond them."""
    n_rows, n_samples = residual.size, moved.size
    step = 1.0 / rows_per_sample
    begin = min(max(math.ceil(first_row), 0), n_samples)
    moved[:begin] = residual[0]
    for k in range(n_rows - 1):
        end = min(max(math.ceil(first_row + (k + 1) * step), 0), n_samples)
        at_row, change = residual[k], np.float32((residual[k + 1] - residual[k]) * rows_per_sample)
        from_row = np.float32(begin - (first_row + k * step))
        for j in range(end - begin):
            moved[begin + j] = at_row + (from_row + np.float32(j)) * change
        begin = end
    moved[begin:] = residual[n_rows - 1]


@kernel(fastmath=FASTMATH)
def _read_moved(moved, padded, n_samples, values, inside):  # type: ignore[no-untyped-def]
    """Read the line at j + moved[j] into values[j] and set inside[j] = 1, or set both to 0.

    Both are 0 where the position is outside or NaN. Interpolation is four-point cubic convolution (Keys,
    IEEE Trans. ASSP 29(6), 1981).

    ``padded`` holds the line from index 1 on. Only the residual is split into whole and fractional part,
    which keeps its precision. The cast truncates, so it is applied to a positive number.
    """
    largest = np.float32(16384.0)
    half = np.float32(0.5)
    for j in range(n_samples):
        r = moved[j]
        whole = np.int32(min(max(r, -largest), largest) + largest) - np.int32(largest)
        position = np.int32(j) + whole
        f = r - np.float32(whole)
        ok = (position >= 0) & (np.float32(position) + f <= np.float32(n_samples - 1))
        k = np.uint32(min(max(position, np.int32(0)), np.int32(n_samples - 1)))
        s0, s1 = padded[k], padded[k + np.uint32(1)]
        s2, s3 = padded[k + np.uint32(2)], padded[k + np.uint32(3)]
        c1 = half * (s2 - s0)
        c2 = s0 - np.float32(2.5) * s1 + np.float32(2.0) * s2 - half * s3
        c3 = half * (s3 - s0) + np.float32(1.5) * (s1 - s2)
        value = s1 + f * (c1 + f * (c2 + f * c3))
        values[j] = value if ok else np.float32(0.0)
        inside[j] = np.float32(1.0) if ok else np.float32(0.0)


@kernel(fastmath=FASTMATH)
def _line_sums(  # type: ignore[no-untyped-def]
    pre, post, residual, first_row, rows_per_sample, half_window, work, running, sums
):
    """Compute sums[row] = Σ pre·post, Σ pre², Σ post² over the axial window around each row of one line.

    Samples whose motion leads outside are ignored; a row whose motion leads outside is marked by Σ pre² = -1.
    """
    n_samples, n_rows = pre.size, residual.size
    moved, values, inside, padded = work[0], work[1], work[2], work[3]
    _interpolate_rows(residual, first_row, rows_per_sample, moved[:n_samples])
    padded[1 : n_samples + 1] = post
    padded[0], padded[n_samples + 1 : n_samples + 3] = post[0], post[n_samples - 1]
    _read_moved(moved, padded, n_samples, values, inside)
    cross, energy_pre, energy_post = 0.0, 0.0, 0.0
    for j in range(n_samples):
        a, b = pre[j] * inside[j], values[j]
        cross += a * b
        energy_pre += a * a
        energy_post += b * b
        running[j + 1, 0] = cross
        running[j + 1, 1] = energy_pre
        running[j + 1, 2] = energy_post
    rows_step = 1.0 / rows_per_sample
    for row in range(n_rows):
        centre = first_row + row * rows_step
        position = centre + residual[row]
        if not (0.0 <= position <= n_samples - 1.0 and 0.0 <= centre <= n_samples - 1.0):
            sums[row, 0], sums[row, 1], sums[row, 2] = 0.0, -1.0, 0.0
            continue
        middle = int(centre + 0.5)
        low, high = max(middle - half_window, 0), min(middle + half_window + 1, n_samples)
        for q in range(3):
            sums[row, q] = running[high, q] - running[low, q]


@kernel(fastmath=FASTMATH)
def _window_sums(  # type: ignore[no-untyped-def]
    pre, post, residual, first_row, rows_per_sample, half_window, sums, begin, end
):
    """Compute `_line_sums` for lines begin … end."""
    n_samples = pre.shape[1]
    work = np.zeros((4, n_samples + 4), np.float32)
    running = np.zeros((n_samples + 1, 3), np.float64)
    for i in range(begin, end):
        _line_sums(
            pre[i],
            post[i],
            residual[i],
            first_row,
            rows_per_sample,
            half_window,
            work,
            running,
            sums[i],
        )


@kernel(fastmath=FASTMATH)
def _correlation(sums, floor, out, begin, end):  # type: ignore[no-untyped-def]
    """Compute the correlation of lines begin … end from the sums of each line and its two neighbours."""
    n_lines, n_rows = out.shape
    for i in range(begin, end):
        before, after = max(i - 1, 0), min(i + 1, n_lines - 1)
        for row in range(n_rows):
            own_pre, own_post = sums[i, row, 1], sums[i, row, 2]
            if own_pre <= floor or own_post <= floor:
                out[i, row] = 0.0
                continue
            cross, energy_pre, energy_post = sums[i, row, 0], own_pre, own_post
            if before != i and sums[before, row, 1] > 0.0:
                cross += sums[before, row, 0]
                energy_pre += sums[before, row, 1]
                energy_post += sums[before, row, 2]
            if after != i and sums[after, row, 1] > 0.0:
                cross += sums[after, row, 0]
                energy_pre += sums[after, row, 1]
                energy_post += sums[after, row, 2]
            value = cross / math.sqrt(energy_pre * energy_post)
            out[i, row] = min(max(value, np.float32(0.0)), np.float32(1.0))


def half_window(samples_per_wavelength: float) -> int:
    """Return the number of samples of the axial window on either side of its middle."""
    window = 2.0 * WINDOW_WAVELENGTHS * samples_per_wavelength
    return max(1, round(0.5 * (window - 1.0)))


def post_warp_correlation(pair: StretchedPair, residual: ResidualMotion) -> Float32Image:
    """Return the normalised cross-correlation of pre and of post warped by the residual.

        ρ = Σ pre(z) post(z + r) / √(Σ pre(z)² Σ post(z + r)²)

    over windows of 3 wavelengths in depth (6 periods of the echo) by 3 lines. Negative values are set to 0;
    unrelated frames give 0 ± 0.2.

    Parameters
    ----------
    pair
        The stretched pair.
    residual
        The remaining motion, on a grid with the same lines and any rows within the depths of the pair.

    Returns
    -------
    correlation : float32 (n_lines, n_depths) of ``residual.grid``
        0 … 1; 0 where the motion leads out of the image or is NaN, or where a frame is silent.

    Raises
    ------
    ValueError
        If the residual and the pair differ in the number of lines.
    """
    grid, rows = pair.grid, residual.grid
    if rows.n_lines != grid.n_lines:
        raise ValueError(f"residual has {rows.n_lines} lines, the pair {grid.n_lines}")
    first_row = (rows.start_depth_m - grid.start_depth_m) / grid.axial_step_m
    half = half_window(pair.samples_per_wavelength)
    in_samples = residual.axial_displacement_m * np.float32(1.0 / grid.axial_step_m)
    sums = np.empty((*rows.shape, 3), np.float32)
    over_lines(
        _window_sums,
        rows.n_lines,
        pair.pre,
        pair.post,
        in_samples,
        first_row,
        grid.axial_step_m / rows.axial_step_m,
        half,
        sums,
    )
    out = np.empty(rows.shape, np.float32)
    floor = POWER_FLOOR * (2 * half + 1)
    over_lines(_correlation, rows.n_lines, sums, floor, out)
    return out


def bmode_db(samples: NDArray[np.generic], *, floor_db: float = -100.0) -> Float32Image:
    """Log-compressed envelope of an RF frame, for pictures.

    The envelope is the magnitude of the analytic signal of each line; brightness is
    20 log10(envelope / its maximum).

    Parameters
    ----------
    samples
        RF lines, (n_lines, n_samples), any real dtype; samples that are not finite count as 0.
    floor_db
        Lowest value; a silent frame has it everywhere.

    Returns
    -------
    float32 (n_lines, n_samples), dB, 0 at the maximum
    """
    # scipy.signal takes long to import, and the live run does not need it.
    from scipy.signal import hilbert

    lines = np.nan_to_num(np.asarray(samples, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if not lines.size:
        return lines
    envelope = np.abs(hilbert(lines, axis=1))
    largest = float(envelope.max())
    if not largest > 0.0:
        return np.full(lines.shape, floor_db, np.float32)
    lowest = 10.0 ** (floor_db / 20.0)
    decibels = 20.0 * np.log10(np.maximum(envelope / largest, lowest))
    # Rounding of the logarithm may give a value just below the lowest one.
    return np.maximum(decibels, floor_db).astype(np.float32)
