"""The picture: what is drawn where, and what is left out."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.notice import NOT_A_MEDICAL_DEVICE

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
from matplotlib.image import imread  # noqa: E402

from rtelasto.sinks import picture  # noqa: E402
from rtelasto.sinks.picture import Drawing  # noqa: E402
from rtelasto.sinks.strain_layers import Shown, layer_of  # noqa: E402

FORMAT = RfFormat(
    n_lines=32,
    n_samples=400,
    sampling_freq_hz=20e6,
    center_freq_hz=5e6,
    line_pitch_m=0.5e-3,
    start_depth_m=2e-3,
)
GRID = Grid(32, 50, 8 * FORMAT.axial_step_m, FORMAT.line_pitch_m, FORMAT.start_depth_m)


def rf_frame() -> RfFrame:
    rng = np.random.default_rng(1)
    return RfFrame(rng.normal(0, 900, (32, 400)).astype(np.int16), FORMAT)


def strain_frame(sign: float = -1.0) -> StrainFrame:
    """1 % everywhere but 0.4 % in a hard block; the last third of the depths does not correlate."""
    strain = np.full(GRID.shape, sign * 0.01, np.float32)
    strain[10:20, 10:20] = sign * 0.004
    correlation = np.full(GRID.shape, 0.95, np.float32)
    correlation[:, 34:] = 0.3
    return StrainFrame(strain, strain, correlation, GRID, frame_ids=(3, 5), engine="ncc")


def drawn(frame: StrainFrame, *, mask_below: float = 0.7, show: Shown = "strain"):
    figure = Drawing(frame, rf_frame(), layer_of(frame, show, mask_below)).figure
    left, right = figure.axes[:2]
    return figure, left, right


def bar_words(axes) -> list[str]:
    """Texts beside the colour bar from top to bottom."""
    texts = sorted(axes.texts, key=lambda text: -text.get_position()[1])
    return [text.get_text() for text in texts]


def test_it_says_what_it_is_not_for():
    figure, _, _ = drawn(strain_frame())
    assert figure.get_supxlabel() == NOT_A_MEDICAL_DEVICE


def test_both_images_lie_at_their_true_place_in_mm():
    _, left, right = drawn(strain_frame())
    bmode, strain = left.images[0], right.images[-1]
    step_mm = 1e3 * FORMAT.axial_step_m
    top = 2.0 - step_mm / 2
    np.testing.assert_allclose(bmode.get_extent(), (-8.0, 8.0, top + 400 * step_mm, top))
    top = 2.0 - 4 * step_mm
    np.testing.assert_allclose(strain.get_extent(), (-8.0, 8.0, top + 400 * step_mm, top))
    for axes in (left, right):
        assert axes.get_aspect() == 1.0
        bottom, upper = axes.get_ylim()
        assert bottom > upper
        assert axes.get_xlabel().endswith("in mm")
    assert bmode.get_array().shape == (400, 32)
    assert bmode.get_clim() == (-60.0, 0.0)


def test_strain_is_in_percent_and_hidden_where_it_cannot_be_trusted():
    frame = strain_frame()
    frame.axial_strain[5, 5] = np.nan
    shown = drawn(frame)[2].images[-1].get_array()
    assert shown.mask[34:].all()
    assert shown.mask[5, 5]
    assert shown.mask[:34].sum() == 1
    np.testing.assert_allclose(shown[:34].compressed().max(), 1.0, rtol=1e-6)
    everything = drawn(frame, mask_below=0.0)[2].images[-1].get_array()
    assert everything.mask.sum() == 1


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_soft_is_the_end_of_large_strain_and_bright_in_press_and_release(sign):
    figure, _, right = drawn(strain_frame(sign))
    image = right.images[-1]
    bar = next(axes for axes in figure.axes + right.child_axes if bar_words(axes))
    assert bar_words(bar) == ["soft", "hard"]
    soft, hard = image.cmap(image.norm(1.0)), image.cmap(image.norm(0.4))
    assert sum(soft[:3]) > sum(hard[:3])


@pytest.mark.slow
def test_a_frame_without_reliable_strain_or_echo_is_drawn_and_says_so(tmp_path):
    frame = strain_frame()
    frame.correlation[:] = 0.0
    assert "none is reliable" in drawn(frame)[2].get_title()
    silent = RfFrame(np.zeros((32, 400), np.int16), FORMAT)
    picture.save_picture(tmp_path / "a.png", frame, silent)
    assert imread(tmp_path / "a.png").size


def test_saved_picture_shows_strain_in_colour_and_bmode_in_grey(tmp_path):
    global_state = "matplotlib.pyplot" in sys.modules
    picture.save_picture(tmp_path / "a.png", strain_frame(), rf_frame(), title="press")
    assert ("matplotlib.pyplot" in sys.modules) == global_state
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    pixels = imread(tmp_path / "a.png")[:, :, :3]
    colour = np.ptp(pixels, axis=2) > 0.2
    grey = (np.ptp(pixels, axis=2) < 0.02) & (pixels[:, :, 0] > 0.1) & (pixels[:, :, 0] < 0.9)
    middle = pixels.shape[1] // 2
    # The strain stands right of the middle; the masked third shows the B-mode under it.
    assert colour[:, middle:].mean() > 0.15
    assert colour[:, :middle].mean() < 0.01
    assert grey[:, :middle].mean() > 0.2
    assert grey[:, middle:].mean() > 0.1


def lateral_frame() -> StrainFrame:
    """Tissue that widens by 0.5 % around the middle line, unknown in one pixel."""
    x_m = np.broadcast_to(GRID.lateral_m[:, None], GRID.shape)
    moved = (0.005 * x_m).astype(np.float32)
    moved[5, 5] = np.nan
    widened = np.full(GRID.shape, 0.005, np.float32)
    return strain_frame().replace(lateral_displacement_m=moved, lateral_strain=widened)


@pytest.mark.parametrize(
    ("show", "largest", "ends"),
    [
        ("lateral-displacement", 0.005 * 15.5 * 0.5, ["right", "left"]),
        ("lateral-strain", 0.5, ["long", "short"]),
    ],
)
def test_lateral_motion_is_drawn_on_both_sides_of_white(show, largest, ends):
    frame = lateral_frame()
    figure, _, right = drawn(frame, show=show)
    image = right.images[-1]
    shown = image.get_array()
    assert shown.max() == pytest.approx(largest, rel=1e-5)
    assert shown.mask[34:].all()
    assert shown.mask[5, 5] == (show == "lateral-displacement")
    low, high = image.get_clim()
    assert low == pytest.approx(-high)
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.9
    bar = next(axes for axes in figure.axes + right.child_axes if bar_words(axes))
    assert bar_words(bar) == ends
    assert show.replace("-", " ") in right.get_title()


def test_what_the_engine_does_not_give_cannot_be_drawn(tmp_path):
    with pytest.raises(RtelastoError, match="show: engine ncc gives no lateral strain"):
        picture.save_picture(tmp_path / "a.png", strain_frame(), rf_frame(), show="lateral-strain")
    with pytest.raises(RtelastoError, match=r"show must be one of strain, .*, got 'shear'"):
        layer_of(strain_frame(), "shear", 0.7)
    assert not list(tmp_path.iterdir())


def test_the_format_goes_by_the_suffix(tmp_path):
    picture.save_picture(tmp_path / "a.PDF", strain_frame(), rf_frame())
    assert (tmp_path / "a.PDF").read_bytes().startswith(b"%PDF-")


def test_pictures_that_cannot_be_written(tmp_path):
    for path, says in (
        (tmp_path / "a.jpgx", "picture is one of"),
        (tmp_path / "gone" / "a.png", "there is no folder"),
    ):
        with pytest.raises(RtelastoError, match=says):
            picture.save_picture(path, strain_frame(), rf_frame())
    (tmp_path / "b.png").mkdir()
    with pytest.raises(RtelastoError, match="folder"):
        picture.save_picture(tmp_path / "b.png", strain_frame(), rf_frame())
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
