"""Strain smoothed across the lines by a Kalman filter and a Rauch-Tung-Striebel smoother."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel

# Lines by rows over which the local statistics are taken.
BLOCK = (3, 3)


@kernel()
def _smooth_rows(strain, process, noise, out):  # type: ignore[no-untyped-def]
    n_lines, n_depths = strain.shape
    for k in range(n_depths):
        state = np.empty(n_lines)
        variance = np.empty(n_lines)
        state[0], variance[0] = strain[0, k], noise
        for line in range(1, n_lines):
            predicted = variance[line - 1] + process[line, k]
            gain = predicted / (predicted + noise)
            state[line] = state[line - 1] + gain * (strain[line, k] - state[line - 1])
            variance[line] = (1.0 - gain) * predicted
        out[n_lines - 1, k] = state[n_lines - 1]
        smoothed = state[n_lines - 1]
        for line in range(n_lines - 2, -1, -1):
            gain = variance[line] / (variance[line] + process[line + 1, k])
            smoothed = state[line] + gain * (smoothed - state[line])
            out[line, k] = smoothed


def kalman_smooth(strain: Float32Image) -> Float32Image:
    """Smooth strain across the lines: little where it changes, strongly where it is only noisy.

    Row by row, strain is a random walk across the lines, observed with noise (Rivaz, Boctor, Choti,
    Hager, "Real-time regularized ultrasound elastography", IEEE Trans. Medical Imaging 30(4), 2011,
    "Strain estimation using Kalman filter"):

        ε(j) = ε(j - 1) + r(j),    z(j) = ε(j) + s(j),
        p⁻(j) = p(j - 1) + σr²(j),    K = p⁻ / (p⁻ + σs²),
        ε̂(j) = ε̂(j - 1) + K [z(j) - ε̂(j - 1)],    p(j) = (1 - K) p⁻(j),

    where z is the least-squares strain. σr²(j) is the squared difference of the means of z in blocks
    of 3 × 3 pixels around lines j and j - 1, so that edges are preserved; σs² is one value for the image, the
    mean variance in such blocks. The backward pass over the lines is the fixed-interval smoother of Rauch,
    Tung, Striebel, AIAA Journal 3(8), 1965, which removes the lag of the one-directional filter.

    Parameters
    ----------
    strain
        float32 (n_lines, n_depths), finite.

    Returns
    -------
    smoothed : float32 (n_lines, n_depths)
    """
    image = strain.astype(np.float64)
    mean = uniform_filter(image, BLOCK, mode="nearest")
    noise = float(np.maximum(uniform_filter(image**2, BLOCK, mode="nearest") - mean**2, 0.0).mean())
    if noise <= 0.0:
        return strain.copy()
    process = np.zeros_like(image)
    process[1:] = np.diff(mean, axis=0) ** 2
    smoothed = np.empty_like(strain)
    _smooth_rows(image, process, noise, smoothed)
    return smoothed
