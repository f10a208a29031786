from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from residual_pairs import (
    FORMAT,
    STEP_M,
    inclusion,
    recorded_pair,
    rms,
    speckle_residual,
)

from rtelasto.cpu.classical.correlation_peak import (
    cosine_offset,
    lateral_motion,
    peak_displacement,
)
from rtelasto.cpu.classical.ncc import NccEngine, smooth_weighted
from rtelasto.cpu.classical.residual_warp import warp_by_residual
from rtelasto.cpu.classical.windowed_correlation import correlation_volumes
from rtelasto.cpu.line_threads import over_lines
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import Elongation


def correlation_by_hand(pre, post, line, centre, shift, lag, half_window, half_lines):
    n_lines, n_samples = pre.shape
    before, after = [], []
    for other in range(line - half_lines, line + half_lines + 1):
        for i in range(centre - half_window, centre + half_window + 1):
            in_pre = 0 <= other < n_lines and 0 <= i < n_samples
            in_post = 0 <= other + shift < n_lines and 0 <= i + lag < n_samples
            if in_pre and in_post:
                before.append(float(pre[other, i]))
                after.append(float(post[other + shift, i + lag]))
    if not before:
        return 0.0
    return float(np.dot(before, after) / np.sqrt(np.dot(before, before) * np.dot(after, after)))


def test_correlations_are_those_of_the_definition_borders_included():
    rng = np.random.default_rng(1)
    pre, post = rng.standard_normal((2, 7, 50)).astype(np.float32)
    volumes = correlation_volumes(
        pre, post, window_samples=11, window_lines=3, max_lag=6, stride=4, max_line_shift=2
    )
    assert volumes.shape == (5, 7, 13, 13)
    for shift in range(-2, 3):
        for line in range(7):
            for k in (0, 1, 5, 11, 12):
                for lag in (-6, -1, 0, 3, 6):
                    expected = correlation_by_hand(pre, post, line, 4 * k, shift, lag, 5, 1)
                    found = volumes[shift + 2, line, k, lag + 6]
                    assert found == pytest.approx(expected, abs=1e-5)


def test_a_strong_reflector_leaves_no_rounding_error_in_weak_echoes_behind_it():
    rng = np.random.default_rng(2)
    line = 1e-2 * rng.standard_normal((1, 400)).astype(np.float32)
    line[0, 50:60] = 100.0
    correlation = correlation_volumes(line, line, window_samples=21, window_lines=1, max_lag=1)[0]
    np.testing.assert_allclose(correlation[0, 100:, 1], 1.0, atol=1e-4)


@settings(max_examples=100)
@given(omega=st.floats(0.3, 1.4), offset=st.floats(-0.49, 0.49), height=st.floats(0.1, 1.0))
def test_the_peak_of_a_cosine_is_found_exactly(omega, offset, height):
    samples = [height * np.cos(omega * (t - offset)) for t in (-1.0, 0.0, 1.0)]
    assert cosine_offset(*samples) == pytest.approx(offset, abs=1e-6)


@pytest.mark.parametrize(
    "samples", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (-1.0, -0.5, -1.0), (2.0, 1.0, 2.0)]
)
def test_no_peak_has_no_offset(samples):
    assert cosine_offset(*samples) == 0.0


def oscillating_correlation(true_lag: float, shape: tuple[int, int]) -> np.ndarray:
    lags = np.arange(-17, 18) - true_lag
    curve = np.exp(-((lags / 12.0) ** 2)) * np.cos(2 * np.pi * lags / 6.4)
    return np.tile(curve.astype(np.float32), (*shape, 1))


def test_a_hopped_peak_is_brought_back_by_its_neighbours():
    correlation = oscillating_correlation(2.3, (9, 40))
    correlation[4, 20, 17 + 2 - 6 : 17 + 2 - 3] += 0.3
    hopped, _ = peak_displacement(correlation)
    mended, height = peak_displacement(correlation, hop_distance=3.2)
    assert hopped[4, 20] < -2.0
    np.testing.assert_allclose(mended, 2.3, atol=0.05)
    assert height[4, 20] == correlation[4, 20, 17 + 2]


def test_silence_has_no_peak():
    displacement, height = peak_displacement(np.zeros((3, 5, 9), np.float32), hop_distance=3.0)
    assert not displacement.any()
    assert not height.any()


