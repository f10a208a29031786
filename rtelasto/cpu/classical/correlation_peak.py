"""The sub-sample displacement at the peak of a correlation volume, with correction of peak hops."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from rtelasto.cpu.line_threads import over_lines
from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel


@kernel()
def _highest(correlation, centre, radius):  # type: ignore[no-untyped-def]
    """Return the index of the highest inner value within radius of centre; if equal, the nearest one."""
    n_lags = correlation.size
    best, value = centre, correlation[centre]
    for distance in range(1, radius + 1):
        below, above = centre - distance, centre + distance
        if below >= 1 and correlation[below] > value:
            best, value = below, correlation[below]
        if above <= n_lags - 2 and correlation[above] > value:
            best, value = above, correlation[above]
    return best


@kernel()
def _integer_peaks(correlation, out, begin, end):  # type: ignore[no-untyped-def]
    _, n_depths, n_lags = correlation.shape
    for line in range(begin, end):
        for k in range(n_depths):
            out[line, k] = _highest(correlation[line, k], n_lags // 2, n_lags)


@kernel()
def _return_to_neighbours(correlation, peaks, half_lines, half_depths, radius, out, begin, end):  # type: ignore[no-untyped-def]
    """Search again near the median of the neighbours where a peak lies farther than radius from it."""
    n_lines, n_depths, n_lags = correlation.shape
    for line in range(begin, end):
        first, after_last = max(0, line - half_lines), min(n_lines, line + half_lines + 1)
        # The histogram slides along the line. A peak is weighted by its correlation, so that pixels without
        # an echo do not vote.
        votes = np.zeros(n_lags)
        entered = left = 0
        for k in range(n_depths):
            while entered < min(n_depths, k + half_depths + 1):
                for other in range(first, after_last):
                    peak = peaks[other, entered]
                    votes[peak] += max(0.0, correlation[other, entered, peak])
                entered += 1
            while left < max(0, k - half_depths):
                for other in range(first, after_last):
                    peak = peaks[other, left]
                    votes[peak] -= max(0.0, correlation[other, left, peak])
                left += 1
            remaining = 0.5 * votes.sum()
            median = n_lags // 2
            if remaining > 1e-9:
                median = 0
                remaining -= votes[0]
                while remaining > 0.0 and median < n_lags - 1:
                    median += 1
                    remaining -= votes[median]
            median = min(max(median, 1), n_lags - 2)
            peak = peaks[line, k]
            if abs(peak - median) > radius:
                peak = _highest(correlation[line, k], median, radius)
            out[line, k] = peak


@kernel()
def cosine_offset(before, peak, after):  # type: ignore[no-untyped-def]
    """Return the maximum of a cosine through three samples, within ±0.5 of the middle one.

    With R(τ) = A cos ω(τ - δ): ω = arccos((R₋ + R₊) / 2R₀), tan ωδ = (R₊ - R₋) / (2 R₀ sin ω)
    (de Jong, Arts, Hoeks, Reneman, "Determination of tissue motion velocity by correlation
    interpolation of pulsed ultrasonic echo signals", Ultrasonic Imaging 12, 1990).
    """
    if peak <= 0.0:
        return 0.0
    cosine = 0.5 * (before + after) / peak
    if cosine >= 1.0 or cosine <= -1.0:
        return 0.0
    omega = math.acos(cosine)
    offset = math.atan((after - before) / (2.0 * peak * math.sin(omega))) / omega
    return min(max(offset, -0.5), 0.5)


@kernel()
def _refine(correlation, peaks, displacement, height, begin, end):  # type: ignore[no-untyped-def]
    _, n_depths, n_lags = correlation.shape
    for line in range(begin, end):
        for k in range(n_depths):
            t = peaks[line, k]
            value = correlation[line, k, t]
            height[line, k] = max(value, 0.0)
            displacement[line, k] = 0.0
            if value > 0.0:
                offset = cosine_offset(
                    correlation[line, k, t - 1], value, correlation[line, k, t + 1]
                )
                displacement[line, k] = t - n_lags // 2 + offset


def peak_displacement(
    correlation: NDArray[np.float32],
    *,
    hop_distance: float | None = None,
    neighbour_lines: int = 9,
    neighbour_depths: int = 21,
) -> tuple[Float32Image, Float32Image]:
    """Return the displacement at the highest correlation, in samples.

    The echo oscillates, so that the correlation has side peaks one wavelength away, which noise can raise
    above the true one. A peak farther than ``hop_distance`` from the median of its neighbours (each weighted
    by its correlation) has hopped and is searched again within that distance of the median. The position
    between samples is that of a cosine through three values.

    Parameters
    ----------
    correlation
        float32 (n_lines, n_depths, n_lags) at the lags -max_lag … max_lag, n_lags = 2 max_lag + 1
        at least 3; the first and the last lag are not searched, so that every peak has neighbours.
    hop_distance
        In samples, best half a wavelength; None disables the check.
    neighbour_lines, neighbour_depths
        Full size of the neighbourhood, in pixels.

    Returns
    -------
    displacement : float32 (n_lines, n_depths)
        In samples; 0 where there is no positive correlation.
    height : float32 (n_lines, n_depths)
        Correlation at the whole-sample peak, at least 0.
    """
    shape = correlation.shape[:2]
    peaks = np.empty(shape, np.int32)
    over_lines(_integer_peaks, shape[0], correlation, peaks)
    if hop_distance is not None:
        checked = np.empty_like(peaks)
        radius = max(1, round(hop_distance))
        half_lines, half_depths = neighbour_lines // 2, neighbour_depths // 2
        over_lines(
            _return_to_neighbours,
            shape[0],
            correlation,
            peaks,
            half_lines,
            half_depths,
            radius,
            checked,
        )
        peaks = checked
    displacement, height = np.empty(shape, np.float32), np.empty(shape, np.float32)
    over_lines(_refine, shape[0], correlation, peaks, displacement, height)
    return displacement, height


def lateral_motion(heights: Float32Image, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the lateral shift, in lines, at which the locally averaged correlation is highest.

    Parameters
    ----------
    heights
        float32 (2 s + 1, n_lines, n_depths): highest correlation over the axial lags, for the line
        shifts -s … s.
    size
        Lines and rows to average over first.

    Returns
    -------
    shift : float32 (n_lines, n_depths)
        Interpolated by a parabola through three shifts; 0 where nothing correlates.
    """
    largest = heights.shape[0] // 2
    if largest == 0:
        return np.zeros(heights.shape[1:], np.float32)
    heights = uniform_filter(heights, (1, *size), mode="nearest")
    # Of equal values the smallest shift wins, so that pixels without an echo get no motion.
    order = sorted(range(2 * largest + 1), key=lambda index: abs(index - largest))
    best = np.array(order)[heights[order].argmax(axis=0)]
    middle = np.clip(best, 1, 2 * largest - 1)[None]
    below, at, above = (
        np.take_along_axis(heights, middle + side, axis=0)[0] for side in (-1, 0, 1)
    )
    curvature = below - 2.0 * at + above
    usable = (below > 0.0) & (above > 0.0) & (curvature < -1e-6)
    offset = np.where(usable, 0.5 * (below - above) / np.where(usable, curvature, 1.0), 0.0)
    shift = np.where(usable, middle[0] + np.clip(offset, -1.0, 1.0), best) - largest
    return shift.astype(np.float32)
