"""Displacement fields without finite elements: closed forms and random smooth strain.

A field takes milliseconds, for training sets that need more variety than solved tissues provide.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from rtelasto_engines.simulate.motion import DisplacementField

Float64Array = NDArray[np.float64]


def circular_inclusion(
    x_m: NDArray[np.floating],
    z_m: NDArray[np.floating],
    *,
    radius_m: float,
    stiffness_ratio: float,
    poisson: float = 0.49,
) -> tuple[Float64Array, Float64Array]:
    """Return (u, v) around a round inclusion at the origin for a remote axial strain of +1, in m.

    Plane strain, perfect bond, remote uniaxial stress along z. Exact: the complex potentials
    (Muskhelishvili, Some Basic Problems of the Mathematical Theory of Elasticity, ch. 9) outside,
    φ = S/4·Z + c₁a²/Z and ψ = D/2·Z + c₂a²/Z + c₁a⁴/Z³, and inside, φ = A·Z and ψ = B·Z, matched in
    traction and displacement at |Z| = a, with 2μ(v + iu) = κφ − Z·conj(φ′) − conj(ψ). The strain
    inside is uniform (Eshelby).
    """
    kappa = 3.0 - 4.0 * poisson
    # Remote stress σ_zz = σ with ε_zz = (1 − ν²)σ/E = 1 and 2μ = E/(1 + ν), in units of 2μ.
    stress = 1.0 / (1.0 - poisson)
    # For one stress axis, the sum S = σ_xx + σ_zz and the difference D = σ_zz − σ_xx are both σ.
    inner_sum = 0.25 * stress * (kappa + 1.0) / (2.0 + (kappa - 1.0) / stiffness_ratio)
    inner_difference = 0.5 * stress * (kappa + 1.0) / (kappa + 1.0 / stiffness_ratio)
    c1 = inner_difference - 0.5 * stress
    c2 = 2.0 * inner_sum - 0.5 * stress
    z = np.asarray(x_m, np.float64) + 1j * np.asarray(z_m, np.float64)
    inside = np.abs(z) < radius_m
    out = np.where(inside, radius_m, z)
    a2 = radius_m**2
    phi = 0.25 * stress * out + c1 * a2 / out
    slope = 0.25 * stress - c1 * a2 / out**2
    psi = 0.5 * stress * out + c2 * a2 / out + c1 * a2**2 / out**3
    outer = kappa * phi - out * np.conj(slope) - np.conj(psi)
    inner = ((kappa - 1.0) * inner_sum * z - inner_difference * np.conj(z)) / stiffness_ratio
    total = np.where(inside, inner, outer)
    return total.imag, total.real


def strain_field(
    strain: NDArray[np.floating],
    *,
    width_m: float,
    depth_m: float,
    lateral_ratio: float = 0.9,
    smooth_lateral_m: float = 1e-3,
) -> DisplacementField:
    """Return the field with a given axial strain on an (n_x, n_z) grid, and no motion at the probe face.

    u is the integral of the strain along depth; v that of −lateral_ratio·strain across (near
    incompressibility in plane strain gives ν/(1 − ν)), smoothed along depth. The result is not an
    equilibrium, but a plausible motion of tissue.
    """
    strain = np.asarray(strain, np.float64)
    dx, dz = width_m / (strain.shape[0] - 1), depth_m / (strain.shape[1] - 1)
    axial = cumulative_trapezoid(strain, dx=dz, axis=1, initial=0.0)
    smooth = gaussian_filter1d(strain, smooth_lateral_m / dz, axis=1, mode="nearest")
    lateral = -lateral_ratio * cumulative_trapezoid(smooth, dx=dx, axis=0, initial=0.0)
    lateral -= lateral[strain.shape[0] // 2]
    return DisplacementField(axial, lateral, -0.5 * width_m, 0.0, dx, dz)


def random_field(
    rng: np.random.Generator,
    *,
    applied_strain: float,
    width_m: float,
    depth_m: float,
    step_m: float | None = None,
) -> DisplacementField:
    """Return a random press without finite elements.

    It has smooth strain variation, layers, decay with depth and round inclusions (each exact on its own, then
    superposed), scaled so that the mean axial strain is ``applied_strain``.
    """
    step_m = step_m or depth_m / 160.0
    n_x, n_z = max(8, round(width_m / step_m) + 1), max(8, round(depth_m / step_m) + 1)
    x = np.linspace(-0.5 * width_m, 0.5 * width_m, n_x)
    z = np.linspace(0.0, depth_m, n_z)
    log_strain = np.zeros((n_x, n_z))
    if rng.random() < 0.6:
        size = depth_m * math.exp(rng.uniform(math.log(0.02), math.log(0.3)))
        aspect = math.exp(rng.uniform(-0.7, 0.7))
        noise = gaussian_filter(
            rng.standard_normal((n_x, n_z)),
            (size * aspect / step_m, size / aspect / step_m),
            mode="reflect",
        )
        log_strain += rng.uniform(0.05, 0.6) * (noise - noise.mean()) / max(noise.std(), 1e-12)
    if rng.random() < 0.4:
        edge = rng.uniform(0.1e-3, 1.5e-3) * depth_m / 0.05
        for top in rng.uniform(0.05, 0.95, rng.integers(1, 4)) * depth_m:
            line = top + rng.uniform(-0.25, 0.25) * x
            step = 0.5 + 0.5 * np.tanh((z[None, :] - line[:, None]) / edge)
            log_strain += rng.normal(0.0, 0.7) * step
    if rng.random() < 0.4:
        log_strain -= np.log1p(z / (depth_m * rng.uniform(0.3, 3.0)))[None, :]
    strain = np.exp(np.clip(log_strain, -2.5, 2.5))
    field = strain_field(
        strain / strain.mean(),
        width_m=width_m,
        depth_m=depth_m,
        lateral_ratio=rng.uniform(0.3, 1.0),
        smooth_lateral_m=rng.uniform(0.5e-3, 4e-3),
    )
    count = rng.choice([0, 1, 2, 3, 6], p=[0.25, 0.35, 0.2, 0.1, 0.1])
    radii_m = (0.02 * depth_m, 0.15 * depth_m)
    axial, lateral = _with_inclusions(rng, field, count=count, radii_m=radii_m)
    return _scaled(field, axial, lateral, applied_strain=applied_strain, depth_m=depth_m)


def random_discs(
    rng: np.random.Generator, *, applied_strain: float, width_m: float, depth_m: float
) -> DisplacementField:
    """Return a uniform press with six to twenty small discs, each exact on its own, then superposed.

    Their radii are 0.7 to 3 mm, half of them below 1.5 mm.
    """
    step_m = depth_m / 400.0
    shape = round(width_m / step_m) + 1, round(depth_m / step_m) + 1
    field = strain_field(
        np.ones(shape), width_m=width_m, depth_m=depth_m, lateral_ratio=rng.uniform(0.3, 1.0)
    )
    count = int(rng.integers(6, 21))
    axial, lateral = _with_inclusions(rng, field, count=count, radii_m=(0.7e-3, 3e-3))
    return _scaled(field, axial, lateral, applied_strain=applied_strain, depth_m=depth_m)


def _with_inclusions(
    rng: np.random.Generator,
    field: DisplacementField,
    *,
    count: int,
    radii_m: tuple[float, float],
) -> tuple[Float64Array, Float64Array]:
    """Return the motion of a field of mean strain 1 with round inclusions at random places."""
    axial, lateral = field.axial_m, field.lateral_m
    x, z = field.x_m, field.z_m
    width_m, depth_m = x[-1] - x[0], z[-1] - z[0]
    low, high = (math.log(radius) for radius in radii_m)
    for _ in range(count):
        radius = math.exp(rng.uniform(low, high))
        ratio = math.exp(rng.uniform(math.log(0.25), math.log(8.0)))
        poisson = rng.uniform(0.4, 0.495)
        centre_x, centre_z = rng.uniform(-0.5, 0.5) * width_m, rng.uniform(0.05, 0.95) * depth_m
        here = np.meshgrid(x - centre_x, z - centre_z, indexing="ij")
        u, v = circular_inclusion(*here, radius_m=radius, stiffness_ratio=ratio, poisson=poisson)
        u = u - here[1]
        v = v + poisson / (1.0 - poisson) * here[0]
        axial = axial + u - u[:, :1]
        lateral = lateral + v
    return axial, lateral


def _scaled(
    field: DisplacementField,
    axial: Float64Array,
    lateral: Float64Array,
    *,
    applied_strain: float,
    depth_m: float,
) -> DisplacementField:
    """Return the motion scaled to a mean axial strain, without lateral motion at the middle of the probe."""
    lateral = lateral - lateral[lateral.shape[0] // 2, 0]
    mean = (axial[:, -1] - axial[:, 0]).mean() / depth_m
    scale = applied_strain / mean if abs(mean) > 0.2 else applied_strain
    return DisplacementField(
        scale * axial, scale * lateral, field.x0_m, field.z0_m, field.dx_m, field.dz_m
    )
