"""Motion that slides or comes in thin layers, plane-wave echoes, and scatterers that are replaced."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("numba", reason="the simulator needs numba")

from scipy.signal import hilbert

from rtelasto.frames.rf import Grid
from rtelasto_engines.simulate.acoustics import Acoustics
from rtelasto_engines.simulate.artefacts import Artefacts
from rtelasto_engines.simulate.echo import Scatterers
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair
from rtelasto_engines.simulate.plane_wave import PlaneWaveModel, PlaneWaves
from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT, Scene
from rtelasto_engines.simulate.sliding import (
    fine_field,
    layered_field,
    random_fine_field,
    random_slips,
    sinusoidal_strain,
    stacked_strain,
    with_slip,
)

FORMAT = dataclasses.replace(PUBLISHED_FORMAT, n_lines=32, n_samples=1024)
WIDTH_M, DEPTH_M = 12e-3, 21e-3
GRID = Grid(32, 1024, FORMAT.axial_step_m, FORMAT.line_pitch_m)


@pytest.mark.parametrize("slant", [0.0, 0.3, math.pi / 2])
def test_a_slip_jumps_by_what_it_shall_and_its_strain_adds_up_to_that(slant: float) -> None:
    still = fine_field(width_m=WIDTH_M, depth_m=DEPTH_M)
    field = with_slip(still, z_m=10e-3, slant_rad=slant, axial_jump_m=2e-4, lateral_jump_m=-1e-4)
    truth = field.truth(GRID)
    if slant < 1.0:
        jump = truth.axial_displacement_m[:, -50] - truth.axial_displacement_m[:, 50]
        total = truth.axial_strain[:, 50:-50].sum(axis=1) * GRID.axial_step_m
        np.testing.assert_allclose(total, jump, rtol=0.02)
    else:
        jump = truth.axial_displacement_m[0] - truth.axial_displacement_m[-1]
    np.testing.assert_allclose(jump, 2e-4, rtol=0.02)
    v = truth.lateral_displacement_m
    aside = v[:, -50] - v[:, 50] if slant < 1.0 else v[0] - v[-1]
    np.testing.assert_allclose(aside, -1e-4, rtol=0.02)


def test_thin_layers_have_the_strain_they_were_given() -> None:
    strain = sinusoidal_strain(depth_m=DEPTH_M, mean=-0.01, amplitude=0.5, period_m=3e-3)
    truth = layered_field(strain, width_m=WIDTH_M, depth_m=DEPTH_M).truth(GRID)
    wave = np.sin(2.0 * np.pi * GRID.depth_m / 3e-3)
    wanted = np.broadcast_to(-0.01 * (1.0 + 0.5 * wave), GRID.shape)
    np.testing.assert_allclose(truth.axial_strain[:, 40:-40], wanted[:, 40:-40], atol=1.5e-4)


def test_random_layers_and_slips_come_out_the_same_and_keep_the_mean_strain() -> None:
    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        field = random_fine_field(rng, applied_strain=-0.01, width_m=WIDTH_M, depth_m=DEPTH_M)
        field = random_slips(
            rng,
            field,
            sample_m=FORMAT.axial_step_m,
            line_pitch_m=FORMAT.line_pitch_m,
            width_m=WIDTH_M,
            depth_m=DEPTH_M,
        )
        return field.truth(GRID).axial_displacement_m

    for seed in range(5):
        u = draw(seed)
        assert np.isfinite(u).all()
        np.testing.assert_array_equal(u, draw(seed))
    for seed in range(5):
        strain = stacked_strain(np.random.default_rng(seed), depth_m=DEPTH_M, mean=-0.01)
        assert strain.mean() == pytest.approx(-0.01)
        assert strain.max() < 0.0
        assert strain.min() < 1.3 * strain.max()


@pytest.fixture(scope="module")
def plane_waves() -> PlaneWaveModel:
    return PlaneWaveModel(
        FORMAT, Acoustics(attenuation_db_per_cm_mhz=0.0), PlaneWaves(array_width_m=7.4e-3)
    )


def point(x_m: float, z_m: float) -> Scatterers:
    return Scatterers(np.array([x_m]), np.array([z_m]), np.ones(1))


def test_a_point_seen_by_a_plane_wave_lies_where_it_is(plane_waves: PlaneWaveModel) -> None:
    line, sample = 14, 500
    rf = plane_waves.rf(point(FORMAT.grid.lateral_m[line], sample * FORMAT.axial_step_m))
    envelope = np.abs(hilbert(rf, axis=1))
    at = np.unravel_index(int(envelope.argmax()), envelope.shape)
    assert at[0] == line
    assert abs(at[1] - sample) <= 1
    # A fraction of a sample is the fraction of a turn that the mean frequency makes.
    moved = plane_waves.rf(point(FORMAT.grid.lateral_m[line], (sample + 0.5) * FORMAT.axial_step_m))
    product = (np.conj(hilbert(rf, axis=1)) * hilbert(moved, axis=1)).sum()
    turned = -float(np.angle(product)) / (2.0 * np.pi / 6.4)
    assert 0.42 < turned < 0.52


def test_the_ends_of_the_array_see_less_and_mirror_each_other(plane_waves: PlaneWaveModel) -> None:
    x_m = FORMAT.grid.lateral_m[-1]
    right, left = (plane_waves.rf(point(side * x_m, 10e-3)) for side in (1.0, -1.0))
    np.testing.assert_allclose(right, left[::-1], atol=1e-5)
    middle = plane_waves.rf(point(0.0, 10e-3))
    assert np.abs(right).max() < 0.8 * np.abs(middle).max()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_replaced_scatterers_decorrelate_the_frames_by_their_share(share: float) -> None:
    scene = Scene(format=FORMAT, artefacts=Artefacts(echo_snr_db=60.0), plane_waves=PlaneWaves())
    still = fine_field(width_m=WIDTH_M, depth_m=DEPTH_M)
    pair: SimulatedPair = simulate_pair(
        3,
        "ideal",
        scene=scene,
        field=still,
        rigid_share=0.0,
        out_of_plane_m=0.0,
        replaced_share=share,
        truth_stride=16,
    )
    assert pair.metadata["replaced_share"] == share
    found = np.corrcoef(pair.pre.ravel(), pair.post.ravel())[0, 1]
    assert found == pytest.approx(1.0 - share, abs=0.05)
