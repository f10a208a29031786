"""Motion that is not that of a smooth elastic solid: sliding tissue, and stacks of thin layers.

Both change within tenths of a millimetre, so these fields have a finer axial grid than others.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

from rtelasto_engines.simulate.motion import DisplacementField

Float64Array = NDArray[np.float64]

STEP_M = 0.1e-3


def fine_field(*, width_m: float, depth_m: float) -> DisplacementField:
    """Return a field at rest with nodes 0.1 mm apart along depth and twice that across."""
    n_x = max(4, round(width_m / (2.0 * STEP_M)) + 1)
    n_z = max(4, round(depth_m / STEP_M) + 1)
    still = np.zeros((n_x, n_z))
    return DisplacementField(
        still, still, -0.5 * width_m, 0.0, width_m / (n_x - 1), depth_m / (n_z - 1)
    )


def with_slip(
    field: DisplacementField,
    *,
    z_m: float,
    slant_rad: float,
    axial_jump_m: float,
    lateral_jump_m: float = 0.0,
    x_m: float = 0.0,
    edge_m: float = 2.0 * STEP_M,
) -> DisplacementField:
    """Return the field with an additional jump of the tissue beyond a plane.

    The plane goes through (x_m, z_m); it is horizontal if ``slant_rad`` is 0 and along the beam at π/2. The
    jump extends over ``edge_m``, so that it has an exact strain.
    """
    x, z = field.x_m[:, None], field.z_m[None, :]
    distance = (z - z_m) * math.cos(slant_rad) - (x - x_m) * math.sin(slant_rad)
    t = np.clip(distance / edge_m + 0.5, 0.0, 1.0)
    beyond = t * t * (3.0 - 2.0 * t)
    return DisplacementField(
        field.axial_m + axial_jump_m * beyond,
        field.lateral_m + lateral_jump_m * beyond,
        field.x0_m,
        field.z0_m,
        field.dx_m,
        field.dz_m,
    )


def layered_field(
    strain: NDArray[np.floating],
    *,
    width_m: float,
    depth_m: float,
    slope: float = 0.0,
    lateral_ratio: float = 0.0,
) -> DisplacementField:
    """Return the field with the axial strain ``strain`` along z − slope·x, sampled evenly from 0 to depth.

    Tissue also expands laterally by ``lateral_ratio`` times the mean strain, uniformly.
    """
    field = fine_field(width_m=width_m, depth_m=depth_m)
    where = np.linspace(0.0, depth_m, strain.size)
    u = cumulative_trapezoid(strain, where, initial=0.0)
    beneath = field.z_m[None, :] - slope * field.x_m[:, None]
    axial = np.interp(beneath, where, u)
    axial += np.where(beneath < 0.0, beneath * strain[0], 0.0)
    axial += np.where(beneath > depth_m, (beneath - depth_m) * strain[-1], 0.0)
    lateral = np.broadcast_to(
        -lateral_ratio * float(np.mean(strain)) * field.x_m[:, None], axial.shape
    )
    return DisplacementField(axial, lateral.copy(), field.x0_m, field.z0_m, field.dx_m, field.dz_m)


def sinusoidal_strain(
    *, depth_m: float, mean: float, amplitude: float, period_m: float, phase_rad: float = 0.0
) -> Float64Array:
    """Return mean·(1 + amplitude·sin), sampled every 0.05 mm."""
    z = np.linspace(0.0, depth_m, max(8, round(depth_m / 0.05e-3) + 1))
    return mean * (1.0 + amplitude * np.sin(2.0 * math.pi * z / period_m + phase_rad))


def stacked_strain(rng: np.random.Generator, *, depth_m: float, mean: float) -> Float64Array:
    """Draw stacks of 2 to 12 layers of 0.5 to 3 mm, softer or stiffer than the tissue between them."""
    z = np.linspace(0.0, depth_m, max(8, round(depth_m / 0.05e-3) + 1))
    log_strain = np.zeros(z.size)
    edge_m = rng.uniform(0.1e-3, 0.4e-3)
    for _ in range(rng.integers(1, 4)):
        thickness = rng.uniform(0.5e-3, 3e-3)
        gap = thickness * math.exp(rng.uniform(-0.6, 0.6))
        top = rng.uniform(0.02, 0.9) * depth_m
        contrast = rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.8)
        for _ in range(rng.integers(2, 13)):
            centre = top + 0.5 * thickness
            inside = 0.5 + 0.5 * np.tanh((0.5 * thickness - np.abs(z - centre)) / (0.5 * edge_m))
            log_strain += contrast * inside
            top += thickness + gap
            if rng.random() < 0.3:
                thickness = rng.uniform(0.5e-3, 3e-3)
    strain = np.exp(np.clip(log_strain, -2.2, 2.2))
    return mean * strain / strain.mean()


def random_fine_field(
    rng: np.random.Generator, *, applied_strain: float, width_m: float, depth_m: float
) -> DisplacementField:
    """Draw layer stacks or sinusoidal strain along any slope up to 0.4, or a uniform press."""
    kind = rng.random()
    if kind < 0.45:
        strain = stacked_strain(rng, depth_m=depth_m, mean=applied_strain)
    elif kind < 0.75:
        period_m = math.exp(rng.uniform(math.log(2e-3), math.log(14e-3)))
        strain = sinusoidal_strain(
            depth_m=depth_m,
            mean=applied_strain,
            amplitude=rng.uniform(0.1, 0.9),
            period_m=period_m,
            phase_rad=rng.uniform(0.0, 2.0 * math.pi),
        )
    else:
        strain = np.full(64, applied_strain)
    return layered_field(
        strain,
        width_m=width_m,
        depth_m=depth_m,
        slope=float(rng.choice([0.0, rng.uniform(-0.4, 0.4)])),
        lateral_ratio=rng.uniform(0.0, 1.0),
    )


def random_slips(
    rng: np.random.Generator,
    field: DisplacementField,
    *,
    sample_m: float,
    line_pitch_m: float,
    width_m: float,
    depth_m: float,
) -> DisplacementField:
    """Draw one or two slip planes of any slope: jumps of 1 to 25 samples, up to 1.5 lines sideways."""
    for _ in range(rng.choice([1, 2], p=[0.75, 0.25])):
        level = rng.random() < 0.5
        slant = rng.normal(0.0, 0.2) if level else rng.uniform(-0.5 * math.pi, 0.5 * math.pi)
        axial = math.exp(rng.uniform(0.0, math.log(25.0))) * sample_m * rng.choice([-1.0, 1.0])
        lateral = rng.uniform(-1.5, 1.5) * line_pitch_m
        which = rng.random()
        field = with_slip(
            field,
            z_m=rng.uniform(0.1, 0.9) * depth_m,
            x_m=rng.uniform(-0.35, 0.35) * width_m,
            slant_rad=float(slant),
            axial_jump_m=float(axial) * (which < 0.85),
            lateral_jump_m=float(lateral) * (which > 0.5),
            edge_m=rng.uniform(1.5, 4.0) * STEP_M,
        )
    return field
