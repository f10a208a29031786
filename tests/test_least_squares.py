from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.signal import savgol_filter

from rtelasto.cpu.classical.least_squares import least_squares_strain, window_points


@settings(max_examples=30)
@given(
    slope=st.floats(-0.1, 0.1),
    offset=st.floats(-20.0, 20.0),
    half=st.integers(1, 40),
    n_depths=st.integers(2, 120),
    step=st.floats(0.01, 8.0),
)
def test_a_straight_line_has_its_slope_everywhere(slope, offset, half, n_depths, step):
    depth = step * np.arange(n_depths)
    displacement = np.stack([offset + slope * depth, np.zeros(n_depths)]).astype(np.float32)
    strain = least_squares_strain(displacement, window=2 * half + 1, step=step)
    rounding = 3e-7 * (abs(offset) + abs(slope) * depth[-1]) / step
    np.testing.assert_allclose(strain[0], slope, atol=rounding + 1e-7)
    assert not strain[1].any()


def test_the_interior_is_a_savitzky_golay_filter():
    displacement = np.random.default_rng(1).standard_normal((3, 200)).astype(np.float32)
    strain = least_squares_strain(displacement, window=31, step=4.0)
    expected = savgol_filter(displacement.astype(np.float64), 31, 1, deriv=1, delta=4.0, axis=1)
    np.testing.assert_allclose(strain[:, 15:-15], expected[:, 15:-15], atol=1e-6)


@pytest.mark.parametrize(
    ("row", "first", "end"), [(0, 0, 6), (2, 0, 8), (49, 44, 50), (30, 25, 36)]
)
def test_at_the_borders_the_window_shrinks_to_one_side(row, first, end):
    displacement = np.random.default_rng(2).standard_normal((1, 50)).astype(np.float32)
    expected = np.polyfit(np.arange(first, end), displacement[0, first:end], 1)[0]
    strain = least_squares_strain(displacement, window=11)
    assert strain[0, row] == pytest.approx(expected, abs=1e-6)


def test_weights_are_those_of_a_weighted_fit():
    rng = np.random.default_rng(3)
    displacement = rng.standard_normal((1, 40)).astype(np.float32)
    weights = rng.uniform(0.1, 1.0, (1, 40)).astype(np.float32)
    strain = least_squares_strain(displacement, window=15, weights=weights)
    part = slice(13, 28)
    expected = np.polyfit(np.arange(15), displacement[0, part], 1, w=np.sqrt(weights[0, part]))[0]
    assert strain[0, 20] == pytest.approx(expected, abs=1e-6)


def test_a_pixel_without_weight_does_not_count():
    displacement = np.tile(0.01 * np.arange(60, dtype=np.float32), (2, 1))
    weights = np.ones_like(displacement)
    displacement[1, 30], weights[1, 30] = 100.0, 0.0
    strain = least_squares_strain(displacement, window=11, weights=weights)
    np.testing.assert_allclose(strain, 0.01, atol=1e-6)


def test_no_weight_and_a_single_pixel_give_no_strain():
    displacement = np.random.default_rng(4).standard_normal((2, 30)).astype(np.float32)
    nothing = np.zeros_like(displacement)
    assert not least_squares_strain(displacement, window=7, weights=nothing).any()
    assert not least_squares_strain(displacement[:, :1].copy(), window=7).any()


@pytest.mark.parametrize(
    ("samples", "stride", "points"), [(121, 4, 31), (3, 4, 3), (61, 1, 61), (241, 4, 61)]
)
def test_window_points_is_the_nearest_odd_number(samples, stride, points):
    assert window_points(samples, stride) == points
