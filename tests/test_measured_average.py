"""The average of what a network of two stages measured: scaling, motion, and the picture that it gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from rtelasto.cpu.engine import OnnxEngine
from rtelasto.cpu.measured_average import MeasuredAverage, scaled
from rtelasto.cpu.staged_engine import StagedEngine
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import Elongation, MeasuredMotion, StrainFrame, StretchedPair
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.persistence import Persistence
from rtelasto_engines import shipped_models

SAMPLE_M = 2.0e-5
GRID = Grid(48, 80, 8 * SAMPLE_M, 3e-4)
FRAME_GRID = Grid(48, 160, 4 * SAMPLE_M, 3e-4)


def pattern() -> np.ndarray:
    """Strain of a round stiff lesion over the mean strain, on the grid of a measurement."""
    line, row = np.mgrid[:48, :80]
    return np.where(np.hypot((line - 22) / 9.0, (row - 45) / 14.0) < 1.0, 0.5, 1.0)


def pair(
    press: float,
    *,
    elongation: Elongation | None = None,
    shift_m: float = 0.0,
    noise: float = 0.0,
    precision: float = 50.0,
    seed: int = 1,
) -> StrainFrame:
    """A pair of a press, of which an elongation was removed before it was measured."""
    rng = np.random.default_rng(seed)
    elongation = elongation or Elongation(axial_slope=press)
    total_m = np.cumsum(press * pattern(), axis=1) * GRID.axial_step_m + shift_m
    x, z = GRID.lateral_m[:, None], GRID.depth_m[None, :]
    left_m = total_m - elongation.axial_displacement_m(x, z)
    left_m = left_m / (1.0 + elongation.axial_strain(x))
    displacement = left_m / SAMPLE_M + noise * rng.standard_normal(GRID.shape)
    still = np.zeros(GRID.shape, np.float32)
    measured = MeasuredMotion(
        displacement.astype(np.float32),
        still,
        np.full(GRID.shape, precision, np.float32),
        np.stack([still + 0.9, still]),
        GRID,
        SAMPLE_M,
    )
    strain = np.repeat(press * pattern(), 2, axis=1).astype(np.float32)
    return StrainFrame(
        strain,
        np.repeat(total_m, 2, axis=1).astype(np.float32),
        np.full(FRAME_GRID.shape, 0.98, np.float32),
        FRAME_GRID,
        quality=0.98,
        applied_strain=press,
        elongation=elongation,
        measured=measured,
    )


class Slope:
    """A second stage without a network: the strain is the slope of the smoothed displacement."""

    def strain_of(
        self, measured: MeasuredMotion, n_depths: int
    ) -> tuple[Float32Image, Float32Image]:
        smooth = uniform_filter(measured.displacement, (3, 9), mode="nearest")
        slope = np.gradient(smooth * measured.sample_m, axis=1)
        strain = np.repeat(slope / measured.grid.axial_step_m, 2, axis=1)[:, :n_depths]
        return strain.astype(np.float32), np.full(strain.shape, 1e-4, np.float32)


def shown(frames: list[StrainFrame], stage: object = None) -> StrainFrame:
    """The last frame of a run, averaged."""
    persistence = Persistence(1.0, lambda grid: MeasuredAverage(grid, stage or Slope()))  # type: ignore[arg-type]
    for k, frame in enumerate(frames):
        last = persistence(frame, pre_s=0.05 * k, post_s=0.05 * (k + 1))
    return last


@given(
    press=st.floats(0.002, 0.02),
    release=st.booleans(),
    off=st.floats(-0.003, 0.003),
    tilt=st.floats(-0.002, 0.002),
    shift_m=st.floats(-2e-4, 2e-4),
)
@settings(max_examples=25)
def test_pairs_of_any_press_and_stretch_are_the_same_when_scaled(
    press: float, release: bool, off: float, tilt: float, shift_m: float
) -> None:
    press = press if release else -press
    assert pair(-0.005).measured is not None
    wanted, wanted_press, _ = scaled(pair(-0.005).measured, Elongation(axial_slope=-0.005))  # type: ignore[arg-type]
    elongation = Elongation(axial_offset_m=-0.5 * shift_m, axial_tilt=tilt, axial_slope=press + off)
    frame = pair(press, elongation=elongation, shift_m=shift_m)
    assert frame.measured is not None
    found, found_press, _ = scaled(frame.measured, elongation)
    assert found_press / press == pytest.approx(wanted_press / -0.005, rel=1e-3)
    moved, known = (image[..., 1] / image[..., 0] for image in (found, wanted))
    # In m per unit of strain: a thousandth of the depth.
    assert np.abs(moved - known).max() < 1e-3 * np.ptp(GRID.depth_m)
    assert np.median(found[..., 0]) == pytest.approx(50.0 * found_press**2, rel=1e-3)


def test_a_phase_is_scaled_like_the_displacement() -> None:
    frame = pair(-0.01)
    measured = frame.measured
    assert measured is not None
    angle = np.float32(0.4)
    measured.residual[0], measured.residual[1] = 0.9 * np.cos(angle), 0.9 * np.sin(angle)
    found, press, _ = scaled(measured, frame.elongation)  # type: ignore[arg-type]
    assert found[..., 4] / found[..., 3] == pytest.approx(angle / press, rel=1e-5)
    assert found[..., 3] / found[..., 0] == pytest.approx(0.9, rel=1e-5)


def test_the_pattern_is_the_strain_over_the_applied_strain() -> None:
    frame = shown([pair(-0.006), pair(0.004), pair(-0.012)])
    assert frame.relative_strain is not None
    wanted = np.repeat(pattern(), 2, axis=1)
    error = np.abs(frame.relative_strain - wanted)[4:-4, 8:-8]
    assert np.median(error) < 0.02
    # The rim of the lesion is as wide as the windows of this stage.
    assert np.quantile(error, 0.7) < 0.05


def test_noise_falls_with_the_number_of_pairs() -> None:
    errors = {}
    for n in (1, 16):
        frame = shown([pair(-0.006, noise=0.05, seed=k) for k in range(n)])
        errors[n] = float(np.median(away(frame, shown([pair(-0.006)]))))
    assert errors[16] < 0.4 * errors[1]


def test_a_precise_pair_has_more_weight_than_a_strong_imprecise_one() -> None:
    good, bad = pair(-0.006, precision=200.0), pair(-0.006, noise=0.5, precision=0.5, seed=3)
    alone, both = shown([good]), shown([good, bad])
    assert alone.relative_strain is not None
    assert both.relative_strain is not None
    assert np.median(np.abs(both.relative_strain - alone.relative_strain)) < 0.02


def test_a_pair_without_measurement_enters_only_the_average_of_strain() -> None:
    alone = shown([pair(-0.006), pair(-0.006)])
    mixed = shown([pair(-0.006), pair(-0.006), pair(-0.006).replace(measured=None)])
    assert alone.relative_strain is not None
    assert mixed.relative_strain is not None
    # The tissue has moved by then; pixels at the rim of the lesion are read between others.
    assert np.quantile(np.abs(mixed.relative_strain - alone.relative_strain), 0.95) < 0.05
    assert mixed.persistence is not None
    assert mixed.persistence.frames == 3
    without = shown([pair(-0.006).replace(measured=None)])
    assert without.relative_strain is not None
    np.testing.assert_allclose(without.relative_strain, np.repeat(pattern(), 2, axis=1), atol=1e-3)


def hopped(frame: StrainFrame, where: tuple[slice, slice], samples: float = 6.4) -> StrainFrame:
    """The frame, measured wrong by a wavelength in a part, with the same precision."""
    assert frame.measured is not None
    frame.measured.displacement[where] += samples
    return frame


def away(frame: StrainFrame, wanted: StrainFrame) -> np.ndarray:
    assert frame.relative_strain is not None
    assert wanted.relative_strain is not None
    return np.abs(frame.relative_strain - wanted.relative_strain)


def test_a_pair_of_which_half_failed_does_not_turn_the_picture_over() -> None:
    good = [pair(-0.006) for _ in range(5)]
    bad = hopped(pair(-0.0015), (slice(None), slice(40, None)))
    assert np.median(away(shown([*good, bad]), shown(good))) < 0.02


def test_pixels_wrong_by_a_wavelength_in_one_pair_are_not_visible() -> None:
    good = [pair(-0.006) for _ in range(10)]
    bad = hopped(pair(-0.006), (slice(20, 28), slice(30, 40)))
    assert away(shown([*good, bad]), shown([*good, pair(-0.006)])).max() < 0.1


def test_pixels_wrong_by_a_wavelength_in_the_first_pair_are_replaced() -> None:
    bad = hopped(pair(-0.006), (slice(20, 28), slice(30, 40)))
    later = [pair(-0.006) for _ in range(40)]
    assert away(shown([bad, *later]), shown(later)).max() < 0.1


def test_the_first_measurement_does_not_stand_for_the_pairs_before_it() -> None:
    without = [pair(-0.006).replace(measured=None) for _ in range(10)]
    noisy = pair(-0.006, noise=0.5)
    assert np.median(away(shown([*without, noisy]), shown(without))) < 0.02


def test_what_is_not_a_number_stays_out_of_the_average() -> None:
    good, bad = [pair(-0.006) for _ in range(3)], pair(-0.006)
    assert bad.measured is not None
    bad.measured.displacement[20, 31] = np.nan
    found = shown([*good, bad, *good])
    assert found.relative_strain is not None
    assert np.isfinite(found.relative_strain).all()
    assert np.median(away(found, shown(good))) < 0.02


def test_a_border_line_is_known_though_the_tissue_moved_a_little_aside() -> None:
    aside = Elongation(axial_slope=-0.006, lateral_offset_m=0.1 * GRID.line_pitch_m)
    frame = shown([pair(-0.006, elongation=aside) for _ in range(3)])
    assert away(frame, shown([pair(-0.006)]))[[0, -1]].max() < 0.1


def test_a_measurement_on_another_grid_enters_only_the_average_of_strain() -> None:
    other = pair(-0.006)
    assert other.measured is not None
    small = Grid(12, 20, GRID.axial_step_m, GRID.line_pitch_m)
    image = np.zeros(small.shape, np.float32)
    wrong = MeasuredMotion(image, image, image, np.stack([image, image]), small, SAMPLE_M)
    assert away(shown([other.replace(measured=wrong)]), shown([other])).max() < 0.6


def test_tissue_that_moved_far_keeps_its_average() -> None:
    """The coordinates of the average are moved when the tissue is 2 mm from where it began."""
    slide = Elongation(axial_slope=-0.006, lateral_offset_m=GRID.line_pitch_m)
    moved = [pair(-0.006, elongation=slide) for _ in range(9)]
    frame = shown(moved)
    assert frame.relative_strain is not None
    assert np.isfinite(frame.relative_strain[12:]).all()


def test_the_engine_with_stages_measures_what_its_whole_graph_computes() -> None:
    engine = open_engine("cnn2")
    assert isinstance(engine, StagedEngine)
    rng = np.random.default_rng(4)
    pre = rng.standard_normal((40, 1003)).astype(np.float32)
    post = np.roll(pre, 1, axis=1)
    grid = Grid(40, 1003, SAMPLE_M, 3e-4)
    stretched = StretchedPair(pre, post, grid, Elongation(), 6.4)
    whole = OnnxEngine(shipped_models()["cnn2"].path).estimate(stretched)
    found = engine.estimate(stretched)
    assert found.measured is not None
    assert whole.measured is None
    for name in ("axial_displacement_m", "axial_strain", "lateral_strain", "axial_strain_std"):
        ours, theirs = getattr(found, name), getattr(whole, name)
        assert ours.shape == theirs.shape == found.grid.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert found.measured.grid == Grid(40, 126, 8 * SAMPLE_M, 3e-4)
    strain, _ = engine.strain_of(found.measured, found.grid.n_depths)
    np.testing.assert_allclose(strain, found.axial_strain, atol=1e-6)


@pytest.mark.parametrize("samples", [64, 65, 72, 401])
def test_frames_of_any_length_are_measured_at_every_eighth_sample(samples: int) -> None:
    frames = np.random.default_rng(1).standard_normal((2, 12, samples)).astype(np.float32)
    stretched = StretchedPair(*frames, Grid(12, samples, SAMPLE_M, 3e-4), Elongation(), 6.4)
    found = open_engine("cnn2").estimate(stretched)
    assert found.measured is not None
    assert found.measured.grid == Grid(12, -(-samples // 8), 8 * SAMPLE_M, 3e-4)
    assert found.grid == Grid(12, -(-samples // 4), 4 * SAMPLE_M, 3e-4)


def test_stages_of_other_networks_are_refused() -> None:
    model = shipped_models()["cnn2"]
    with pytest.raises(RtelastoError, match="measured_displacement"):
        StagedEngine(model.path, (model.path, model.stages[1]))


def test_stages_beside_a_file_are_used(tmp_path: Path) -> None:
    model = shipped_models()["cnn2"]
    for path, name in zip((model.path, *model.stages), ("", ".tracking", ".strain"), strict=True):
        shutil.copy(path, tmp_path / f"mine{name}.onnx")
    assert isinstance(open_engine(str(tmp_path / "mine.onnx")), StagedEngine)
    (tmp_path / "mine.strain.onnx").unlink()
    assert not isinstance(open_engine(str(tmp_path / "mine.onnx")), StagedEngine)