def test_lateral_motion_is_the_vertex_of_a_parabola():
    shifts = np.arange(-2, 3)
    heights = np.tile((0.9 - 0.1 * (shifts - 0.7) ** 2)[:, None, None], (1, 6, 8)).astype(
        np.float32
    )
    np.testing.assert_allclose(lateral_motion(heights, (3, 3)), 0.7, atol=1e-5)
    assert not lateral_motion(np.zeros((5, 6, 8), np.float32), (3, 3)).any()
    assert not lateral_motion(heights[:1], (3, 3)).any()


def test_warping_reads_a_band_limited_image_where_the_motion_says():
    i = np.arange(300.0)
    line = np.arange(30.0)[:, None]
    wave = lambda x, t: np.cos(2 * np.pi * t / 6.4 + 0.5) * np.cos(2 * np.pi * 0.1 * x)  # noqa: E731
    axial = np.tile(0.02 * 4 * np.arange(75), (30, 1)).astype(np.float32)
    lateral = np.full((30, 75), 1.3, np.float32)
    warped = warp_by_residual(wave(line, i).astype(np.float32), axial, lateral, stride=4)
    expected = wave(line + 1.3, 1.02 * i)
    assert rms((warped - expected)[5:-5, 20:280]) < 3e-3
    still = warp_by_residual(warped, np.zeros_like(axial), stride=4)
    assert rms(still - warped) < 1e-3


def test_smoothing_fills_gaps_and_keeps_planes():
    plane = np.add.outer(0.1 * np.arange(40), 0.02 * np.arange(60)).astype(np.float32)
    weights = np.ones_like(plane)
    spoilt = plane.copy()
    spoilt[18:22, 25:35], weights[18:22, 25:35] = 50.0, 0.0
    smoothed = smooth_weighted(spoilt, weights, (3.0, 3.0))
    assert np.abs(smoothed - plane)[12:-12, 12:-12].max() < 0.15


@pytest.mark.parametrize("offset", [0.0, 0.37, -5.5, 14.8])
def test_a_shift_is_measured_to_a_hundredth_of_a_sample(offset):
    pair = speckle_residual(3, motion=Elongation(axial_offset_m=offset * STEP_M), snr_db=None)
    motion = NccEngine().estimate(pair)
    error = motion.axial_displacement_m / STEP_M - offset
    assert rms(error[:, 12:-12]) < 0.01
    assert rms(motion.axial_strain[:, 16:-16]) < 3e-4


@pytest.mark.parametrize("strain", [-0.01, 0.02])
def test_uniform_strain_is_measured_at_the_right_depths(strain):
    pair = speckle_residual(4, motion=Elongation(axial_offset_m=-strain * 6e-3, axial_slope=strain))
    motion = NccEngine().estimate(pair)
    # Speckle is drawn from depth 0 on; row k of the output stands at sample 4 k.
    depth = 4 * STEP_M * np.arange(150)
    error = motion.axial_displacement_m - strain * (depth - 6e-3)
    assert rms(error[:, 12:-12]) < 0.03 * STEP_M
    assert np.median(motion.axial_strain) == pytest.approx(strain, rel=0.02)
    assert motion.grid.shape == motion.axial_strain.shape == (40, 150)
    assert motion.grid.axial_step_m == pytest.approx(4 * STEP_M)
    assert motion.grid.start_depth_m == pair.grid.start_depth_m


def test_an_inclusion_is_seen_and_one_pass_is_less_accurate():
    pair = speckle_residual(5, local_displacement_m=inclusion)
    x, z = FORMAT.grid.lateral_m[:, None], 4 * STEP_M * np.arange(150)
    truth = inclusion(x, z)
    error = {
        passes: rms(NccEngine(coarse_passes=passes).estimate(pair).axial_displacement_m - truth)
        for passes in (0, 2)
    }
    assert error[2] < 0.03 * STEP_M
    assert error[2] < error[0]
    strain = NccEngine().estimate(pair).axial_strain
    inside = x**2 + (z - 6e-3) ** 2 < 1.2e-3**2
    assert np.median(strain[inside]) == pytest.approx(0.006, rel=0.1)


