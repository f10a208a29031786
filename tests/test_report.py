"""Videos and reports: what is in them, read back with other programs."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import processes
import pytest

pytest.importorskip("matplotlib", reason="the plot extra is not installed")

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.offline.html_report import chosen_pairs, errors_against_truth
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sinks.video import save_video
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile

FORMAT = RfFormat(
    n_lines=32,
    n_samples=640,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=4e-4,
    start_depth_m=1e-3,
)
GRID = Grid(32, 160, 4 * FORMAT.axial_step_m, 4e-4, 1e-3)


def rf_frame(number: int) -> RfFrame:
    rng = np.random.default_rng(number)
    return RfFrame(
        rng.normal(0, 900, (32, 640)).astype(np.int16), FORMAT, FrameStamp(frame_id=number)
    )


def strain_frame(number: int) -> StrainFrame:
    """1 % of press, or of release where the number is odd; half of it in a block on the left."""
    sign = 1.0 if number % 2 else -1.0
    strain = np.full(GRID.shape, sign * 0.01, np.float32)
    strain[4:12, 40:80] = sign * 0.005
    return StrainFrame(
        strain,
        1e-3 * strain,
        np.full(GRID.shape, 0.95, np.float32),
        GRID,
        (number, number + 1),
        acquired_ns=10**9 + 40_000_000 * number,
        engine="ncc",
        quality=0.95,
        applied_strain=sign * 0.01 * (1 + number),
    )


@pytest.fixture
def strain_path(tmp_path: Path) -> Path:
    path = tmp_path / "strain.h5"
    with StrainWriter(path, FORMAT) as writer:
        for number in range(5):
            writer.write(strain_frame(number))
    return path


def test_a_strain_file_reads_back(strain_path: Path):
    with StrainFile(strain_path) as strain:
        assert (strain.n_frames, strain.engine) == (5, "ncc")
        assert strain.grid.shape == GRID.shape
        np.testing.assert_allclose(strain.grid.depth_m, GRID.depth_m, atol=1e-8)
        np.testing.assert_allclose(strain.grid.lateral_m, GRID.lateral_m, atol=1e-8)
        for number, frame in enumerate(strain):
            expected = strain_frame(number)
            np.testing.assert_allclose(frame.axial_strain, expected.axial_strain, rtol=1e-6)
            np.testing.assert_array_equal(frame.correlation, expected.correlation)
            assert frame.frame_ids == expected.frame_ids
            assert frame.acquired_ns == expected.acquired_ns


def test_what_is_no_strain_file(tmp_path: Path):
    path = tmp_path / "recording.h5"
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        writer.write(rf_frame(0))
    with pytest.raises(RtelastoError, match=r"recording\.h5: is not a strain file"):
        StrainFile(path)
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(RtelastoError, match=r"text\.h5: cannot be read"):
        StrainFile(tmp_path / "text.h5")


@pytest.mark.slow
def test_a_video_shows_every_frame_at_its_rate(strain_path: Path, tmp_path: Path):
    imageio_ffmpeg = pytest.importorskip(
        "imageio_ffmpeg", reason="the video extra is not installed"
    )
    path = tmp_path / "strain.mp4"
    shown = []
    with StrainFile(strain_path) as strain:
        save_video(path, strain, rf_frame, on_frame=lambda: shown.append(1))
    assert len(shown) == 5
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    assert meta["codec"] == "h264"
    assert meta["fps"] == pytest.approx(25.0)
    frames = [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader]
    assert len(frames) == 5
    coloured = [np.ptp(frame.astype(int), axis=2) > 60 for frame in frames]
    for mask in coloured:
        assert mask[:, width // 2 :].mean() > 0.1
        assert mask[:, : width // 2].mean() < 0.01
    # Frames of a release are turned over: soft tissue looks as it does in a press.
    both = coloured[0] & coloured[1]
    apart = np.abs(frames[0].astype(int) - frames[1].astype(int)).max(axis=2)
    assert np.median(apart[both]) < 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["strain.h5", "strain.mp4"]


def test_a_video_of_another_kind_is_refused(strain_path: Path, tmp_path: Path):
    with StrainFile(strain_path) as strain, pytest.raises(RtelastoError, match=r"is one of \.mp4"):
        save_video(tmp_path / "strain.avi", strain, rf_frame)


def test_pairs_to_show_have_the_strongest_among_them(tmp_path: Path):
    path = tmp_path / "many.h5"
    with StrainWriter(path, FORMAT) as writer:
        for number in range(20):
            strength = 9.0 if number == 13 else 1.0
            writer.write(strain_frame(0).replace(applied_strain=-0.001 * strength))
    with StrainFile(path) as strain:
        chosen = chosen_pairs(strain)
    assert 13 in chosen
    assert len(chosen) == 6
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))


class Page(HTMLParser):
    """Headings, words and images of a page, and what it asks other places for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.foreign: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("src", "href") and value is not None:
                (self.images if value.startswith("data:") else self.foreign).append(value)

    def handle_data(self, data: str) -> None:
        self.words += data + " "


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rtelasto_engines.simulate.hand import HandMotion
    from rtelasto_engines.simulate.sequence import simulate_sequence

    path = tmp_path_factory.mktemp("simulated") / "a & b.h5"
    rf_format = RfFormat(
        n_lines=48, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=4e-4
    )
    sequence = simulate_sequence(
        3,
        n_frames=4,
        frame_rate_hz=20.0,
        rf_format=rf_format,
        hand=HandMotion(peak_strain=0.02),
        motion="ideal",
    )
    with RecordingWriter(path, rf_format) as writer:
        for frame in sequence.iter_frames():
            writer.write(frame, sequence.field(frame.frame_id))
    return path


