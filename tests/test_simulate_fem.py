"""Finite elements against exact solutions."""

from __future__ import annotations

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto_engines.simulate.fem import Boundary, solve
from rtelasto_engines.simulate.ideal import circular_inclusion
from rtelasto_engines.simulate.tissue import (
    PUBLISHED_YOUNG_KPA,
    Inclusion,
    Layer,
    Tissue,
    published_tissue,
    random_tissue,
)

pytest.importorskip("skfem")


def test_homogeneous_block_strains_uniformly():
    motion = solve(Tissue(width_m=0.03, depth_m=0.05, poisson=0.45), element_m=2e-3)
    field = motion.field(applied_strain=-0.01)
    x, z = field.x_m[:, None], field.z_m[None, :]
    np.testing.assert_allclose(field.axial_m, -0.01 * z + 0 * x, atol=1e-12)
    # Free sides in plane strain: lateral strain ν/(1 − ν) times the axial one, outwards.
    np.testing.assert_allclose(field.lateral_m, 0.01 * 0.45 / 0.55 * x + 0 * z, atol=1e-12)


def test_tilted_press_strains_one_edge_more():
    field = solve(Tissue(), element_m=2e-3).field(applied_strain=-0.01, tilt=0.4)
    strain = np.diff(field.axial_m, axis=1).mean(axis=1) / field.dz_m
    assert strain[-1] == pytest.approx(-0.014, rel=1e-6)
    assert strain[0] == pytest.approx(-0.006, rel=1e-6)
    np.testing.assert_allclose(field.axial_m[:, 0], 0.0, atol=1e-12)
    # The probe turns by θ = 2·0.4·1 %·depth/width = 13 mrad about its face; bending apart, depth z
    # slides by θz in its frame, here towards the edge that is pressed more.
    slide = field.lateral_m[field.lateral_m.shape[0] // 2, -1]
    assert abs(slide) > 0.1 * 0.0133 * 0.05


def test_layers_share_the_stress():
    # The force through every depth is the same, and away from the interface (Saint-Venant) the
    # stress is uniaxial: with equal ν the strain goes as 1/E.
    tissue = Tissue(width_m=0.015, depth_m=0.06, layers=(Layer(top_m=0.03, young_kpa=50.0),))
    field = solve(tissue, element_m=1e-3).field(applied_strain=-0.01)
    strain = np.diff(field.axial_m, axis=1).mean(axis=0) / field.dz_m
    assert strain[:20].mean() / strain[-20:].mean() == pytest.approx(2.0, rel=0.02)
    assert strain.mean() == pytest.approx(-0.01, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.32, 3.2])
def test_round_inclusion_agrees_with_the_closed_form(ratio):
    radius = 2.5e-3
    tissue = Tissue(
        width_m=0.05,
        depth_m=0.05,
        inclusions=(Inclusion(0.0, 0.025, radius, radius, young_kpa=25.0 * ratio),),
    )
    field = solve(tissue, element_m=0.625e-3).field(applied_strain=-0.01)
    x, z = np.meshgrid(np.linspace(-8e-3, 8e-3, 33), np.linspace(-8e-3, 8e-3, 33))
    u, _ = circular_inclusion(x, z, radius_m=radius, stiffness_ratio=ratio)
    got, _ = field.at(x, 0.025 + z)
    got -= got.mean()
    expected = -0.01 * (u - u.mean())
    # The finite block and the blurred edge take a per cent of the 80 µm range.
    assert np.abs(got - expected).max() < 0.02 * np.ptp(expected)
    inside = field.gradient(np.zeros(5), 0.025 + np.linspace(-1e-3, 1e-3, 5)).u_z
    exact, _ = circular_inclusion(0.0, 1e-3, radius_m=radius, stiffness_ratio=ratio)
    np.testing.assert_allclose(inside, -0.01 * float(exact) / 1e-3, rtol=0.04)


