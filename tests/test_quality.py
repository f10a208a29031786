"""The quality map and the B-mode against numbers that can be had by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtelasto.cpu.quality import bmode_db, post_warp_correlation
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import Elongation, ResidualMotion, StretchedPair

GRID = Grid(9, 1200, 19.25e-6, 0.3e-3, 2e-3)
ROWS = Grid(9, 300, 4 * 19.25e-6, 0.3e-3, 2e-3)


def stretched(pre, post, grid: Grid = GRID) -> StretchedPair:
    return StretchedPair(
        np.asarray(pre, np.float32), np.asarray(post, np.float32), grid, Elongation(), 6.4
    )


def residual(samples, rows: Grid = ROWS, grid: Grid = GRID) -> ResidualMotion:
    displacement = np.broadcast_to(np.asarray(samples) * grid.axial_step_m, rows.shape)
    return ResidualMotion(displacement.astype(np.float32), np.zeros(rows.shape, np.float32), rows)


def band_limited(rng, lines: int, n_terms: int = 40):
    """A random sum of cosines around 0.156 cycles per sample, as a function of (line, sample)."""
    cycles = rng.normal(0.156, 0.04, (lines, n_terms))
    phase = rng.uniform(0, 2 * np.pi, (lines, n_terms))

    def evaluate(sample):
        angle = 2 * np.pi * cycles[:, :, None] * sample[:, None, :] + phase[:, :, None]
        return np.cos(angle).sum(axis=1) / np.sqrt(n_terms / 2)

    return evaluate


def direct(pre, post, line: int, middle: int, half: int) -> float:
    window = np.s_[max(line - 1, 0) : line + 2, max(middle - half, 0) : middle + half + 1]
    a, b = pre[window], post[window]
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def test_matches_the_formula_window_by_window():
    rng = np.random.default_rng(0)
    pre, post = rng.standard_normal((2, *GRID.shape))
    post = 0.7 * pre + 0.7 * post
    found = post_warp_correlation(stretched(pre, post), residual(0.0))
    assert found.shape == ROWS.shape
    assert found.dtype == np.float32
    # 3 wavelengths in depth are 2 · 3 · 6.4 = 38.4 samples: 19 to either side of the middle
    for line in (0, 4, 8):
        for row in (0, 3, 150, 299):
            expected = max(direct(pre, post, line, 4 * row, 19), 0.0)
            assert found[line, row] == pytest.approx(expected, abs=1e-5)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    offset=st.floats(-20, 20),
    slope=st.floats(-0.04, 0.04),
    tilt=st.floats(-0.5, 0.5),
)
def test_the_right_residual_correlates(seed, offset, slope, tilt):
    evaluate = band_limited(np.random.default_rng(seed), GRID.n_lines)
    samples = np.tile(np.arange(GRID.n_depths, dtype=float), (GRID.n_lines, 1))
    lines = np.arange(GRID.n_lines)[:, None]
    moved = offset + tilt * lines + slope * samples
    # pre(z) = post(z + r(z)) with post the analytic signal
    pair = stretched(evaluate(samples + moved), evaluate(samples))
    at_rows = (offset + tilt * lines) + slope * 4.0 * np.arange(ROWS.n_depths)
    found = post_warp_correlation(pair, residual(at_rows))
    lands = at_rows + 4.0 * np.arange(ROWS.n_depths)
    inside = (lands > 25) & (lands < GRID.n_depths - 26)
    assert found[inside].min() > 0.995
    assert not found[(lands < -0.01) | (lands > GRID.n_depths - 0.99)].any()


def test_the_sign_of_the_residual_matters():
    evaluate = band_limited(np.random.default_rng(1), GRID.n_lines)
    samples = np.tile(np.arange(GRID.n_depths, dtype=float), (GRID.n_lines, 1))
    pair = stretched(evaluate(samples + 1.6), evaluate(samples))  # a quarter of a period
    assert np.median(post_warp_correlation(pair, residual(1.6))) > 0.995
    assert np.median(post_warp_correlation(pair, residual(-1.6))) < 0.05
    assert np.median(post_warp_correlation(pair, residual(0.0))) < 0.3


def test_noise_lowers_it_by_the_power_ratio():
    rng = np.random.default_rng(2)
    pre = rng.standard_normal((9, 1200))
    post = pre + rng.standard_normal((9, 1200))
    found = post_warp_correlation(stretched(pre, post), residual(0.0))
    assert np.mean(found) == pytest.approx(np.sqrt(0.5), abs=0.02)


def test_silence_outside_and_opposite_phase_give_zero():
    rng = np.random.default_rng(3)
    pre = rng.standard_normal((9, 1200))
    assert not post_warp_correlation(stretched(pre, -pre), residual(0.0)).any()
    assert not post_warp_correlation(stretched(pre, 0 * pre), residual(0.0)).any()
    assert not post_warp_correlation(stretched(0 * pre, pre), residual(0.0)).any()
    assert not post_warp_correlation(stretched(pre, pre), residual(5000.0)).any()
    assert not post_warp_correlation(stretched(pre, pre), residual(np.nan)).any()
    shadowed = pre.copy()
    shadowed[4] = 0.0
    found = post_warp_correlation(stretched(shadowed, shadowed), residual(0.0))
    assert not found[4].any()
    assert found[3].min() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("first", "stride", "n_rows"), [(0, 1, 1200), (10, 16, 60), (600, 3, 1)])
def test_rows_may_lie_anywhere(first, stride, n_rows):
    rows = Grid(
        9, n_rows, stride * GRID.axial_step_m, 0.3e-3, GRID.start_depth_m + first * 19.25e-6
    )
    rng = np.random.default_rng(4)
    pre = rng.standard_normal((9, 1200))
    post = pre + 0.5 * rng.standard_normal((9, 1200))
    found = post_warp_correlation(stretched(pre, post), residual(0.0, rows))
    for row in (0, n_rows // 2, n_rows - 1):
        middle = first + stride * row
        assert found[5, row] == pytest.approx(direct(pre, post, 5, middle, 19), abs=1e-5)


def test_lines_must_agree():
    rng = np.random.default_rng(5)
    pair = stretched(*rng.standard_normal((2, 9, 1200)))
    with pytest.raises(ValueError, match="8 lines"):
        post_warp_correlation(pair, residual(0.0, Grid(8, 300, 77e-6, 0.3e-3, 2e-3)))


def test_bmode_is_the_envelope_in_db():
    sample = np.arange(1024)
    envelope = np.exp(-0.5 * ((sample - 400) / 60.0) ** 2)
    line = envelope * np.cos(2 * np.pi * 0.15625 * sample + 0.4)
    image = bmode_db(np.stack([line, 0.1 * line]))
    assert image.dtype == np.float32
    assert image.max() == pytest.approx(0.0, abs=1e-3)
    near = np.s_[250:550]
    np.testing.assert_allclose(image[0, near], 20 * np.log10(envelope[near]), atol=0.05)
    np.testing.assert_allclose(image[1, near], image[0, near] - 20.0, atol=1e-3)
    assert image.min() >= -100.0


def test_bmode_of_silence_and_nan():
    assert (bmode_db(np.zeros((4, 100), np.int16)) == -100.0).all()
    frame = np.random.default_rng(6).standard_normal((4, 101))
    frame[2, 50] = np.nan
    assert np.isfinite(bmode_db(frame, floor_db=-60.0)).all()
