"""Displacement fields on a regular grid, with smooth interpolation, gradients and composition.

A field moves the scatterers of the echo model and defines the truth, so both use the same interpolant:
piecewise cubic (Keys 1981, a = −1/2), continuously differentiable; its derivative is the strain. True
displacement, true strain and scatterer motion agree exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import Grid
from rtelasto_engines.simulate.interpolation import (
    along_depth,
    displacement_at,
    gradient_at,
    interpolation_rows,
)

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """Exact motion on a grid; float32 (n_lines, n_depths), at pre-compression points.

    ``axial_displacement_m`` (positive away from the probe, pre(z) = post(z + u)), ``axial_strain``
    = ∂u/∂z and ``lateral_displacement_m`` (positive towards the last line).
    """

    axial_displacement_m: NDArray[np.float32]
    axial_strain: NDArray[np.float32]
    lateral_displacement_m: NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """The motion and its four derivatives at points, each with the shape of the points; u, v in m."""

    u: Float64Array
    v: Float64Array
    u_x: Float64Array
    u_z: Float64Array
    v_x: Float64Array
    v_z: Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class DisplacementField:
    """Motion of the tissue in the reference frame of the probe, from a reference state.

    A point at (x, z) in the reference state moves to (x + v, z + u): u axial, positive away from
    the probe; v lateral. Below the probe in compression u < 0.

    Parameters
    ----------
    axial_m, lateral_m
        u and v at the nodes, float64 (n_x, n_z), at least 4 × 4.
    x0_m, z0_m
        Position of the first node, from the image centre and from the probe face.
    dx_m, dz_m
        Node spacing.
    """

    axial_m: Float64Array
    lateral_m: Float64Array
    x0_m: float
    z0_m: float
    dx_m: float
    dz_m: float

    def __post_init__(self) -> None:
        if self.axial_m.shape != self.lateral_m.shape or min(self.axial_m.shape) < 4:
            raise ValueError("axial_m and lateral_m need one common shape of at least 4 x 4 nodes")
        for name in ("axial_m", "lateral_m"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float64))

    @classmethod
    def zero(cls, *, width_m: float, depth_m: float, step_m: float = 0.4e-3) -> DisplacementField:
        """Return a field at rest over |x| <= width/2, 0 <= z <= depth."""
        n_x = max(4, round(width_m / step_m) + 1)
        n_z = max(4, round(depth_m / step_m) + 1)
        still = np.zeros((n_x, n_z))
        return cls(still, still, -width_m / 2, 0.0, width_m / (n_x - 1), depth_m / (n_z - 1))

    @property
    def x_m(self) -> Float64Array:
        return self.x0_m + self.dx_m * np.arange(self.axial_m.shape[0], dtype=np.float64)

    @property
    def z_m(self) -> Float64Array:
        return self.z0_m + self.dz_m * np.arange(self.axial_m.shape[1], dtype=np.float64)

    def _with(self, axial_m: Float64Array, lateral_m: Float64Array) -> DisplacementField:
        return DisplacementField(axial_m, lateral_m, self.x0_m, self.z0_m, self.dx_m, self.dz_m)

    def scaled(self, factor: float) -> DisplacementField:
        return self._with(factor * self.axial_m, factor * self.lateral_m)

    def plus(self, other: DisplacementField) -> DisplacementField:
        """Return the sum of two small motions, on the nodes of this field."""
        if other.axial_m.shape == self.axial_m.shape and (
            (other.x0_m, other.z0_m, other.dx_m, other.dz_m)
            == (self.x0_m, self.z0_m, self.dx_m, self.dz_m)
        ):
            return self._with(self.axial_m + other.axial_m, self.lateral_m + other.lateral_m)
        u, v = other.at(self.x_m[:, None], self.z_m[None, :])
        return self._with(self.axial_m + u, self.lateral_m + v)

    def plus_affine(
        self,
        *,
        axial_offset_m: float = 0.0,
        axial_tilt: float = 0.0,
        axial_slope: float = 0.0,
        lateral_offset_m: float = 0.0,
        lateral_slope: float = 0.0,
        lateral_shear: float = 0.0,
    ) -> DisplacementField:
        """Return the field with u += offset + tilt·x + slope·z and v += offset + slope·x + shear·z.

        For a probe that rotates by a small angle θ about the middle of its face, ``axial_tilt = −θ`` and
        ``lateral_shear = θ``.
        """
        x, z = self.x_m[:, None], self.z_m[None, :]
        return self._with(
            self.axial_m + axial_offset_m + axial_tilt * x + axial_slope * z,
            self.lateral_m + lateral_offset_m + lateral_slope * x + lateral_shear * z,
        )

    def gradient(self, x_m: NDArray[np.floating], z_m: NDArray[np.floating]) -> Gradient:
        """Return u, v and their four derivatives at broadcastable points, in m and dimensionless."""
        x, z = np.broadcast_arrays(np.asarray(x_m, np.float64), np.asarray(z_m, np.float64))
        out = np.empty((6, x.size))
        gradient_at(
            self.axial_m,
            self.lateral_m,
            (x.ravel() - self.x0_m) / self.dx_m,
            (z.ravel() - self.z0_m) / self.dz_m,
            out,
        )
        u, v, u_x, u_z, v_x, v_z = (row.reshape(x.shape) for row in out)
        return Gradient(u, v, u_x / self.dx_m, u_z / self.dz_m, v_x / self.dx_m, v_z / self.dz_m)

    def at(
        self, x_m: NDArray[np.floating], z_m: NDArray[np.floating]
    ) -> tuple[Float64Array, Float64Array]:
        """Return (u, v) in m at broadcastable points."""
        x, z = np.broadcast_arrays(np.asarray(x_m, np.float64), np.asarray(z_m, np.float64))
        out = np.empty((2, x.size))
        displacement_at(
            self.axial_m,
            self.lateral_m,
            (x.ravel() - self.x0_m) / self.dx_m,
            (z.ravel() - self.z0_m) / self.dz_m,
            out,
        )
        return out[0].reshape(x.shape), out[1].reshape(x.shape)

    def truth(self, grid: Grid) -> Truth:
        """Return the motion at the pixels of a grid."""
        first, weights, _ = interpolation_rows(
            (grid.lateral_m - self.x0_m) / self.dx_m, self.axial_m.shape[0]
        )
        taps = first[:, None] + np.arange(4)
        u = np.einsum("lt,ltk->lk", weights, self.axial_m[taps])
        v = np.einsum("lt,ltk->lk", weights, self.lateral_m[taps])
        first, weights, slopes = interpolation_rows(
            (grid.depth_m - self.z0_m) / self.dz_m, self.axial_m.shape[1]
        )
        images = [np.empty(grid.shape, np.float32) for _ in range(3)]
        along_depth(u, first, weights, images[0])
        along_depth(u, first, slopes / self.dz_m, images[1])
        along_depth(v, first, weights, images[2])
        return Truth(images[0], images[1], images[2], grid)


def material_points(
    field: DisplacementField,
    x_m: NDArray[np.floating],
    z_m: NDArray[np.floating],
    *,
    tolerance_m: float = 1e-10,
) -> tuple[Float64Array, Float64Array]:
    """Return the reference positions of the tissue that the field has moved to (x, z).

    This is a fixed-point iteration: each step multiplies the error by about the largest strain.
    """
    x, z = np.broadcast_arrays(np.asarray(x_m, np.float64), np.asarray(z_m, np.float64))
    reference_x, reference_z = x.copy(), z.copy()
    for _ in range(40):
        u, v = field.at(reference_x, reference_z)
        change = max(
            np.abs(x - v - reference_x).max(initial=0.0),
            np.abs(z - u - reference_z).max(initial=0.0),
        )
        reference_x, reference_z = x - v, z - u
        if change < tolerance_m:
            break
    return reference_x, reference_z


def truth_between(field_a: DisplacementField, field_b: DisplacementField, grid: Grid) -> Truth:
    """Return the motion from state a to state b at the points of a, both relative to one reference state.

    With X the material point at p in state a: u_ab(p) = u_b(X) − u_a(X), and by the chain rule
    ∇u_ab = (∇d_b − ∇d_a)(I + ∇d_a)⁻¹, of which the strain is the zz component.
    """
    reference_x, reference_z = material_points(
        field_a, grid.lateral_m[:, None], grid.depth_m[None, :]
    )
    a = field_a.gradient(reference_x, reference_z)
    b = field_b.gradient(reference_x, reference_z)
    determinant = (1.0 + a.v_x) * (1.0 + a.u_z) - a.v_z * a.u_x
    strain = ((b.u_z - a.u_z) * (1.0 + a.v_x) - (b.u_x - a.u_x) * a.v_z) / determinant
    return Truth(
        (b.u - a.u).astype(np.float32),
        strain.astype(np.float32),
        (b.v - a.v).astype(np.float32),
        grid,
    )
