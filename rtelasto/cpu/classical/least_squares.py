"""Strain as the slope of a straight line fitted to the displacement in a sliding window."""

from __future__ import annotations

import numpy as np

from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel

# Where the weighted variance of the depths is less than this fraction of that of the whole window, a slope
# would be mostly noise and is reduced in proportion.
LEAST_VARIANCE = 0.02
# Lines in the fit of the lateral strain: echoes are lines wide, and the noise is many times the axial.
LATERAL_LINES = 25


@kernel()
def _slopes(displacement, weights, half_window, step, out):  # type: ignore[no-untyped-def]
    n_lines, n_depths = displacement.shape
    for line in range(n_lines):
        # Cumulative weighted moments Σw, Σwi, Σwi², Σwd, Σwid: the sums over a window are differences of
        # these.
        moments = np.zeros((n_depths + 1, 5))
        for i in range(n_depths):
            weight = np.float64(weights[line, i])
            weighted = weight * displacement[line, i]
            moments[i + 1, 0] = moments[i, 0] + weight
            moments[i + 1, 1] = moments[i, 1] + weight * i
            moments[i + 1, 2] = moments[i, 2] + weight * i * i
            moments[i + 1, 3] = moments[i, 3] + weighted
            moments[i + 1, 4] = moments[i, 4] + weighted * i
        for k in range(n_depths):
            first, end = max(0, k - half_window), min(n_depths, k + half_window + 1)
            s0 = moments[end, 0] - moments[first, 0]
            s1 = moments[end, 1] - moments[first, 1]
            s2 = moments[end, 2] - moments[first, 2]
            y0 = moments[end, 3] - moments[first, 3]
            y1 = moments[end, 4] - moments[first, 4]
            out[line, k] = 0.0
            if s0 <= 1e-9 * moments[n_depths, 0]:
                continue
            # Variance of the depths in the fit: weighted, and of the whole window.
            variance = (s0 * s2 - s1 * s1) / (s0 * s0)
            whole = ((end - first) ** 2 - 1.0) / 12.0
            if variance > 1e-9 * whole:
                slope = (s0 * y1 - s1 * y0) / (s0 * s0 * variance * step)
                out[line, k] = slope * min(1.0, variance / (LEAST_VARIANCE * whole))


def window_points(window_samples: int, stride: int) -> int:
    """Return the odd number of output pixels, at least 3, nearest to a window in input samples."""
    return 2 * max(1, round((window_samples / stride - 1) / 2)) + 1


def least_squares_strain(
    displacement: Float32Image,
    *,
    window: int,
    step: float = 1.0,
    weights: Float32Image | None = None,
) -> Float32Image:
    """Return the slope of the displacement along depth by a weighted least-squares fit in a sliding window.

    The least-squares strain estimator of Kallel and Ophir, "A least-squares strain estimator for
    elastography", Ultrasonic Imaging 19, 1997; on a uniform grid with equal weights it is
    the first-derivative Savitzky–Golay filter of order 1. Cumulative sums make the cost independent
    of the window.

    Parameters
    ----------
    displacement
        float32 (n_lines, n_depths), finite.
    window
        Pixels in the fit, odd. At the borders the window is cut, down to (window + 1) / 2 pixels on one side
        of the pixel in the first and the last row.
    step
        Axial distance between pixels, in the unit of ``displacement``.
    weights
        Weight of each pixel, not negative, with the shape of ``displacement``; equal if None.

    Returns
    -------
    strain : float32 (n_lines, n_depths)
        ∂u/∂z, dimensionless; 0 where fewer than two pixels have a weight above 0, and reduced where these lie
        close together in the window.
    """
    if weights is None:
        weights = np.ones_like(displacement)
    strain = np.empty(displacement.shape, np.float32)
    _slopes(displacement, weights, window // 2, step, strain)
    return strain


def lateral_slope(displacement: Float32Image, pitch: float) -> Float32Image:
    """Return the lateral strain ∂v/∂x: the least-squares slope over 25 lines, at the sides over fewer.

    Parameters
    ----------
    displacement
        v, float32 (n_lines, n_depths), finite.
    pitch
        Distance of neighbouring lines, in the unit of ``displacement``.

    Returns
    -------
    strain : float32 (n_lines, n_depths)
        Dimensionless; 0 where there is a single line.
    """
    across = np.ascontiguousarray(displacement.T)
    slope = least_squares_strain(across, window=LATERAL_LINES, step=pitch)
    return np.ascontiguousarray(slope.T)
