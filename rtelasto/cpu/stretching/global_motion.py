"""Motion that is linear in depth and across the lines, in samples and lines, and its robust fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.strain import Elongation
from rtelasto.host.compiled import kernel

Vector = NDArray[np.float64]

FIT_ROUNDS = 8


@dataclass(frozen=True, slots=True, eq=False)
class GlobalMotion:
    """An elongation over coordinates that run from -1 to 1 across the lines and down the samples.

    ``axial`` holds the coefficients of 1, x, z and xz (samples), ``lateral`` of 1, x and z (lines).
    """

    axial: Vector
    lateral: Vector

    def elongation(self, rf_format: RfFormat) -> Elongation:
        """Return the same motion in metres."""
        half_width, middle, half_depth = half_sizes(rf_format)
        step, pitch = rf_format.axial_step_m, rf_format.line_pitch_m
        x_m = half_width * pitch
        z_m = half_depth * step
        centre = (rf_format.start_depth_m + middle * step) / z_m
        a, b, c, d = (float(value) * step for value in self.axial)
        shift, widening, shear = (float(value) for value in self.lateral)
        return Elongation(
            axial_offset_m=a - c * centre,
            axial_tilt=(b - d * centre) / x_m,
            axial_slope=c / z_m,
            axial_slope_tilt_per_m=d / (x_m * z_m),
            lateral_offset_m=(shift - shear * centre) * pitch,
            lateral_slope=widening / half_width,
            lateral_shear=shear * pitch / z_m,
        )

    def changed_by(self, axial: Vector, lateral: Vector) -> GlobalMotion:
        """Return this motion plus a change of its coefficients."""
        return GlobalMotion(self.axial + axial, self.lateral + lateral)


def at_rest() -> GlobalMotion:
    """Return a motion of zero."""
    return GlobalMotion(np.zeros(4), np.zeros(3))


def half_sizes(rf_format: RfFormat) -> tuple[float, float, float]:
    """Return half the width in lines, the middle sample, and half the depth in samples (no half is 0)."""
    middle = 0.5 * (rf_format.n_samples - 1)
    return max(0.5 * (rf_format.n_lines - 1), 0.5), middle, max(middle, 0.5)


def axial_design(x: Vector, z: Vector) -> Vector:
    """Return the functions 1, x, z, xz at points, (n, 4)."""
    return np.stack([np.ones_like(x), x, z, x * z], axis=1)


@kernel(fastmath=FASTMATH)
def _solve(gram, right):  # type: ignore[no-untyped-def]
    """Solve the symmetric positive definite gram·c = right in place (Cholesky); right becomes c."""
    n = right.size
    for i in range(n):
        for j in range(i + 1):
            total = gram[i, j]
            for k in range(j):
                total -= gram[i, k] * gram[j, k]
            gram[i, j] = total / gram[j, j] if i > j else np.sqrt(max(total, 1e-12))
    for i in range(n):
        for k in range(i):
            right[i] -= gram[i, k] * right[k]
        right[i] /= gram[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= gram[k, i] * right[k]
        right[i] /= gram[i, i]


@kernel(fastmath=FASTMATH)
def _weighted_median(values, weights):  # type: ignore[no-untyped-def]
    order = np.argsort(values)
    half = 0.5 * weights.sum()
    total = 0.0
    for k in order:
        total += weights[k]
        if total >= half:
            return values[k]
    return values[order[-1]]


@kernel(fastmath=FASTMATH)
def robust_fit(design, values, weights, scale_floor, ridge):  # type: ignore[no-untyped-def]
    """Fit by weighted least squares with Geman–McClure weights against outliers.

    Parameters
    ----------
    design, values, weights
        float64 (n, p), (n,) and (n,).
    scale_floor
        Residuals of this size are not outliers; the scale is 1.48 times the weighted median absolute residual
        if that is larger.
    ridge
        float64 (p,), keeps coefficients at 0 that the points do not determine; a very large entry excludes a
        function from the fit.

    Returns
    -------
    coefficients : float64 (p,)
    """
    n, p = design.shape
    robust = weights.copy()
    residual = np.empty(n)
    gram = np.empty((p, p))
    coefficients = np.zeros(p)
    for _ in range(FIT_ROUNDS):
        gram[:] = 0.0
        right = np.zeros(p)
        for k in range(n):
            if robust[k] > 0.0:
                for i in range(p):
                    weighted = robust[k] * design[k, i]
                    right[i] += weighted * values[k]
                    for j in range(i + 1):
                        gram[i, j] += weighted * design[k, j]
        for i in range(p):
            gram[i, i] += ridge[i]
        _solve(gram, right)
        moved = np.max(np.abs(right - coefficients))
        coefficients = right
        if moved < 1e-3 * scale_floor:
            break
        for k in range(n):
            fitted = 0.0
            for i in range(p):
                fitted += design[k, i] * coefficients[i]
            residual[k] = abs(values[k] - fitted)
        scale = max(1.4826 * _weighted_median(residual, weights), scale_floor)
        for k in range(n):
            outlying = residual[k] / (2.0 * scale)
            robust[k] = weights[k] / (1.0 + outlying * outlying) ** 2
    return coefficients