@pytest.mark.slow
def test_a_report_is_one_page_with_everything_in_it(simulated: Path, tmp_path: Path):
    out = tmp_path / "report.html"
    done = processes.finish("report", str(simulated), "-o", str(out), "--engine", "ncc")
    assert done.returncode == 0, done.stderr
    page = Page(out.read_text(encoding="utf-8"))
    assert page.foreign == []
    assert len(page.images) == 1 + 3
    for image in page.images[1:]:
        assert base64.b64decode(image.partition("base64,")[2]).startswith(b"\x89PNG")
    assert b"<svg" in base64.b64decode(page.images[0].partition("base64,")[2])[:2000]
    assert "a & b.h5" in page.words
    assert NOT_A_MEDICAL_DEVICE in page.words
    assert "strain RMSE" in page.words
    told = re.search(r"displacement RMSE\s+([\d.]+) \(", page.words)
    assert told is not None

    # The accuracy told is that of the strain file of the same recording.
    strain_path = tmp_path / "strain.h5"
    assert (
        processes.finish(
            "process", str(simulated), "-o", str(strain_path), "--engine", "ncc"
        ).returncode
        == 0
    )
    with open_recording(simulated) as recording, StrainFile(strain_path) as strain:
        errors = errors_against_truth(recording, strain)
    assert errors is not None
    assert float(told[1]) == pytest.approx(np.median(errors.displacement_rmse_samples), abs=6e-4)
    assert np.median(errors.displacement_rmse_samples) < 0.3


@pytest.mark.slow
def test_a_report_without_truth_says_so(tmp_path: Path, simulated: Path):
    plain = tmp_path / "plain.h5"
    with open_recording(simulated) as recording:
        with RecordingWriter(plain, recording.format) as writer:
            for i in range(2):
                writer.write(recording.frame(i))
        out = tmp_path / "plain.html"
    done = processes.finish("report", str(plain), "-o", str(out), "--engine", "ncc")
    assert done.returncode == 0, done.stderr
    page = Page(out.read_text(encoding="utf-8"))
    assert "holds no truth" in page.words
    assert len(page.images) == 2


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_one_line(simulated: Path, tmp_path: Path):
    out = tmp_path / "gone" / "report.html"
    done = processes.finish("report", str(simulated), "-o", str(out), "--engine", "ncc")
    assert done.returncode == 2
    assert "there is no folder" in done.stderr.strip().splitlines()[-1]
