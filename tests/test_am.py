from __future__ import annotations

import itertools

import numpy as np
import pytest
from residual_pairs import (
    FORMAT,
    STEP_M,
    inclusion,
    recorded_pair,
    rms,
    speckle_residual,
)

from rtelasto.cpu.classical.am import AmEngine
from rtelasto.cpu.classical.analytic_minimisation import Weights, gradients, minimise_line
from rtelasto.cpu.classical.dynamic_programming import seed_displacement
from rtelasto.cpu.classical.kalman import kalman_smooth
from rtelasto.cpu.classical.residual_warp import reading_tables
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import Elongation


@pytest.mark.slow
def test_dynamic_programming_finds_the_cheapest_of_all_paths():
    rng = np.random.default_rng(1)
    pre, post = rng.standard_normal((2, 3, 5)).astype(np.float32)
    weight, line = 0.4, 1
    outside = 1.5 * np.mean(np.abs(pre[line]))
    states = list(itertools.product((-1, 0, 1), (-1, 0, 1)))

    def cost(path):
        total = 0.0
        for i, (a, s) in enumerate(path):
            inside = 0 <= i + a < 5
            total += abs(float(pre[line, i]) - post[line + s, i + a]) if inside else outside
            if i > 0:
                da, ds = a - path[i - 1][0], s - path[i - 1][1]
                total += weight * (da**2 + ds**2) if max(abs(da), abs(ds)) <= 1 else np.inf
        return total

    best = min(itertools.product(states, repeat=5), key=cost)
    axial, lateral, per_sample = seed_displacement(
        pre, post, line, search_samples=1, search_lines=1, weight=weight
    )
    assert list(zip(axial, lateral, strict=True)) == list(best)
    assert per_sample == pytest.approx(cost(best) / 5 / np.mean(np.abs(pre[line])), rel=1e-6)


@pytest.mark.parametrize(("samples", "lines"), [(7, 0), (-12, 2), (0, -3)])
def test_dynamic_programming_finds_a_shift_of_whole_samples(samples, lines):
    motion = Elongation(
        axial_offset_m=samples * STEP_M, lateral_offset_m=lines * FORMAT.line_pitch_m
    )
    pair = speckle_residual(2, motion=motion)
    axial, lateral, cost = seed_displacement(
        pair.pre, pair.post, 20, search_samples=16, search_lines=4, weight=1.0
    )
    assert (axial[20:-20] == samples).all()
    assert (lateral[20:-20] == lines).all()
    assert cost < 0.2


