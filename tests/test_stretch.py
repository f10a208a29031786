"""The stretch stage, and the way back from residual to total motion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from speckle import PUBLISHED_FORMAT, speckle_pair

from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.quality import post_warp_correlation
from rtelasto.cpu.stretch import Stretch
from rtelasto.cpu.stretching.elongation import ElongationEstimator
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, ResidualMotion, compose

PITCH_M = PUBLISHED_FORMAT.line_pitch_m


def rms(*images) -> float:
    return float(np.sqrt(np.mean([np.mean(np.square(i, dtype=np.float64)) for i in images])))


def no_residual(grid: Grid) -> ResidualMotion:
    zero = np.zeros(grid.shape, np.float32)
    return ResidualMotion(zero, zero, grid)


@pytest.mark.parametrize(
    "motion",
    [
        Elongation(0.02e-3, 0.0, -0.0005),
        Elongation(0.1e-3, 0.005, -0.03, 0.4, 2.5 * PITCH_M, 0.02),
        Elongation(-1.0e-3, 0.0, 0.05, 0.0, -3 * PITCH_M),
    ],
)
def test_affine_motion_is_taken_out(motion):
    pair = speckle_pair(np.random.default_rng(1), elongation=motion, snr_db=25)
    stretched = Stretch(6.4)(pair)
    assert stretched.grid == PUBLISHED_FORMAT.grid
    assert stretched.samples_per_wavelength == pytest.approx(6.4)
    assert stretched.pre.dtype == stretched.post.dtype == np.float32
    assert rms(stretched.pre, stretched.post) == pytest.approx(1.0, rel=1e-4)
    free = echoes(pair.pre.samples, PUBLISHED_FORMAT)
    factor = stretched.pre[40, 1000] / free[40, 1000]
    np.testing.assert_allclose(stretched.pre, factor * free, rtol=1e-5, atol=1e-7)
    correlation = post_warp_correlation(stretched, no_residual(stretched.grid))
    assert np.median(correlation) > 0.97


@pytest.mark.parametrize("samples_per_wavelength", [6.4, 8.0, None])
def test_any_sampling_ends_on_the_engines_grid(samples_per_wavelength):
    rf_format = RfFormat(
        n_lines=64,
        n_samples=1664,
        sampling_freq_hz=31.25e6,
        center_freq_hz=7.8125e6,
        line_pitch_m=0.2e-3,
        start_depth_m=4e-3,
    )
    motion = Elongation(0.0, 0.0, -0.01, 0.0, 0.2e-3)
    pair = speckle_pair(np.random.default_rng(2), rf_format=rf_format, elongation=motion)
    stretched = Stretch(samples_per_wavelength)(pair)
    expected = samples_per_wavelength or rf_format.samples_per_wavelength
    assert stretched.samples_per_wavelength == pytest.approx(expected)
    assert stretched.grid.n_lines == 64
    assert stretched.grid.start_depth_m == 4e-3
    assert stretched.pre.shape == stretched.post.shape == stretched.grid.shape
    correlation = post_warp_correlation(stretched, no_residual(stretched.grid))
    assert np.median(correlation) > 0.97


def test_a_frame_that_comes_back_is_not_analysed_again(monkeypatch):
    import rtelasto.cpu.stretching.elongation as module

    analysed = []
    original = module.echoes

    def counting(samples, rf_format):
        analysed.append(id(samples))
        return original(samples, rf_format)

    monkeypatch.setattr(module, "echoes", counting)
    rng = np.random.default_rng(3)
    rf_format = RfFormat(
        n_lines=32, n_samples=600, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    frames = [RfFrame(rng.standard_normal((32, 600)), rf_format, FrameStamp(k)) for k in range(4)]
    stretch = Stretch(estimator=ElongationEstimator(n_cached_frames=3))
    for pre, post in pairwise(frames):
        stretch(FramePair(pre, post))
    assert analysed == [id(frame.samples) for frame in frames]
    stretch(FramePair(frames[0], frames[3]))  # frame 0 has left the cache of three
    assert len(analysed) == 5


def test_earlier_pairs_keep_their_arrays():
    rng = np.random.default_rng(4)
    pair = speckle_pair(
        rng,
        rf_format=RfFormat(
            n_lines=32,
            n_samples=600,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=0.3e-3,
        ),
    )
    stretch = Stretch()
    first = stretch(pair)
    kept = first.post.copy()
    stretch(FramePair(pair.post, pair.pre))
    np.testing.assert_array_equal(first.post, kept)


@pytest.mark.parametrize("fill", [0, 5])
def test_silent_frames_give_identity_and_no_nan(fill):
    rf_format = RfFormat(
        n_lines=32, n_samples=600, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    frames = [
        RfFrame(np.full((32, 600), fill, np.int16), rf_format, FrameStamp(k)) for k in range(2)
    ]
    stretched = Stretch()(FramePair(*frames))
    assert np.isfinite(stretched.pre).all()
    assert np.isfinite(stretched.post).all()
    if fill == 0:
        assert stretched.elongation == Elongation()
        assert not stretched.pre.any()
        assert not stretched.post.any()


def test_compose_undoes_the_stretch_exactly():
    # A tissue point at z moves to T(z) = z + u(z). With u_g taken out, r solves
    # z + u(z) = z + r + u_g(z + r). For u_g(z) = a + e z and a quadratic u this is
    # r = (u - a - e z) / (1 + e), in closed form.
    grid = Grid(3, 200, 0.1e-3, 0.3e-3, 1e-3)
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    motion = Elongation(0.2e-3, 0.01, -0.04, 1.5)
    a = motion.axial_offset_m + motion.axial_tilt * x
    e = motion.axial_strain(x)
    total = -0.05 * z + 0.8 * z**2 + 0.01 * x
    strain = -0.05 + 1.6 * z
    r = (total - a - e * z) / (1 + e)
    r_strain = (strain - e) / (1 + e)
    residual = ResidualMotion(r.astype(np.float32), r_strain.astype(np.float32), grid)
    found = compose(motion, residual)
    assert found.axial_displacement_m.dtype == found.axial_strain.dtype == np.float32
    np.testing.assert_allclose(found.axial_displacement_m, total, atol=1e-9)
    np.testing.assert_allclose(found.axial_strain, strain + 0 * x, atol=1e-7)
    assert found.lateral_displacement_m is found.lateral_strain is found.axial_strain_std is None


def test_compose_adds_the_lateral_shift_and_slope_back():
    # A point at x goes to x + v(x), first by w to x + w, then by v_g there.
    grid = Grid(64, 10, 0.1e-3, 0.3e-3, 1e-3)
    x = np.broadcast_to(grid.lateral_m[:, None], grid.shape)
    motion = Elongation(
        axial_slope=-0.02, lateral_offset_m=0.5e-3, lateral_slope=0.01, lateral_shear=0.02
    )
    w, w_slope = 2e-5 + 0.004 * x + 0.1 * x**2, 0.004 + 0.2 * x
    images = (image.astype(np.float32) for image in (0 * x, 0 * x, w, w_slope, 1e-3 + 0 * x))
    axial, strain, lateral, lateral_strain, std = images
    found = compose(motion, ResidualMotion(axial, strain, grid, lateral, lateral_strain, std))
    total = w + motion.lateral_displacement_m(x + w, grid.depth_m)
    np.testing.assert_allclose(found.lateral_displacement_m, total, atol=1e-9)
    slope = np.gradient(total, grid.line_pitch_m, axis=0)[1:-1]
    np.testing.assert_allclose(found.lateral_strain[1:-1], slope, atol=1e-6)
    np.testing.assert_allclose(found.axial_strain_std, 0.98e-3, rtol=1e-6)


def test_stretch_and_compose_recover_a_local_motion():
    # The residual that is left is measured here by what was put in, so that signs and the order of
    # composition are checked against the frames and not against the same formula.
    def inclusion(x, z):
        return 0.03e-3 * np.exp(-((z - 25e-3) ** 2 + x**2) / (2 * (5e-3) ** 2))

    motion = Elongation(0.1e-3, 0.0, -0.03, 0.2, PITCH_M)
    pair = speckle_pair(
        np.random.default_rng(5), elongation=motion, local_displacement_m=inclusion, snr_db=25
    )
    stretched = Stretch()(pair)
    grid = stretched.grid
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    total = motion.axial_displacement_m(x, z) + inclusion(x, z)
    found = stretched.elongation
    offset = found.axial_offset_m + found.axial_tilt * x
    r = (total - offset - found.axial_strain(x) * z) / (1 + found.axial_strain(x))
    right = ResidualMotion(r.astype(np.float32), np.zeros(grid.shape, np.float32), grid)
    wrong = ResidualMotion(-r.astype(np.float32), np.zeros(grid.shape, np.float32), grid)
    centre = np.s_[50:78, 1150:1450]
    assert np.median(post_warp_correlation(stretched, right)[centre]) > 0.97
    assert np.median(post_warp_correlation(stretched, wrong)[centre]) < 0.9
    np.testing.assert_allclose(compose(found, right).axial_displacement_m, total, atol=1e-8)