def test_narrow_probe_strains_most_at_half_its_width():
    # A flat smooth punch on nearly incompressible tissue: right below it the pressure is almost
    # hydrostatic (Johnson, Contact Mechanics, sec. 2.8: σ_xx = σ_zz at the surface), so the strain
    # rises to a maximum about half a punch width down and falls off below.
    tissue = Tissue(width_m=0.02, depth_m=0.06)
    boundary = Boundary(probe_width_m=0.02, flank_m=0.1)
    field = solve(tissue, boundary, element_m=1e-3).field(applied_strain=-0.01)
    assert field.x_m[-1] == pytest.approx(0.01)
    strain = np.diff(field.axial_m[field.axial_m.shape[0] // 2]) / field.dz_m
    assert 0.006 < field.z_m[np.argmin(strain)] < 0.02
    assert strain[0] > 0.5 * strain.min()
    assert strain[-1] > 0.9 * strain.min()
    assert strain.mean() == pytest.approx(-0.01, rel=1e-6)


def test_bonded_skin_and_fixed_bottom_do_not_slide():
    boundary = Boundary(top="bonded", bottom="fixed")
    motion = solve(Tissue(), boundary, element_m=2e-3)
    field = motion.field(applied_strain=-0.01)
    np.testing.assert_allclose(field.lateral_m[:, [0, -1]], 0.0, atol=1e-12)
    assert field.lateral_m[-1, field.lateral_m.shape[1] // 2] > 5e-5
    dragged = motion.field(applied_strain=-0.01, shear=0.5)
    # The face moves sideways by half of what it presses; seen from it, the bottom slides as much.
    slide = dragged.lateral_m[:, -1] - field.lateral_m[:, -1]
    np.testing.assert_allclose(np.abs(slide), 0.5 * 0.01 * 0.05, rtol=1e-9)
    np.testing.assert_allclose(dragged.lateral_m[:, 0], 0.0, atol=1e-12)


def test_published_tissue_is_as_published():
    tissues = [published_tissue(np.random.default_rng(seed)) for seed in range(200)]
    assert {t.inclusions[0].young_kpa for t in tissues} == set(PUBLISHED_YOUNG_KPA)
    for tissue in tissues:
        assert (tissue.width_m, tissue.depth_m, tissue.background_kpa) == (0.03, 0.05, 25.0)
        (inclusion,) = tissue.inclusions
        young = tissue.young_kpa(np.array([inclusion.x_m, 0.0149]), np.array([inclusion.z_m, 1e-3]))
        np.testing.assert_allclose(young, [inclusion.young_kpa, 25.0])


def test_modulus_map_blends_edges_and_lets_later_parts_cover():
    tissue = Tissue(
        background_kpa=10.0,
        layers=(Layer(top_m=0.02, young_kpa=40.0, edge_m=2e-3),),
        inclusions=(Inclusion(0.0, 0.03, 4e-3, 2e-3, angle_rad=np.pi / 2, young_kpa=80.0),),
    )
    young = tissue.young_kpa(np.zeros(4), np.array([0.01, 0.02, 0.025, 0.0335]))
    np.testing.assert_allclose(young, [10.0, 20.0, 40.0, 80.0])
    # Turned by a right angle, the long axis lies along depth.
    np.testing.assert_allclose(tissue.young_kpa(np.array([3.5e-3]), np.array([0.03])), 40.0)


def test_random_tissues_differ_and_are_solvable():
    tissues = [random_tissue(np.random.default_rng(seed)) for seed in range(3)]
    assert len(set(tissues)) == 3
    for tissue in tissues:
        field = solve(tissue, element_m=2e-3).field(applied_strain=-0.01)
        np.testing.assert_allclose(field.axial_m[:, -1], -0.01 * tissue.depth_m, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tissue(poisson=0.5), "poisson must lie in"),
        (lambda: Tissue(width_m=-1.0), "width_m must be a positive number, got -1.0"),
        (lambda: Inclusion(0.0, 0.0, 0.0, 1e-3), "semi_x_m must be a positive number"),
        (lambda: solve(Tissue(), element_m=0.02), "element_m 0.02 is too coarse"),
    ],
)
def test_impossible_tissue_is_refused(make, message):
    with pytest.raises(RtelastoError, match=message):
        make()