def test_gradients_are_those_of_a_wave_along_and_a_ramp_across():
    i = np.arange(200.0)
    image = (0.3 * np.arange(8)[:, None] + np.sin(2 * np.pi * i / 6.4)).astype(np.float32)
    along, across = np.empty_like(image), np.empty_like(image)
    gradients(image, along, across)
    wave = 2 * np.pi / 6.4
    np.testing.assert_allclose(
        along[:, 3:-3], np.tile(wave * np.cos(wave * i), (8, 1))[:, 3:-3], atol=0.01
    )
    np.testing.assert_allclose(across, 0.3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("has_neighbour", [False, True])
def test_a_step_solves_the_normal_equations_of_the_linearised_cost(has_neighbour):
    rng = np.random.default_rng(3)
    n, line = 40, 2
    pre, post = rng.standard_normal((2, 5, n)).astype(np.float32)
    slopes = np.empty_like(pre), np.empty_like(pre)
    gradients(pre, *slopes)
    weights = Weights(3.0, 0.7, 2.0, 0.4, 0.9)
    neighbour = tuple(rng.uniform(-0.5, 0.5, (3, n)))
    start = np.zeros(n), np.zeros(n)

    # The cost as a stack of weighted residuals rows·x - right, x = (a_0 … a_n-1, l_0 … l_n-1).
    rows, right = [], []

    def add(weight, right_side, **entries):
        row = np.zeros(2 * n)
        for name, value in entries.items():
            row[int(name[1:]) + (n if name[0] == "l" else 0)] = value
        rows.append(np.sqrt(weight) * row)
        right.append(np.sqrt(weight) * right_side)

    for i in range(n):
        rest = float(pre[line, i]) - float(post[line, i])
        entries = {f"a{i}": float(slopes[0][line, i]), f"l{i}": float(slopes[1][line, i])}
        add(1.0 / (1.0 + (rest / weights.outlier) ** 2), rest, **entries)
        add(1e-6, 0.0, **{f"a{i}": 1.0})
        add(1e-6, 0.0, **{f"l{i}": 1.0})
        if i > 0:
            add(weights.axial, 0.0, **{f"a{i}": 1.0, f"a{i - 1}": -1.0})
            add(weights.lateral, 0.0, **{f"l{i}": 1.0, f"l{i - 1}": -1.0})
        if has_neighbour:
            trust = 1.0 / (1.0 + abs(neighbour[2][i]))
            add(weights.axial_lateral * trust, neighbour[0][i], **{f"a{i}": 1.0})
            add(weights.lateral_lateral * trust, neighbour[1][i], **{f"l{i}": 1.0})
    expected = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]

    residual = np.zeros(n)
    minimise_line(
        pre,
        post,
        *slopes,
        line,
        (has_neighbour, *neighbour),
        weights,
        (100.0, 100.0),
        reading_tables(),
        (np.empty((n, 3)), np.empty((n, 2))),
        *start,
        residual,
    )
    # Reading the frame at whole samples goes through the interpolation filter, exact to 1e-4.
    np.testing.assert_allclose(np.concatenate(start), expected, atol=2e-3)
    np.testing.assert_allclose(residual, pre[line] - post[line], atol=1e-3)


def test_kalman_smoothing_is_the_most_likely_random_walk():
    rng = np.random.default_rng(4)
    strain = (0.01 * rng.standard_normal((12, 7))).astype(np.float32)
    padded = np.pad(strain.astype(np.float64), 1, mode="edge")
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(12, 7, 9)
    noise = blocks.var(axis=-1).mean()
    process = np.diff(blocks.mean(axis=-1), axis=0) ** 2
    smoothed = kalman_smooth(strain)
    for k in range(7):
        # argmin Σ (z - ε)² / σs² + Σ (ε_j - ε_{j-1})² / σr²_j: the smoother's maximum a posteriori
        system = np.eye(12) / noise
        for j in range(11):
            system[np.ix_([j, j + 1], [j, j + 1])] += np.array([[1, -1], [-1, 1]]) / process[j, k]
        expected = np.linalg.solve(system, strain[:, k].astype(np.float64) / noise)
        np.testing.assert_allclose(smoothed[:, k], expected, atol=1e-6)


def test_kalman_smoothing_takes_noise_and_leaves_an_edge():
    rng = np.random.default_rng(5)
    truth = np.where(np.arange(60) < 30, -0.005, -0.015)[:, None] * np.ones((60, 80))
    noisy = (truth + 0.001 * rng.standard_normal(truth.shape)).astype(np.float32)
    smoothed = kalman_smooth(noisy)
    assert rms((smoothed - truth)[:25]) < 0.6 * rms((noisy - truth)[:25])
    assert np.abs((smoothed - truth)[28:32]).mean() < 0.001


def test_kalman_smoothing_of_constant_strain_is_that_strain():
    constant = np.full((9, 11), 0.01, np.float32)
    np.testing.assert_allclose(kalman_smooth(constant), constant, rtol=1e-6)
    assert not kalman_smooth(np.zeros((1, 3), np.float32)).any()


