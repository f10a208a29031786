"""Lateral displacement and strain of the classical engines: size, sign, and what the stretch took out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from residual_pairs import FORMAT, rms, speckle_residual
from speckle import speckle_pair

import rtelasto
from rtelasto.cpu.classical.am import AmEngine
from rtelasto.cpu.classical.least_squares import LATERAL_LINES, lateral_slope
from rtelasto.cpu.classical.ncc import NccEngine
from rtelasto.frames.strain import Elongation

PITCH_M = FORMAT.line_pitch_m
INNER = np.s_[6:-6, 12:-12]
ENGINES = [NccEngine, AmEngine]
WIDE = dataclasses.replace(FORMAT, n_lines=96, n_samples=1600)


def test_the_slope_across_the_lines_is_that_of_a_straight_line_up_to_the_sides():
    x_m = WIDE.grid.lateral_m[:, None]
    moved = (2e-5 + 0.004 * x_m) * np.ones((1, 7))
    np.testing.assert_allclose(lateral_slope(moved.astype(np.float32), PITCH_M), 0.004, rtol=1e-4)
    bent = (0.5 * x_m**2 * np.ones((1, 7))).astype(np.float32)
    inner = slice(LATERAL_LINES // 2, -(LATERAL_LINES // 2))
    slope = lateral_slope(bent, PITCH_M)[inner]
    np.testing.assert_allclose(slope, np.broadcast_to(x_m[inner], slope.shape), atol=1e-6)
    assert not lateral_slope(bent[:1], PITCH_M).any()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lines", [0.7, -0.4])
def test_residual_motion_across_the_lines_is_measured(engine, lines):
    motion = Elongation(lateral_offset_m=lines * PITCH_M, axial_slope=0.003)
    found = engine().estimate(speckle_residual(6, motion=motion))
    assert rms((found.lateral_displacement_m / PITCH_M - lines)[INNER]) < 0.1
    assert rms(found.lateral_strain[INNER]) < 0.01
    assert found.lateral_displacement_m.dtype == found.lateral_strain.dtype == np.float32


@pytest.mark.parametrize("engine", ENGINES)
def test_widening_tissue_has_positive_lateral_strain(engine):
    motion = Elongation(lateral_slope=0.02, axial_slope=-0.003)
    found = engine().estimate(speckle_residual(9, motion=motion, rf_format=WIDE))
    assert np.median(found.lateral_strain[INNER]) == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("engine", ["ncc", "am"])
@pytest.mark.parametrize("lines", [1, -1])
def test_frames_one_line_apart_have_moved_by_one_line(engine, lines):
    frame = speckle_pair(np.random.default_rng(3), rf_format=WIDE).pre.samples
    narrow = dataclasses.replace(WIDE, n_lines=WIDE.n_lines - 1)
    # What was seen by a line is seen by the next one: towards higher line numbers.
    first, second = (frame[1:], frame[:-1]) if lines > 0 else (frame[:-1], frame[1:])
    found = rtelasto.estimate(first, second, narrow, engine=engine)
    assert rms((found.lateral_displacement_m / PITCH_M - lines)[INNER]) < 0.02
    assert rms(found.lateral_strain[INNER]) < 0.005


@pytest.mark.parametrize("engine", ["ncc", "am"])
def test_the_shift_and_slope_of_all_tissue_are_added_back(engine):
    motion = Elongation(0.0, 0.0, -0.01, 0.0, 1.6 * PITCH_M, 0.012)
    pair = speckle_pair(np.random.default_rng(4), rf_format=WIDE, elongation=motion, snr_db=25)
    found = rtelasto.estimate(pair.pre.samples, pair.post.samples, WIDE, engine=engine)
    truth = motion.lateral_displacement_m(found.grid.lateral_m[:, None], found.grid.depth_m)
    assert rms(((found.lateral_displacement_m - truth) / PITCH_M)[INNER]) < 0.1
    assert np.median(found.lateral_strain) == pytest.approx(0.012, rel=0.1)


def test_plain_correlation_knows_no_lateral_motion():
    found = NccEngine(coarse_passes=0).estimate(speckle_residual(6))
    assert found.lateral_displacement_m is found.lateral_strain is None


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "most_lines"), [("ncc", 0.02), ("am", 0.05)])
def test_lateral_motion_of_simulated_tissue_is_that_of_the_truth(engine, most_lines):
    simulate = pytest.importorskip(
        "rtelasto_engines.simulate.pair", reason="the sim extra is absent"
    )
    errors, strain_errors, moved = [], [], []
    for seed in (9_850_003, 9_850_005):
        pair = simulate.simulate_pair(seed, "published", truth_stride=16)
        found = rtelasto.estimate(pair.pre, pair.post, pair.format, engine=engine)
        truth = pair.field.truth(found.grid)
        inner = np.s_[8:-8, 24:-24]
        pitch_m = found.grid.line_pitch_m
        strain = np.gradient(truth.lateral_displacement_m, pitch_m, axis=0)
        errors.append(rms((found.lateral_displacement_m - truth.lateral_displacement_m)[inner]))
        strain_errors.append(rms((found.lateral_strain - strain)[inner]))
        moved.append(rms(truth.lateral_displacement_m[inner]))
    assert max(errors) < most_lines * pitch_m
    assert max(errors) < 0.25 * min(moved)
    assert max(strain_errors) < 2e-3
