"""Plain two-dimensional correlation across the lines: the baseline for lateral motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from rtelasto.accuracy.gates.images import Estimate
from rtelasto.cpu.classical.least_squares import lateral_slope
from rtelasto.frames.rf import Float32Image, FramePair

_WINDOW = (7, 96)  # lines × samples
_LAGS = (-1.0, -0.5, 0.0, 0.5, 1.0)


class LateralCorrelation:
    """Correlates pre and warped post at five half-line lags, with a parabola through the logarithm."""

    def __call__(self, pair: FramePair, estimate: Estimate) -> tuple[Float32Image, Float32Image]:
        """Return lateral displacement in m and its least-squares slope, on the grid of the estimate."""
        stretched, grid = estimate.stretched, estimate.grid
        n_lines, n_samples = stretched.pre.shape
        stride = round(grid.axial_step_m / stretched.grid.axial_step_m)
        z = np.arange(n_samples)
        at = np.arange(grid.n_depths) * stride
        post = np.empty((n_lines, n_samples))
        for i in range(n_lines):
            moved = np.interp(z, at, estimate.residual_m[i]) / stretched.grid.axial_step_m
            post[i] = np.interp(z + moved, z, stretched.post[i])
        pre = stretched.pre.astype(np.float64)
        scores = np.stack([self._correlation(pre, _between(post, lag), stride) for lag in _LAGS])
        best = np.clip(scores.argmax(axis=0), 1, len(_LAGS) - 2)
        logs = np.log(np.maximum(scores, 1e-3))
        before, here, after = (np.take_along_axis(logs, (best + k)[None], 0)[0] for k in (-1, 0, 1))
        bend = np.maximum(2.0 * here - before - after, 1e-6)
        lines = np.array(_LAGS)[best] + 0.5 * np.clip(0.5 * (after - before) / bend, -1.0, 1.0)
        lines = lines[:, : grid.n_depths] * grid.line_pitch_m
        x = grid.lateral_m[:, None]
        slope = stretched.elongation.lateral_slope
        v = (
            stretched.elongation.lateral_displacement_m(x, grid.depth_m + estimate.residual_m)
            + (1.0 + slope) * lines
        )
        v = v.astype(np.float32)
        return v, lateral_slope(v, grid.line_pitch_m)

    @staticmethod
    def _correlation(
        pre: NDArray[np.float64], post: NDArray[np.float64], stride: int
    ) -> NDArray[np.float64]:
        product, a, b = (
            uniform_filter(image, _WINDOW, mode="nearest")[:, ::stride]
            for image in (pre * post, pre * pre, post * post)
        )
        return product / np.sqrt(a * b + 1e-12)


def _between(post: NDArray[np.float64], lag: float) -> NDArray[np.float64]:
    """Read post at ``lag`` lines: a half line is the mean of two lines, scaled to the power of one."""
    n = post.shape[0]
    low = int(np.floor(lag))
    lower = post[np.clip(np.arange(n) + low, 0, n - 1)]
    if lag == low:
        return lower
    return 0.5 * (lower + post[np.clip(np.arange(n) + low + 1, 0, n - 1)])