@pytest.mark.parametrize("offset", [0.0, 0.37, -5.5, 14.8])
def test_a_shift_is_measured_to_a_few_hundredths_of_a_sample(offset):
    pair = speckle_residual(6, motion=Elongation(axial_offset_m=offset * STEP_M))
    motion = AmEngine().estimate(pair)
    error = motion.axial_displacement_m / STEP_M - offset
    assert rms(error[:, 12:-12]) < 0.03
    assert rms(motion.axial_strain[:, 16:-16]) < 1e-3


@pytest.mark.parametrize("strain", [-0.01, 0.015])
def test_uniform_strain_is_measured_at_the_right_depths(strain):
    pair = speckle_residual(7, motion=Elongation(axial_offset_m=-strain * 6e-3, axial_slope=strain))
    motion = AmEngine().estimate(pair)
    # Speckle is drawn from depth 0 on; row k of the output stands at sample 4 k.
    depth = 4 * STEP_M * np.arange(150)
    error = motion.axial_displacement_m - strain * (depth - 6e-3)
    assert rms(error[:, 12:-12]) < 0.05 * STEP_M
    assert np.median(motion.axial_strain) == pytest.approx(strain, rel=0.03)
    assert motion.grid.shape == motion.axial_strain.shape == (40, 150)


def test_an_inclusion_and_lateral_motion_are_followed():
    # Motion across the lines changes where speckle stands, by too little to move the inclusion.
    motion = Elongation(lateral_offset_m=0.7 * FORMAT.line_pitch_m)
    pair = speckle_residual(8, motion=motion, local_displacement_m=inclusion)
    axial, lateral = AmEngine().track(pair)
    x, z = FORMAT.grid.lateral_m[:, None], 4 * STEP_M * np.arange(150)
    assert rms((axial - inclusion(x, z) / STEP_M)[2:-2, 12:-12]) < 0.06
    assert np.median(lateral) == pytest.approx(0.7, abs=0.1)
    inside = x**2 + (z - 6e-3) ** 2 < 1e-3**2
    strain = AmEngine(strain_window=61).estimate(pair).axial_strain
    assert np.median(strain[inside]) == pytest.approx(0.006, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (1, 400), (3, 40), (70, 30)])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_frames_without_echo_do_not_move(shape, value):
    frame = np.full(shape, value, np.float32)
    motion = AmEngine().estimate(recorded_pair(frame, frame))
    assert motion.grid.shape == (shape[0], -(-shape[1] // 4))
    assert not motion.axial_displacement_m.any()
    assert not motion.axial_strain.any()


@pytest.mark.parametrize("shape", [(1, 5), (4, 9), (1, 500), (30, 90)])
def test_unrelated_frames_give_finite_images_within_reach(shape):
    rng = np.random.default_rng(9)
    pre, post = rng.standard_normal((2, *shape))
    pre[0, 0] = np.inf
    motion = AmEngine().estimate(recorded_pair(pre, post))
    assert motion.axial_displacement_m.dtype == motion.axial_strain.dtype == np.float32
    assert np.abs(motion.axial_displacement_m).max() <= 17.01 * STEP_M
    assert np.isfinite(motion.axial_strain).all()


def test_one_step_per_line_and_plain_strain_are_options():
    pair = speckle_residual(10, motion=Elongation(axial_slope=0.004), snr_db=15.0)
    truth = 0.004
    smooth = AmEngine(line_steps=1).estimate(pair).axial_strain
    plain = AmEngine(line_steps=1, kalman=False).estimate(pair).axial_strain
    assert rms(smooth - truth) < rms(plain - truth)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("axial_weight", 0.0, "above 0, got 0"),
        ("outlier_residual", float("nan"), "above 0, got nan"),
        ("seed_weight", "much", "a number, got 'much'"),
        ("search_samples", 0, "a whole number of at least 1, got 0"),
        ("line_steps", 1.5, "a whole number of at least 1, got 1.5"),
    ],
)
def test_parameters_out_of_range_are_named(name, value, reason):
    with pytest.raises(RtelastoError, match=f"{name} must be {reason}"):
        AmEngine(**{name: value})