def test_lateral_motion_is_followed():
    motion = Elongation(lateral_offset_m=1.4 * FORMAT.line_pitch_m, axial_slope=0.005)
    pair = speckle_residual(6, motion=motion)
    inner = np.s_[4:-4, 12:-12]
    truth = 0.005 * 4 * np.arange(150)
    followed = rms((NccEngine().track(pair)[0] - truth)[inner])
    ignored = rms((NccEngine(search_lines=0).track(pair)[0] - truth)[inner])
    assert followed < 0.03
    assert followed < 0.3 * ignored


def test_an_offset_of_the_receiver_does_not_matter():
    pair = speckle_residual(7, motion=Elongation(axial_offset_m=3.0 * STEP_M))
    free = recorded_pair(pair.pre, pair.post)
    shifted = recorded_pair(pair.pre + 5.0, pair.post - 3.0)
    difference = NccEngine().track(shifted)[0] - NccEngine().track(free)[0]
    assert np.abs(difference).max() < 0.01


def test_what_was_not_recorded_gives_no_strain_of_its_own():
    pair = speckle_residual(12, motion=Elongation(axial_slope=0.004))
    # The corners that a convex probe leaves empty in a rectangular image.
    line, sample = np.mgrid[:40, :600]
    corner = sample > 420 + 9 * line
    pre, post = np.where(corner, 0.0, pair.pre + 2.0), np.where(corner, 0.0, pair.post + 2.0)
    strain = NccEngine().estimate(recorded_pair(pre, post)).axial_strain
    assert np.abs(strain).max() < 0.025
    assert not strain[:4, -10:].any()
    recorded = ~corner[:, ::4][:, :90]
    np.testing.assert_allclose(strain[:, :90][recorded].mean(), 0.004, rtol=0.05)


def test_kernels_run_over_every_line_once_and_their_errors_surface():
    visits = np.zeros(11, np.int64)

    def count(step, begin, end):
        visits[begin:end] += step

    over_lines(count, 11, 3)
    assert (visits == 3).all()
    with pytest.raises(TypeError):
        over_lines(count, 11, "three")


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (1, 400), (3, 40), (70, 30)])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_frames_without_echo_do_not_move(shape, value):
    frame = np.full(shape, value, np.float32)
    motion = NccEngine().estimate(recorded_pair(frame, frame))
    assert motion.grid.shape == (shape[0], -(-shape[1] // 4))
    assert not motion.axial_displacement_m.any()
    assert not motion.axial_strain.any()


@pytest.mark.parametrize("shape", [(1, 5), (4, 9), (1, 500), (30, 90)])
def test_unrelated_frames_give_finite_images(shape):
    rng = np.random.default_rng(8)
    pre, post = rng.standard_normal((2, *shape))
    pre[0, 0] = np.inf
    motion = NccEngine().estimate(recorded_pair(pre, post))
    assert motion.axial_displacement_m.dtype == motion.axial_strain.dtype == np.float32
    assert np.isfinite(motion.axial_displacement_m).all()
    assert np.isfinite(motion.axial_strain).all()


def test_two_threads_may_estimate_at_once():
    engine = NccEngine()
    pairs = [speckle_residual(seed, motion=Elongation(axial_slope=0.004)) for seed in (9, 10)]
    alone = [engine.estimate(pair).axial_displacement_m for pair in pairs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda n: engine.estimate(pairs[n % 2]), range(8)))
    for n, motion in enumerate(together):
        np.testing.assert_array_equal(motion.axial_displacement_m, alone[n % 2])


def test_stride_and_kalman_are_options():
    pair = speckle_residual(11, snr_db=10.0)
    motion = NccEngine(axial_stride=8, kalman=True).estimate(pair)
    plain = NccEngine(axial_stride=8).estimate(pair)
    assert motion.grid.shape == (40, 75)
    assert rms(motion.axial_strain) < rms(plain.axial_strain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_samples", 2),
        ("window_lines", 0),
        ("search_samples", 0),
        ("search_lines", -1),
        ("strain_window", 1.5),
        ("axial_stride", True),
        ("coarse_passes", -1),
    ],
)
def test_parameters_out_of_range_are_named(name, value):
    with pytest.raises(RtelastoError, match=f"{name} must be a whole number .* got {value}"):
        NccEngine(**{name: value})
