"""Compares strain and displacement, and lowers the quality map where they differ or tissue left the image.

Correlation after warping judges the displacement only. A network computes the strain beside it, so that the
strain can miss what the displacement shows: the slip of two layers, for example, or its sign. Over a short
distance the strain must add up to the change of the displacement. Where it does not, and the displacement is
reliable on both sides, the strain becomes the slope of the displacement.
"""

from __future__ import annotations

import numpy as np

from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import FASTMATH
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.host.compiled import kernel

# The strain is summed over this depth, and the difference is averaged over this many lines on either side.
WINDOW_M = 3e-3
SIDE_LINES = 3
# Difference that is normal, in wavelengths: the quality falls from there to 0 at twice as much. It is 0.6
# samples at 6.4 samples per wavelength of the transmitted wave, which are 12.8 of the echo's path.
NORMAL_WAVELENGTHS = 0.6 / 12.8
# The displacement is reliable if the correlation at both ends of the window is at least this, in the mean.
RELIABLE_CORRELATION = 0.9
# Depth over which the slope of the displacement is taken: at a slip, it limits the sharpness of the band.
SLOPE_M = 0.6e-3
# Estimates are wrong this far inside the depth at which tissue left the image.
BAND_M = 3e-3


def half_rows(grid: Grid, window_m: float = WINDOW_M) -> int:
    """Return the number of rows of a window on either side of its middle."""
    return max(1, round(0.5 * window_m / grid.axial_step_m))


@kernel(fastmath=FASTMATH)
def _gaps(  # type: ignore[no-untyped-def]
    displacement, strain, correlation, row_step_m, half, weighted, weights, begin, end
):
    """Compute weighted = c · (Δu − Σ strain over the window) and weights = c for lines begin … end.

    The sum is by the trapezoidal rule; strain that is not a number counts as 0. A difference that is not a
    number has the weight 0.
    """
    n_rows = displacement.shape[1]
    unexplained = np.empty(n_rows, np.float32)
    half_step_m = np.float32(0.5) * row_step_m
    for i in range(begin, end):
        explained, before = np.float32(0.0), np.float32(0.0)
        for row in range(n_rows):
            here = strain[i, row] if strain[i, row] == strain[i, row] else np.float32(0.0)
            if row > 0:
                explained += half_step_m * (before + here)
            unexplained[row] = displacement[i, row] - explained
            before = here
        for row in range(n_rows):
            gap = unexplained[min(row + half, n_rows - 1)] - unexplained[max(row - half, 0)]
            known = abs(gap) < np.float32(1.0)
            weighted[i, row] = correlation[i, row] * gap if known else np.float32(0.0)
            weights[i, row] = correlation[i, row] if known else np.float32(0.0)


@kernel(fastmath=FASTMATH)
def _missing(displacement, strain, row_step_m, row, half):  # type: ignore[no-untyped-def]
    """Return the slope of a line's displacement around a row, less the mean strain there."""
    low, high = max(row - half, 0), min(row + half, strain.size - 1)
    total = np.float32(0.0)
    for k in range(low, high + 1):
        share = np.float32(0.5) if k in (low, high) else np.float32(1.0)
        if strain[k] == strain[k]:
            total += share * strain[k]
    length_m = row_step_m * np.float32(high - low)
    return (displacement[high] - displacement[low] - row_step_m * total) / length_m


@kernel(fastmath=FASTMATH)
def _settle(  # type: ignore[no-untyped-def]
    weighted,
    weights,
    displacement,
    row_step_m,
    side,
    half,
    slope_half,
    normal_m,
    reliable,
    band_m,
    strain,
    correlation,
    begin,
    end,
):
    """Change the strain and lower the correlation of lines begin … end, and in the bands at both ends."""
    n_lines, n_rows = correlation.shape
    last_m = row_step_m * np.float32(n_rows - 1)
    one, zero = np.float32(1.0), np.float32(0.0)
    totals, weight = np.empty(n_rows, np.float32), np.empty(n_rows, np.float32)
    given = np.empty(n_rows, np.float32)
    for i in range(begin, end):
        totals[:] = zero
        weight[:] = zero
        given[:] = strain[i]
        first, last = max(i - side, 0), min(i + side + 1, n_lines)
        for k in range(first, last):
            for row in range(n_rows):
                totals[row] += weighted[k, row]
                weight[row] += weights[k, row]
        top_m = band_m if displacement[i, 0] < -row_step_m else -one
        left_at_bottom = displacement[i, n_rows - 1] > row_step_m
        bottom_m = last_m - band_m if left_at_bottom else last_m + one
        for row in range(n_rows):
            limit = normal_m * weight[row]
            excess = (abs(totals[row]) - limit) / limit if limit > zero else zero
            excess = min(max(excess, zero), one)
            if excess > zero:
                low, high = max(row - half, 0), min(row + half, n_rows - 1)
                ends = zero
                for k in range(first, last):
                    ends += min(weights[k, low], weights[k, high])
                if ends >= reliable * np.float32(last - first):
                    missing = _missing(displacement[i], given, row_step_m, row, slope_half)
                    if abs(missing) < one:  # not NaN
                        strain[i, row] += excess * missing
            partner_m = row_step_m * np.float32(row) + displacement[i, row]
            lost = (partner_m < top_m) | (partner_m > bottom_m)
            correlation[i, row] *= zero if lost else one - excess


def settle_contradictions(
    correlation: Float32Image,
    displacement_m: Float32Image,
    strain: Float32Image,
    grid: Grid,
    wavelength_m: float,
) -> None:
    """Change strain and quality map in place where the strain contradicts the displacement.

    The strain is summed over 3 mm around a pixel and compared with the change of the displacement there; the
    difference is averaged over 7 lines, weighted by correlation. Beyond 0.6 samples (at 6.4 per wavelength)
    the correlation is multiplied by a factor that falls to 0 at twice as much. If the displacement is
    reliable at both ends of the 3 mm (their correlation is at least 0.9, in the mean of the 7 lines), the
    strain moves by the same share, and at twice as much completely, to the slope of the displacement over
    0.6 mm.

    If the displacement of a line's first or last row leads out of the image by more than a row, correlation
    is 0 up to 3 mm from that end.

    Parameters
    ----------
    correlation, displacement_m, strain
        float32 (n_lines, n_depths) of ``grid``: correlation after warping, total axial displacement (m) and
        axial strain at pre-compression points. Correlation and strain are changed.
    wavelength_m
        Of the transmitted wave in tissue.
    """
    weighted, weights = np.empty((2, *grid.shape), np.float32)
    row_step_m = np.float32(grid.axial_step_m)
    half = half_rows(grid)
    over_lines(
        _gaps,
        grid.n_lines,
        displacement_m,
        strain,
        correlation,
        row_step_m,
        half,
        weighted,
        weights,
    )
    over_lines(
        _settle,
        grid.n_lines,
        weighted,
        weights,
        displacement_m,
        row_step_m,
        SIDE_LINES,
        half,
        half_rows(grid, SLOPE_M),
        np.float32(NORMAL_WAVELENGTHS * wavelength_m),
        np.float32(RELIABLE_CORRELATION),
        np.float32(BAND_M),
        strain,
        correlation,
    )
