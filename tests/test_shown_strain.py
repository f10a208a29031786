"""That pictures, videos and reports claim nothing of tissue at rest, and have one sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import processes
import pytest

pytest.importorskip("matplotlib", reason="the plot extra is not installed")

from press_scene import GRID, STIFFNESS, hand, pattern, strain_frame

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.offline.html_report import chosen_pairs
from rtelasto.offline.process import HandSummary
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.picture import Drawing
from rtelasto.sinks.shown_strain import shown_percent
from rtelasto.sinks.strain_layers import PairStrain
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sinks.video import save_video
from rtelasto.sources.strain_file import StrainFile

FORMAT = RfFormat(
    n_lines=GRID.n_lines,
    n_samples=1600,
    sampling_freq_hz=1540.0 / (2.0 * 18.75e-6),
    center_freq_hz=6.25e6,
    line_pitch_m=GRID.line_pitch_m,
    start_depth_m=GRID.start_depth_m,
)


def rf_frame(number: int) -> RfFrame:
    rng = np.random.default_rng(number)
    samples = rng.normal(0, 900, (FORMAT.n_lines, FORMAT.n_samples)).astype(np.int16)
    return RfFrame(samples, FORMAT, FrameStamp(frame_id=number))


def write_strain(path: Path, applied: list[float]) -> Path:
    with StrainWriter(path, FORMAT) as writer:
        for number, strain in enumerate(applied):
            writer.write(strain_frame(number, strain))
    return path


def coloured(pixels: np.ndarray) -> float:
    """Share of the right half, which holds the strain, that is coloured."""
    right = pixels[:, pixels.shape[1] // 2 : -pixels.shape[1] // 6, :3]
    return float((np.ptp(right.astype(int), axis=2) > 60).mean())


def test_a_picture_of_tissue_at_rest_shows_bmode_and_says_so():
    drawing = Drawing(strain_frame(0, 0.0), rf_frame(0))
    assert coloured(drawing.pixels(60)) < 0.01
    assert "at rest" in drawing.figure.axes[1].get_title()
    assert coloured(Drawing(strain_frame(0, -0.01), rf_frame(0)).pixels(60)) > 0.2


def test_press_and_release_give_the_same_picture_positive_in_their_direction():
    shown = [
        Drawing(strain_frame(0, a, noise=0.0), rf_frame(0)).figure.axes[1].images[-1]
        for a in (-0.01, 0.01)
    ]
    np.testing.assert_allclose(shown[0].get_array(), shown[1].get_array(), rtol=1e-5)
    assert shown[0].get_clim() == pytest.approx(shown[1].get_clim())
    assert shown[0].cmap.name == shown[1].cmap.name
    assert float(shown[0].get_array().min()) == pytest.approx(1.0 / STIFFNESS, rel=1e-4)


def test_strain_that_is_uncertain_for_its_press_is_not_shown():
    frame = strain_frame(0, -0.0012, correlation=0.8)
    assert shown_percent(frame, 0.7).count() == 0
    strong = strain_frame(0, -0.01, correlation=0.8)
    assert shown_percent(strong, 0.7).count() == GRID.n_lines * GRID.n_depths
    std = np.full(GRID.shape, 1e-3, np.float32)
    std[:5] = 8e-3
    certain = shown_percent(strong.replace(axial_strain_std=std), 0.7)
    assert certain.count() == (GRID.n_lines - 5) * GRID.n_depths


@pytest.mark.slow
def test_a_video_shows_no_colour_while_tissue_is_at_rest(tmp_path: Path):
    imageio_ffmpeg = pytest.importorskip(
        "imageio_ffmpeg", reason="the video extra is not installed"
    )
    path = write_strain(tmp_path / "strain.h5", [-0.01, 0.0, 0.0, 0.01])
    with StrainFile(path) as strain:
        save_video(tmp_path / "strain.mp4", strain, rf_frame)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "strain.mp4"))
    width, height = next(reader)["size"]
    shares = [coloured(np.frombuffer(data, np.uint8).reshape(height, width, 3)) for data in reader]
    assert shares[1] < 0.01 > shares[2]
    assert shares[0] > 0.2 < shares[3]


def test_a_report_shows_pairs_that_say_something(tmp_path: Path):
    path = write_strain(tmp_path / "strain.h5", [0.0] * 12 + [-0.008, -0.01, 0.009] + [0.0] * 12)
    with StrainFile(path) as strain:
        assert chosen_pairs(strain) == [12, 13, 14]
    path = write_strain(tmp_path / "rest.h5", [0.0] * 9)
    with StrainFile(path) as strain:
        assert len(chosen_pairs(strain)) == 6


def test_the_applied_strain_of_press_and_release_is_not_averaged():
    summary = HandSummary.of(np.array([*hand(20), 0.0, np.nan]))
    assert (summary.press, summary.release, summary.at_rest) == (10, 10, 1)
    assert summary.press_strain == pytest.approx(-summary.release_strain)
    assert str(
        summary
    ) == "press −0.71 % (10 pairs), release +0.71 % (10 pairs), at rest (1 pairs)".replace("−", "-")


@pytest.mark.slow
def test_process_says_what_the_hand_did(tmp_path: Path):
    path = tmp_path / "still.h5"
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        still = rf_frame(1).samples
        for number in range(3):
            noise = np.random.default_rng(number).normal(0.0, 9.0, still.shape)
            samples = (still + noise).astype(np.int16)
            writer.write(RfFrame(samples, FORMAT, FrameStamp(frame_id=number)))
    done = processes.finish("process", str(path), "-o", str(tmp_path / "s.h5"), "--engine", "ncc")
    assert done.returncode == 0, done.stderr
    table = processes.table(done.stdout)
    assert table["applied strain"] == "at rest (2 pairs)"
    assert not any(name.startswith("mean strain") for name in table)
    assert pattern().max() == 1.0


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.08])
def test_the_range_of_the_colours_is_not_shorter_than_the_noise(spread: float) -> None:
    percent = 0.5 + spread * np.linspace(-0.5, 0.5, 1000)
    low, high = PairStrain(0.7).limits(percent)
    assert high - low >= 0.0999
    assert low == pytest.approx(0.5 - 0.47 * spread, abs=1e-3)


def test_the_range_of_the_colours_is_that_of_the_strain_where_that_is_longer() -> None:
    low, high = PairStrain(0.7).limits(np.linspace(0.0, 2.0, 1001))
    assert (low, high) == pytest.approx((0.06, 1.94), abs=1e-3)
