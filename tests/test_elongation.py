"""Elongations of pairs with exactly known motion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speckle import PUBLISHED_FORMAT, speckle_pair

from rtelasto.cpu.stretching.block_motion import AXIAL_LAGS, N_LAGS, block_corrections
from rtelasto.cpu.stretching.elongation import ElongationEstimator
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation

PITCH_M = PUBLISHED_FORMAT.line_pitch_m
HALF_WIDTH_M = 63.5 * PITCH_M


def errors(found: Elongation, wanted: Elongation, rf_format: RfFormat) -> tuple[float, float]:
    """Largest axial error over the image in samples, largest lateral error in lines."""
    grid = rf_format.grid
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    axial = found.axial_displacement_m(x, z) - wanted.axial_displacement_m(x, z)
    lateral = found.lateral_displacement_m(x, z) - wanted.lateral_displacement_m(x, z)
    return (
        float(np.abs(axial).max() / grid.axial_step_m),
        float(np.abs(lateral).max() / grid.line_pitch_m),
    )


def check(wanted: Elongation, *, axial: float = 0.3, lateral: float = 0.2, **speckle) -> None:
    pair = speckle_pair(np.random.default_rng(1), elongation=wanted, **speckle)
    fit = ElongationEstimator()(pair)
    axial_error, lateral_error = errors(fit.elongation, wanted, pair.pre.format)
    assert axial_error < axial, fit
    assert lateral_error < lateral, fit


@pytest.mark.parametrize("percent", [0.0, 0.05, -0.1, 0.5, -1.0, 2.0, -3.0, 5.0, -5.0])
def test_strain(percent):
    check(Elongation(0.05e-3, 0.0, percent / 100), snr_db=20)


@pytest.mark.parametrize("lines", [0.0, 1.0, -2.5, 4.0])
def test_lateral_shift(lines):
    check(Elongation(0.1e-3, 0.0, -0.01, 0.0, lines * PITCH_M), snr_db=20)


@pytest.mark.parametrize("degrees", [0.5, -1.0, 2.0])
def test_a_turn_of_the_probe(degrees):
    # About the middle of the transducer face: tissue at depth z moves aside by the angle times z.
    angle = np.deg2rad(degrees)
    check(Elongation(0.0, -angle, -0.005, 0.0, 0.0, 0.0, angle), snr_db=20)


@pytest.mark.parametrize("lateral_slope", [0.03, -0.03])
def test_lateral_stretch(lateral_slope):
    check(Elongation(0.0, 0.0, -0.02, 0.0, 2 * PITCH_M, lateral_slope), snr_db=20)


@pytest.mark.parametrize("offset_mm", [-1.5, 1.5])
@pytest.mark.parametrize("slope", [0.0, -0.05])
def test_rigid_offset(offset_mm, slope):
    check(Elongation(offset_mm * 1e-3, 0.0, slope, 0.0, 4 * PITCH_M), snr_db=20)


@pytest.mark.parametrize("slope", [-0.005, -0.03, 0.05])
def test_tilt(slope):
    wanted = Elongation(0.1e-3, 0.015, slope, 0.5 * slope / HALF_WIDTH_M, PITCH_M, 0.01)
    check(wanted, snr_db=20, axial=0.6)


@pytest.mark.parametrize("slope", [-0.001, -0.03])
def test_noise_and_decorrelation(slope):
    wanted = Elongation(0.1e-3, 0.0, slope, 0.0, 1.5 * PITCH_M)
    check(wanted, snr_db=10, decorrelation=0.4, axial=0.6)


def test_saturated_frames():
    check(Elongation(0.2e-3, 0.0, -0.02, 0.0, PITCH_M), full_scale_sigmas=0.7)


@pytest.mark.parametrize("noise", [0.0, 40.0])
def test_shadow(noise):
    rng = np.random.default_rng(3)
    wanted = Elongation(-0.9e-3, 0.0, 0.045, 0.0, -PITCH_M)
    pair = speckle_pair(rng, elongation=wanted, snr_db=20)
    for frame in (pair.pre, pair.post):
        shadow = frame.samples[70:110, 500:]
        shadow[:] = np.rint(noise * rng.standard_normal(shadow.shape))
    assert errors(ElongationEstimator()(pair).elongation, wanted, PUBLISHED_FORMAT)[0] < 0.3


@pytest.mark.parametrize("contrast", [0.3, 2.0])
def test_inclusion_leaves_a_residual_near_the_least_squares_plane(contrast):
    slope, radius, depth = -0.02, 6e-3, 25e-3

    def inclusion(x, z):
        half = np.sqrt(np.maximum(radius**2 - x**2, 0.0))
        return (contrast - 1.0) * slope * (np.clip(z, depth - half, depth + half) - depth)

    background = Elongation(0.0, 0.0, slope, 0.0, 2 * PITCH_M)
    pair = speckle_pair(
        np.random.default_rng(4), elongation=background, local_displacement_m=inclusion, snr_db=20
    )
    found = ElongationEstimator()(pair).elongation
    grid = PUBLISHED_FORMAT.grid
    x, z = np.meshgrid(grid.lateral_m, grid.depth_m[::8], indexing="ij")
    true = background.axial_displacement_m(x, z) + inclusion(x, z)
    design = np.stack([np.ones(x.size), x.ravel(), z.ravel(), (x * z).ravel()], axis=1)
    plane = design @ np.linalg.lstsq(design, true.ravel(), rcond=None)[0]
    left = np.abs(true - found.axial_displacement_m(x, z)).ravel()
    best = np.abs(true.ravel() - plane)
    assert np.percentile(left, 90) < 1.3 * np.percentile(best, 90) + 0.3 * grid.axial_step_m


def test_strain_that_stops_half_way_is_shared_between_both_halves():
    slope, middle = -0.01, 25e-3

    def lower_half(x, z):
        return slope * np.maximum(z - middle, 0.0)

    pair = speckle_pair(np.random.default_rng(5), local_displacement_m=lower_half, snr_db=20)
    found = ElongationEstimator()(pair).elongation
    grid = PUBLISHED_FORMAT.grid
    left = lower_half(0.0, grid.depth_m) - found.axial_displacement_m(np.zeros(1), grid.depth_m)
    # The least-squares line leaves 1/8 of slope · depth in the worst place; a fit that
    # settles on one half leaves 1/2.
    assert np.abs(left).max() < 1.2 / 8 * abs(slope) * grid.depth_m[-1]


@pytest.mark.parametrize("lag", range(2 * AXIAL_LAGS + 1))
@pytest.mark.parametrize("before", [0.0, 0.95], ids=["unlike", "alike"])
def test_a_block_moves_by_its_own_best_lag_whatever_the_block_before_it(lag, before):
    decimation = 8
    product, energy = (
        np.zeros((2, N_LAGS, 1, 2), np.float32),
        np.ones((N_LAGS + 1, 1, 2), np.float32),
    )
    product[0, :, 0, 0] = before
    product[0, :, 0, 1] = 0.2
    product[0, lag, 0, 1] = 0.6
    correlation, change, weights = np.empty(2), np.empty((2, 2)), np.empty((2, 2))
    omega = 2.0 * np.pi / decimation
    block_corrections(
        product, energy, decimation, omega, np.float32(1e-6), correlation, change, weights
    )
    assert change[0, 1] == pytest.approx((lag - AXIAL_LAGS) * decimation, abs=1e-4)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    slope=st.floats(-0.05, 0.05),
    tilted=st.floats(-0.5, 0.5),
    offset_mm=st.floats(-1.5, 1.5),
    lateral_lines=st.floats(-4, 4),
    lateral_slope=st.floats(-0.03, 0.03),
    snr_db=st.floats(10, 30),
)
def test_random_motion(seed, slope, tilted, offset_mm, lateral_lines, lateral_slope, snr_db):
    wanted = Elongation(
        offset_mm * 1e-3,
        0.0,
        slope,
        tilted * slope / HALF_WIDTH_M,
        lateral_lines * PITCH_M,
        lateral_slope,
    )
    pair = speckle_pair(np.random.default_rng(seed), elongation=wanted, snr_db=snr_db)
    found = ElongationEstimator()(pair).elongation
    assert abs(found.axial_slope - slope) < 3e-4 + 0.02 * abs(slope)
    assert errors(found, wanted, PUBLISHED_FORMAT)[1] < 0.2


@pytest.mark.parametrize(
    "rf_format",
    [
        RfFormat(
            n_lines=192,
            n_samples=1664,
            sampling_freq_hz=31.25e6,
            center_freq_hz=7.8125e6,
            line_pitch_m=0.2e-3,
        ),
        RfFormat(
            n_lines=128,
            n_samples=2000,
            sampling_freq_hz=38.5e6,
            center_freq_hz=4.65e6,
            line_pitch_m=0.2e-3,
            start_depth_m=3e-3,
        ),
        RfFormat(
            n_lines=64,
            n_samples=1024,
            sampling_freq_hz=20e6,
            center_freq_hz=5e6,
            line_pitch_m=0.3e-3,
        ),
        RfFormat(
            n_lines=16,
            n_samples=1200,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=0.3e-3,
        ),
    ],
)
def test_other_formats(rf_format):
    wanted = Elongation(0.1e-3, 0.001, -0.02, 0.1, 0.8 * rf_format.line_pitch_m)
    check(wanted, rf_format=rf_format, snr_db=20, axial=0.6)


def test_samples_may_be_of_any_real_dtype():
    wanted = Elongation(0.0, 0.0, -0.004)
    pair = speckle_pair(np.random.default_rng(6), elongation=wanted, snr_db=20)
    integers = ElongationEstimator()(pair).elongation
    in_doubles = (
        RfFrame(frame.samples.astype(np.float64), frame.format, frame.stamp)
        for frame in (pair.pre, pair.post)
    )
    doubles = ElongationEstimator()(FramePair(*in_doubles)).elongation
    assert errors(integers, wanted, PUBLISHED_FORMAT)[0] < 0.1
    assert errors(doubles, integers, PUBLISHED_FORMAT)[0] < 1e-3


def test_estimates_do_not_depend_on_earlier_pairs():
    wanted = Elongation(0.0, 0.0, -0.01, 0.0, PITCH_M)
    pair = speckle_pair(np.random.default_rng(7), elongation=wanted, snr_db=20)
    back = FramePair(pair.post, pair.pre)
    used = ElongationEstimator()
    used(back)
    assert used(pair).elongation == ElongationEstimator()(pair).elongation
    other = RfFormat(
        n_lines=32, n_samples=600, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    used(speckle_pair(np.random.default_rng(8), rf_format=other))
    assert used(pair).elongation == ElongationEstimator()(pair).elongation


def test_unrelated_frames_give_rest():
    frames = [speckle_pair(np.random.default_rng(seed), snr_db=20).pre for seed in (10, 11)]
    fit = ElongationEstimator()(FramePair(*frames))
    assert fit.elongation == Elongation()
    assert fit.correlation < 0.25
    assert fit.searched_widely


@pytest.mark.parametrize("kind", ["zero", "constant", "one silent", "nan", "inf", "huge"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2608), (2, 500), (3, 64), (5, 9), (128, 20), (32, 700)]
)
def test_hopeless_frames_give_a_finite_elongation(kind, shape):
    rf_format = RfFormat(
        n_lines=shape[0],
        n_samples=shape[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.3e-3,
    )
    rng = np.random.default_rng(9)
    pre, post = rng.standard_normal((2, *shape))
    if kind == "zero":
        pre, post = np.zeros((2, *shape), np.int16)
    elif kind == "constant":
        pre, post = np.full((2, *shape), 7, np.int16)
    elif kind == "one silent":
        post = np.zeros(shape)
    elif kind == "nan":
        pre[::2], post[:] = np.nan, np.nan
    elif kind == "inf":
        pre[:, ::3] = np.inf
    else:
        pre, post = pre * 1e300, post * 1e30
    with np.errstate(all="raise", over="ignore"):
        fit = ElongationEstimator()(
            FramePair(
                RfFrame(pre, rf_format, FrameStamp(0)), RfFrame(post, rf_format, FrameStamp(1))
            )
        )
    values = [getattr(fit.elongation, name) for name in Elongation.__slots__]
    assert np.isfinite(values).all()
    assert 0.0 <= fit.correlation <= 1.0
    if kind in ("zero", "one silent", "nan"):
        assert fit.elongation == Elongation()


@pytest.mark.parametrize(("name", "percent"), [("rf0300_25", -0.96), ("rf0304_86", -0.64)])
def test_forearm_strain_in_vivo(shared_data, name, percent):
    raw = next(shared_data("deepuse_forearm").glob(f"{name}*.raw"))
    sequence = np.fromfile(raw, "<f4").reshape(6, 2000, 128)
    rf_format = RfFormat(
        n_lines=128,
        n_samples=2000,
        sampling_freq_hz=38.5e6,
        center_freq_hz=4.65e6,
        line_pitch_m=0.2e-3,
    )
    frames = [
        RfFrame(np.ascontiguousarray(frame.T), rf_format, FrameStamp(k))
        for k, frame in enumerate(sequence)
    ]
    estimate = ElongationEstimator()
    steps = [estimate(FramePair(a, b)) for a, b in pairwise(frames)]
    assert min(step.correlation for step in steps) > 0.85
    across = estimate(FramePair(frames[0], frames[-1]))
    assert 100 * across.elongation.axial_slope == pytest.approx(percent, abs=0.15)
    summed = 100 * sum(step.elongation.axial_slope for step in steps)
    assert summed == pytest.approx(100 * across.elongation.axial_slope, abs=0.2)
