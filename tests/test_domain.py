"""The domain types: what they refuse, and the geometry they derive."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.strain import Elongation

GOOD = {
    "n_lines": 128,
    "n_samples": 2608,
    "sampling_freq_hz": 40e6,
    "center_freq_hz": 6.25e6,
    "line_pitch_m": 2e-4,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_lines", 0),
        ("n_lines", 2.5),
        ("n_samples", -1),
        ("n_samples", 10**9),
        ("sampling_freq_hz", math.nan),
        ("sampling_freq_hz", 1.0),
        ("sampling_freq_hz", "fast"),
        ("center_freq_hz", math.inf),
        ("center_freq_hz", 30e6),
        ("line_pitch_m", 0.0),
        ("start_depth_m", 7.0),
        ("sound_speed_m_s", -1540.0),
    ],
)
def test_a_format_names_what_is_wrong_with_it(name: str, value: object) -> None:
    with pytest.raises(RtelastoError, match=name) as caught:
        RfFormat(**{**GOOD, name: value})
    assert "\n" not in str(caught.value)


def test_geometry() -> None:
    rf_format = RfFormat(**GOOD, start_depth_m=0.003)
    assert rf_format.axial_step_m == pytest.approx(1540 / 80e6)
    assert rf_format.samples_per_wavelength == pytest.approx(6.4)
    grid = rf_format.grid
    assert grid.shape == (128, 2608)
    assert grid.depth_m[[0, -1]] == pytest.approx([0.003, 0.003 + 2607 * 1540 / 80e6])
    assert grid.lateral_m[[0, -1]] == pytest.approx([-63.5 * 2e-4, 63.5 * 2e-4])
    assert Grid(1, 1, 1e-4, 2e-4).lateral_m == pytest.approx([0.0])


def test_a_frame_of_another_shape_or_complex_is_refused() -> None:
    rf_format = RfFormat(**GOOD)
    with pytest.raises(RtelastoError, match=r"\(2608, 128\)"):
        RfFrame(np.zeros((2608, 128)), rf_format)
    with pytest.raises(RtelastoError, match="complex64"):
        RfFrame(np.zeros((128, 2608), np.complex64), rf_format)


def test_a_pair_has_one_format() -> None:
    one, other = (
        RfFormat(
            n_lines=4, n_samples=16, sampling_freq_hz=40e6, center_freq_hz=freq, line_pitch_m=2e-4
        )
        for freq in (6e6, 7e6)
    )
    samples = np.zeros((4, 16), np.int16)
    with pytest.raises(RtelastoError, match="format"):
        FramePair(RfFrame(samples, one), RfFrame(samples, other))


def test_elongation_is_linear_in_depth_and_across_the_lines() -> None:
    motion = Elongation(1e-4, 0.01, -0.02, 0.5, 3e-4, 0.03, 0.002)
    x, z = 0.01, 0.04
    assert motion.axial_strain(np.array(x)) == pytest.approx(-0.02 + 0.005)
    assert motion.axial_displacement_m(np.array(x), np.array(z)) == pytest.approx(
        1e-4 + 1e-4 - 0.015 * 0.04
    )
    assert motion.lateral_displacement_m(np.array(x), np.array(z)) == pytest.approx(6.8e-4)
