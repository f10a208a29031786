"""Displacement fields: interpolation, strain, inversion, composition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtelasto.frames.rf import Grid
from rtelasto_engines.simulate.ideal import (
    circular_inclusion,
    random_discs,
    random_field,
    strain_field,
)
from rtelasto_engines.simulate.motion import DisplacementField, material_points, truth_between

GRID = Grid(16, 200, 0.2e-3, 1.0e-3, 1e-3)
SMALL = st.floats(-0.05, 0.05)


def wavy_field() -> DisplacementField:
    field = DisplacementField.zero(width_m=0.02, depth_m=0.045)
    x, z = field.x_m[:, None], field.z_m[None, :]
    axial = -0.01 * z + 60e-6 * np.sin(300.0 * z + 100.0 * x)
    lateral = 0.005 * x + 40e-6 * np.cos(250.0 * z - 150.0 * x)
    return DisplacementField(axial, lateral, field.x0_m, field.z0_m, field.dx_m, field.dz_m)


@settings(max_examples=30)
@given(
    offset=st.floats(-1e-3, 1e-3),
    tilt=SMALL,
    slope=SMALL,
    shear=SMALL,
    x=st.floats(-0.03, 0.03),
    z=st.floats(-0.02, 0.08),
)
def test_affine_motion_is_exact_inside_and_outside_the_nodes(offset, tilt, slope, shear, x, z):
    field = DisplacementField.zero(width_m=0.02, depth_m=0.04).plus_affine(
        axial_offset_m=offset,
        axial_tilt=tilt,
        axial_slope=slope,
        lateral_slope=slope,
        lateral_shear=shear,
    )
    motion = field.gradient(np.array([x]), np.array([z]))
    np.testing.assert_allclose(motion.u, offset + tilt * x + slope * z, atol=1e-12)
    np.testing.assert_allclose(motion.v, slope * x + shear * z, atol=1e-12)
    for got, expected in ((motion.u_x, tilt), (motion.u_z, slope), (motion.v_z, shear)):
        np.testing.assert_allclose(got, expected, atol=1e-10)


def test_cubic_follows_a_wave_and_its_derivative():
    # Keys' cubic has a third-order error: 12 nodes a period leave about 0.3 % of the amplitude.
    field = wavy_field()
    x, z = np.meshgrid(np.linspace(-8e-3, 8e-3, 57), np.linspace(1e-3, 44e-3, 211))
    motion = field.gradient(x, z)
    np.testing.assert_allclose(motion.u, -0.01 * z + 60e-6 * np.sin(300 * z + 100 * x), atol=1e-7)
    strain = -0.01 + 60e-6 * 300 * np.cos(300 * z + 100 * x)
    np.testing.assert_allclose(motion.u_z, strain, atol=2e-4)


def test_truth_on_a_grid_is_the_field_at_its_points():
    field = wavy_field()
    truth = field.truth(GRID)
    motion = field.gradient(GRID.lateral_m[:, None], GRID.depth_m[None, :])
    np.testing.assert_allclose(truth.axial_displacement_m, motion.u, atol=1e-10)
    np.testing.assert_allclose(truth.axial_strain, motion.u_z, atol=1e-8)
    np.testing.assert_allclose(truth.lateral_displacement_m, motion.v, atol=1e-10)
    # The strain is the derivative of the displacement itself, not a second interpolation.
    fine = Grid(16, 20_000, 2e-6, 1.0e-3, 1e-3)
    u = field.gradient(fine.lateral_m[:, None], fine.depth_m[None, :]).u
    strain = field.truth(fine).axial_strain
    np.testing.assert_allclose(strain[:, 1:-1], (u[:, 2:] - u[:, :-2]) / 4e-6, atol=2e-6)


def test_material_points_undo_the_motion():
    field = wavy_field()
    x, z = np.meshgrid(np.linspace(-8e-3, 8e-3, 9), np.linspace(1e-3, 40e-3, 31))
    u, v = field.at(x, z)
    back_x, back_z = material_points(field, x + v, z + u)
    np.testing.assert_allclose(back_x, x, atol=2e-10)
    np.testing.assert_allclose(back_z, z, atol=2e-10)


@settings(max_examples=20)
@given(a=SMALL, b=SMALL)
def test_motion_between_two_uniform_states(a, b):
    # z → (1 + a)z and z → (1 + b)z: from one to the other u = (b − a)/(1 + a)·z.
    still = DisplacementField.zero(width_m=0.02, depth_m=0.045)
    state_a = still.plus_affine(axial_slope=a, lateral_slope=-a)
    state_b = still.plus_affine(axial_slope=b, lateral_offset_m=1e-4)
    truth = truth_between(state_a, state_b, GRID)
    strain = (b - a) / (1.0 + a)
    z = np.broadcast_to(GRID.depth_m, GRID.shape)
    np.testing.assert_allclose(truth.axial_displacement_m, strain * z, atol=2e-9)
    np.testing.assert_allclose(truth.axial_strain, strain, atol=1e-7)
    lateral = 1e-4 + a / (1.0 - a) * GRID.lateral_m
    np.testing.assert_allclose(truth.lateral_displacement_m[:, 5], lateral, atol=2e-9)


def test_motion_between_two_states_lands_on_the_same_tissue():
    state_a, state_b = wavy_field(), wavy_field().scaled(-0.7).plus_affine(axial_tilt=0.002)
    x, z = np.meshgrid(np.linspace(-6e-3, 6e-3, 7), np.linspace(3e-3, 40e-3, 8), indexing="ij")
    grid = Grid(7, 8, 37e-3 / 7, 2e-3, 3e-3)
    truth = truth_between(state_a, state_b, grid)
    reference = material_points(state_a, x, z)
    u, v = state_b.at(*reference)
    np.testing.assert_allclose(z + truth.axial_displacement_m, reference[1] + u, atol=5e-9)
    np.testing.assert_allclose(x + truth.lateral_displacement_m, reference[0] + v, atol=5e-9)
    # Strain by the chain rule against the difference of displacements 20 µm apart.
    step = 1e-5
    above = truth_between(state_a, state_b, Grid(7, 8, 37e-3 / 7, 2e-3, 3e-3 - step))
    below = truth_between(state_a, state_b, Grid(7, 8, 37e-3 / 7, 2e-3, 3e-3 + step))
    slope = (below.axial_displacement_m - above.axial_displacement_m) / (2 * step)
    np.testing.assert_allclose(truth.axial_strain, slope, atol=1e-4)


def test_sum_of_fields_on_different_nodes():
    fine = DisplacementField.zero(width_m=0.02, depth_m=0.04, step_m=0.2e-3)
    total = fine.plus(wavy_field())
    u, v = wavy_field().at(fine.x_m[:, None], fine.z_m[None, :])
    np.testing.assert_allclose(total.axial_m, u)
    np.testing.assert_allclose(total.lateral_m, v)


def test_nodes_of_unequal_shape_are_refused():
    with pytest.raises(ValueError, match="common shape"):
        DisplacementField(np.zeros((5, 5)), np.zeros((5, 6)), 0.0, 0.0, 1e-3, 1e-3)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 4.0])
def test_round_inclusion_is_continuous_and_uniform_inside(ratio):
    radius = 4e-3
    angle = np.linspace(0.0, 2.0 * np.pi, 37)
    ring = radius * np.cos(angle), radius * np.sin(angle)
    inner = circular_inclusion(
        ring[0] * (1 - 1e-9), ring[1] * (1 - 1e-9), radius_m=radius, stiffness_ratio=ratio
    )
    outer = circular_inclusion(
        ring[0] * (1 + 1e-9), ring[1] * (1 + 1e-9), radius_m=radius, stiffness_ratio=ratio
    )
    np.testing.assert_allclose(inner, outer, atol=1e-10)
    z = np.linspace(-3e-3, 3e-3, 7)
    u, _ = circular_inclusion(1e-3 + 0 * z, z, radius_m=radius, stiffness_ratio=ratio)
    assert np.ptp(np.diff(u)) < 1e-12
    # Far away, the remote strain: 1 axially, −ν/(1 − ν) laterally.
    u, v = circular_inclusion(
        np.array([2.0]), np.array([3.0]), radius_m=radius, stiffness_ratio=ratio
    )
    np.testing.assert_allclose([u[0], v[0]], [3.0, -2.0 * 0.49 / 0.51], rtol=1e-5)


def test_strain_field_integrates_a_layered_strain():
    strain = np.full((21, 41), -0.01)
    strain[:, 20:] = -0.03
    field = strain_field(strain, width_m=0.02, depth_m=0.04)
    u, _ = field.at(np.zeros(3), np.array([0.0, 0.01, 0.04]))
    np.testing.assert_allclose(u, [0.0, -1e-4, -(0.19 + 0.02 + 0.6) * 1e-3], atol=1e-9)


def assert_pressed(field: DisplacementField, applied_strain: float, *, depth_m: float) -> None:
    face, _ = field.at(np.linspace(-0.01, 0.01, 5), np.zeros(5))
    np.testing.assert_allclose(face, 0.0, atol=1e-12)
    mean = (field.axial_m[:, -1] - field.axial_m[:, 0]).mean() / depth_m
    assert mean == pytest.approx(applied_strain, rel=1e-6)
    # Tissue must not fold: every depth stays below the one above it.
    assert (np.diff(field.axial_m, axis=1) > -field.dz_m).all()


@pytest.mark.parametrize("seed", range(6))
def test_random_field_applies_what_is_asked_and_stays_at_the_face(seed):
    field = random_field(
        np.random.default_rng(seed), applied_strain=-0.02, width_m=0.03, depth_m=0.05
    )
    assert_pressed(field, -0.02, depth_m=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_random_discs_are_small_and_the_rest_is_uniform(seed):
    field = random_discs(
        np.random.default_rng(seed), applied_strain=-0.01, width_m=0.03, depth_m=0.05
    )
    assert_pressed(field, -0.01, depth_m=0.05)
    strain = np.diff(field.axial_m, axis=1) / field.dz_m
    # Twenty discs of 3 mm would cover a third of the image.
    off = np.abs(strain / np.median(strain) - 1.0) > 0.3
    assert 0.005 < off.mean() < 0.4
