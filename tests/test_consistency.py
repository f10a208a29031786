"""Strain and quality where strain and displacement contradict each other, and where tissue left the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

from rtelasto.accuracy.gates.images import SAMPLE_M, simulated
from rtelasto.cpu.consistency import settle_contradictions
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines.simulate.sliding import layered_field, with_slip

GRID = Grid(24, 500, 4 * SAMPLE_M, 0.225e-3, 0.0)
WAVELENGTH_M = 12.8 * SAMPLE_M
DEPTH_M = 0.05


def settled(
    displacement_m: np.ndarray | float, strain: np.ndarray | float, correlation: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Return quality and strain afterwards."""
    quality, settled_strain, displacement = (
        np.broadcast_to(np.float32(image), GRID.shape).copy()
        for image in (correlation, strain, displacement_m)
    )
    settle_contradictions(quality, displacement, settled_strain, GRID, WAVELENGTH_M)
    return quality, settled_strain


def lowered(
    displacement_m: np.ndarray, strain: np.ndarray | float, correlation: np.ndarray | float = 0.9
) -> np.ndarray:
    return settled(displacement_m, strain, correlation)[0]


def press(strain: float) -> np.ndarray:
    """The displacement of a uniform strain about mid depth: no tissue leaves at either end."""
    return strain * (GRID.depth_m - GRID.depth_m.mean())


@given(strain=st.floats(-0.02, -0.0005), curve=st.floats(-0.3, 0.3))
def test_a_strain_that_is_the_slope_of_the_displacement_keeps_its_quality(strain, curve):
    z = np.linspace(-1.0, 1.0, GRID.n_depths)
    slope = strain * (1.0 + curve * np.sin(12.0 * z))
    displacement_m = np.cumsum(slope) * GRID.axial_step_m
    displacement_m -= displacement_m[0]
    leaves_nowhere = np.minimum(displacement_m, 0.0)
    np.testing.assert_array_equal(lowered(leaves_nowhere, slope), np.float32(0.9))


@pytest.mark.parametrize("jump_samples", [2.0, 8.0, -8.0])
def test_a_slip_that_the_strain_misses_is_not_trusted(jump_samples):
    middle = GRID.n_depths // 2
    slip = jump_samples * SAMPLE_M * (np.arange(GRID.n_depths) >= middle)
    quality = lowered(press(-0.005) - 1e-4 + slip, -0.005)
    reach = round(1.5e-3 / GRID.axial_step_m)
    assert not quality[:, middle - reach + 1 : middle + reach - 1].any()
    inner = np.r_[60 : middle - reach - 1, middle + reach + 2 : GRID.n_depths - 60]
    assert (quality[:, inner] == np.float32(0.9)).all()


@pytest.mark.parametrize("jump_samples", [2.0, 8.0, -8.0])
def test_the_strain_of_a_slip_becomes_the_slope_of_the_displacement(jump_samples):
    middle = GRID.n_depths // 2
    slip = jump_samples * SAMPLE_M * (np.arange(GRID.n_depths) >= middle)
    correlation = np.full(GRID.shape, 0.97)
    correlation[:, middle - 6 : middle + 6] = 0.2  # the warp follows no slip
    _, strain = settled(press(-0.005) - 1e-4 + slip, -0.005, correlation)
    excess_m = (strain + 0.005).sum(axis=1) * GRID.axial_step_m
    np.testing.assert_allclose(excess_m, jump_samples * SAMPLE_M, rtol=1e-3)
    near = np.abs(np.arange(GRID.n_depths) - (middle - 0.5)) * GRID.axial_step_m < 0.4e-3
    np.testing.assert_allclose(strain[:, ~near], -0.005, atol=1e-6)


def test_the_strain_is_kept_where_the_displacement_is_not_reliable():
    slip = press(-0.005) + 8.0 * SAMPLE_M * (np.arange(GRID.n_depths) >= 250)
    for unreliable in (0.85, np.where(np.arange(GRID.n_depths) >= 250, 0.5, 1.0)):
        _, strain = settled(slip, -0.005, unreliable)
        assert (strain == np.float32(-0.005)).all()


def test_half_a_sample_is_normal():
    slip = 0.5 * SAMPLE_M * (np.arange(GRID.n_depths) >= 250)
    quality, strain = settled(slip, 0.0, 0.95)
    assert (quality == np.float32(0.95)).all()
    assert not strain.any()


def test_lines_without_correlation_do_not_judge_their_neighbours():
    displacement_m = np.zeros(GRID.shape)
    displacement_m[::2, 250:] = 40.0 * SAMPLE_M
    displacement_m[4] = np.nan
    correlation = np.full(GRID.shape, 0.9)
    correlation[::2] = 0.0
    quality = lowered(displacement_m, 0.0, correlation)
    assert (quality[1::2] == np.float32(0.9)).all()
    assert not quality[::2].any()


@pytest.mark.parametrize("end", ["top", "bottom"])
def test_the_band_where_tissue_left_is_not_trusted(end):
    sign = -1.0 if end == "top" else 1.0
    band = round(3e-3 / GRID.axial_step_m)
    slight = lowered(sign * 0.9 * GRID.axial_step_m * np.ones(GRID.shape), 0.0)
    assert (slight == np.float32(0.9)).all()
    moved_rows = 10
    quality = lowered(sign * moved_rows * GRID.axial_step_m * np.ones(GRID.shape), 0.0)
    hidden = band + moved_rows
    edge = quality[:, :hidden] if end == "top" else quality[:, -hidden:]
    rest = quality[:, hidden + 1 :] if end == "top" else quality[:, : -hidden - 1]
    assert not edge.any()
    assert (rest == np.float32(0.9)).all()


def estimated(*, jump_samples: float) -> StrainFrame:
    field = layered_field(np.full(64, -0.005), width_m=0.02, depth_m=1.1 * DEPTH_M)
    field = with_slip(field, z_m=0.5 * DEPTH_M, slant_rad=0.0, axial_jump_m=jump_samples * SAMPLE_M)
    return CpuEstimator(open_engine("cnn"))(simulated(field, "focused").frames)


@pytest.mark.slow
@pytest.mark.parametrize("jump_samples", [5.0, 8.0, -8.0])
def test_the_strain_at_a_slip_adds_up_to_it(jump_samples):
    frame = estimated(jump_samples=jump_samples)
    near = np.abs(frame.grid.depth_m - 0.5 * DEPTH_M) <= 3e-3
    excess_m = (frame.axial_strain[8:-8][:, near] + 0.005).sum(axis=1) * frame.grid.axial_step_m
    assert 0.6 < np.median(excess_m) / (jump_samples * SAMPLE_M) < 1.1


@pytest.mark.slow
def test_a_network_that_erases_a_slip_says_so_and_raises_no_false_alarm():
    for jump, least, most in ((0.0, 0.0, 0.0), (8.0, 0.7, 1.0)):
        frame = estimated(jump_samples=jump)
        near = np.abs(frame.grid.depth_m - 0.5 * DEPTH_M) < 1e-3
        hidden = (frame.correlation[4:-4][:, near] < 0.7).mean()
        assert least <= hidden <= most
        away = np.abs(frame.grid.depth_m - 0.3 * DEPTH_M) < 5e-3
        assert (frame.correlation[4:-4][:, away] > 0.7).all()
        assert frame.quality > 0.95
