"""Resampling against signals that can be evaluated anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtelasto.cpu.resample import engine_grid, resample_frame
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.strain import Elongation

PUBLISHED = RfFormat(
    n_lines=128, n_samples=2608, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)


def tone(rf_format: RfFormat, lines, samples, cycles_per_sample: float):
    """A cosine of a frequency, different from line to line but smooth across them."""
    return np.cos(2 * np.pi * (cycles_per_sample * samples + 0.05 * lines)) + 0.0 * lines


def read_positions(rf_format: RfFormat, grid, motion: Elongation):
    """Fractional (line, sample) at which each pixel of the grid is to be read."""
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    lines = (
        np.arange(grid.n_lines)[:, None] + motion.lateral_displacement_m(x, z) / grid.line_pitch_m
    )
    depth = z + motion.axial_displacement_m(x, z) - rf_format.start_depth_m
    return lines + 0.0 * z, depth / rf_format.axial_step_m


def error_db(got, wanted, where) -> float:
    error = np.sqrt(np.mean(np.square(got - wanted)[where]))
    return float(20 * np.log10(error / np.sqrt(np.mean(np.square(wanted[where])))))


@pytest.mark.parametrize("cycles", [0.02, 0.1, 0.156, 0.25, 0.3, 0.35])
def test_axial_interpolation_error_is_below_minus_60_db(cycles):
    motion = Elongation(3e-4, 0.001, -0.013, 0.02)
    grid = PUBLISHED.grid
    lines, samples = np.mgrid[: grid.n_lines, : grid.n_depths].astype(float)
    frame = tone(PUBLISHED, lines, samples, cycles).astype(np.float32)
    got, energy = resample_frame(frame, PUBLISHED, grid, motion)
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    position = samples + motion.axial_displacement_m(x, z) / grid.axial_step_m
    inside = (position > 8) & (position < grid.n_depths - 9)
    wanted = tone(PUBLISHED, lines, position, cycles)
    assert error_db(got, wanted, inside) < -60.0
    assert energy == pytest.approx(np.sum(np.square(got, dtype=np.float64)), rel=1e-5)


@pytest.mark.parametrize("slope", [0.05, -0.05, 0.001, 0.0])
def test_strains_of_either_sign_are_read_where_the_elongation_says(slope):
    motion = Elongation(-0.4e-3, 0.0, slope)
    grid = PUBLISHED.grid
    lines, samples = np.mgrid[: grid.n_lines, : grid.n_depths].astype(float)
    frame = tone(PUBLISHED, lines, samples, 0.17).astype(np.float32)
    got, _ = resample_frame(frame, PUBLISHED, grid, motion)
    _, position = read_positions(PUBLISHED, grid, motion)
    inside = (position > 8) & (position < grid.n_depths - 9)
    assert error_db(got, tone(PUBLISHED, lines, position, 0.17), inside) < -60.0
    outside = (position < -0.5) | (position > grid.n_depths - 0.5)
    assert outside.any()
    assert not got[outside].any()


@pytest.mark.parametrize(
    "motion",
    [
        Elongation(lateral_offset_m=1.3 * 0.3e-3, lateral_slope=0.02),
        Elongation(lateral_offset_m=-1.3 * 0.3e-3, lateral_slope=0.02, lateral_shear=0.03),
        Elongation(2e-3, axial_slope=-0.03, lateral_offset_m=1.3 * 0.3e-3, lateral_shear=-0.03),
    ],
)
def test_fractional_lines_are_interpolated(motion):
    grid = PUBLISHED.grid
    lines, samples = np.mgrid[: grid.n_lines, : grid.n_depths].astype(float)

    def speckle_like(line, sample):  # 0.05 to 0.25 cycles per line
        return (1.0 + 0.5 * np.cos(2 * np.pi * 0.2 * line)) * np.cos(
            2 * np.pi * (0.15 * sample + 0.05 * line)
        )

    got, _ = resample_frame(
        speckle_like(lines, samples).astype(np.float32), PUBLISHED, grid, motion
    )
    position, sample = read_positions(PUBLISHED, grid, motion)
    inside = (position >= 3) & (position <= grid.n_lines - 4)
    inside &= (sample > 8) & (sample < grid.n_depths - 9)
    assert error_db(got, speckle_like(position, sample), inside) < -40.0
    # A filter in depth also reaches outputs beside it, which a slanted line has inside.
    outside = (position < -0.55) | (position > grid.n_lines - 0.45)
    assert outside.any()
    assert not got[outside].any()


@pytest.mark.parametrize(
    ("rf_format", "samples_per_wavelength"),
    [
        (
            RfFormat(
                n_lines=16,
                n_samples=1664,
                sampling_freq_hz=31.25e6,
                center_freq_hz=7.8125e6,
                line_pitch_m=0.2e-3,
            ),
            6.4,
        ),  # four samples per wavelength, finer
        (
            RfFormat(
                n_lines=16,
                n_samples=2000,
                sampling_freq_hz=38.5e6,
                center_freq_hz=4.65e6,
                line_pitch_m=0.2e-3,
            ),
            6.4,
        ),  # the forearm recordings, coarser
        (
            RfFormat(
                n_lines=16,
                n_samples=4000,
                sampling_freq_hz=100e6,
                center_freq_hz=5e6,
                line_pitch_m=0.3e-3,
                start_depth_m=2e-3,
            ),
            6.4,
        ),  # three times coarser
        (
            RfFormat(
                n_lines=16,
                n_samples=2608,
                sampling_freq_hz=40e6,
                center_freq_hz=6.25e6,
                line_pitch_m=0.3e-3,
            ),
            6.0,
        ),  # 7 % coarser
    ],
)
def test_other_sampling_is_brought_to_the_grid(rf_format, samples_per_wavelength):
    grid = engine_grid(rf_format, samples_per_wavelength)
    own = rf_format.grid
    wavelength_m = rf_format.sound_speed_m_s / rf_format.center_freq_hz
    assert grid.axial_step_m == pytest.approx(wavelength_m / (2 * samples_per_wavelength))
    assert grid.start_depth_m == own.start_depth_m
    assert own.depth_m[-1] - grid.axial_step_m < grid.depth_m[-1] <= own.depth_m[-1] + 1e-9
    cycles = rf_format.center_freq_hz / rf_format.sampling_freq_hz
    motion = Elongation(5e-5, 0.0, -0.01)
    lines, samples = np.mgrid[: own.n_lines, : own.n_depths].astype(float)
    frame = tone(rf_format, lines, samples, cycles).astype(np.float32)
    got, _ = resample_frame(frame, rf_format, grid, motion)
    _, position = read_positions(rf_format, grid, motion)
    lines = np.arange(grid.n_lines)[:, None] + 0.0 * position
    inside = (position > 40) & (position < own.n_depths - 41)
    assert error_db(got, tone(rf_format, lines, position, cycles), inside) < -50.0


def test_a_coarser_grid_does_not_alias():
    rf_format = RfFormat(
        n_lines=4, n_samples=4000, sampling_freq_hz=100e6, center_freq_hz=5e6, line_pitch_m=0.3e-3
    )
    grid = engine_grid(rf_format, 6.4)
    ratio = grid.axial_step_m / rf_format.axial_step_m
    lines, samples = np.mgrid[:4, :4000].astype(float)
    for cycles in (0.75 / ratio, 1.0 / ratio, 0.45):  # above the band of the coarse grid
        frame = tone(rf_format, lines, samples, cycles).astype(np.float32)
        got, _ = resample_frame(frame, rf_format, grid)
        assert np.sqrt(np.mean(np.square(got[:, 20:-20]))) < 2e-3


def test_own_grid_passes_untouched():
    rng = np.random.default_rng(0)
    frame = rng.integers(-3000, 3000, (128, 2608)).astype(np.int16)
    assert engine_grid(PUBLISHED, 6.4) == PUBLISHED.grid
    assert engine_grid(PUBLISHED, None) == PUBLISHED.grid
    got, energy = resample_frame(frame, PUBLISHED, PUBLISHED.grid)
    np.testing.assert_array_equal(got, frame)
    assert energy == np.sum(np.square(frame, dtype=np.float64))


def test_no_motion_at_all_is_the_identity():
    rng = np.random.default_rng(0)
    frame = rng.integers(-3000, 3000, (16, 300)).astype(np.int16)
    rf_format = RfFormat(
        n_lines=16, n_samples=300, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    got, _ = resample_frame(frame, rf_format, rf_format.grid, Elongation(axial_offset_m=0.0))
    # Only what the filters take from above 0.36 cycles per sample, where white noise reaches, is lost.
    assert np.corrcoef(got.ravel(), frame.ravel())[0, 1] > 0.99


@pytest.mark.slow
@settings(max_examples=30)
@given(
    offset_lines=st.floats(-3, 3),
    offset_m=st.floats(-2e-3, 2e-3),
    slope=st.floats(-0.08, 0.08),
    dtype=st.sampled_from(["int16", "int32", "uint8", "float32", "float64", "float16", ">i2"]),
)
def test_every_dtype_gives_the_same_and_stays_finite(offset_lines, offset_m, slope, dtype):
    rf_format = RfFormat(
        n_lines=12, n_samples=200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 200, (12, 200)).astype(dtype)
    motion = Elongation(offset_m, 0.0, slope, 0.0, offset_lines * 0.3e-3)
    got, _ = resample_frame(frame, rf_format, rf_format.grid, motion)
    same, _ = resample_frame(frame.astype(np.float64), rf_format, rf_format.grid, motion)
    assert got.dtype == np.float32
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got, same)


def test_frames_straight_from_a_message_or_transposed():
    rf_format = RfFormat(
        n_lines=12, n_samples=200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    frame = np.random.default_rng(1).integers(-99, 99, (12, 200)).astype(np.int16)
    received = np.frombuffer(frame.tobytes(), np.int16).reshape(12, 200)  # read-only
    transposed = np.asfortranarray(frame)
    motion = Elongation(1e-4, 0.0, -0.01, 0.0, 2e-4)
    wanted, _ = resample_frame(frame, rf_format, rf_format.grid, motion)
    for other in (received, transposed):
        got, _ = resample_frame(other, rf_format, rf_format.grid, motion)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("motion", [None, Elongation(1e-4, 0, 0.01), Elongation(0, 0, 0, 0, 2e-4)])
def test_what_is_not_finite_counts_as_zero(bad, motion):
    rf_format = RfFormat(
        n_lines=8, n_samples=200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
    )
    frame = np.random.default_rng(2).standard_normal((8, 200))
    holes = frame.copy()
    holes[::3, ::7] = bad
    zeros = np.where(np.isfinite(holes), holes, 0.0)
    got, _ = resample_frame(holes, rf_format, rf_format.grid, motion)
    wanted, _ = resample_frame(zeros, rf_format, rf_format.grid, motion)
    np.testing.assert_array_equal(got, wanted)
