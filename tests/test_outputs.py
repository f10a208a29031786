"""What an output may replace: never an input or another output, and nothing that cannot be made again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest

pytest.importorskip("skfem", reason="the sim extra is not installed")

from rtelasto.cli.accuracy import accuracy
from rtelasto.cli.bench import bench, write_json
from rtelasto.cli.bench_live import latency, throughput
from rtelasto.cli.demo import demo
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sinks import output_check as outputs
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.output_check import (
    FIGURES,
    PAGE,
    PICTURE,
    SIMULATION,
    STRAIN,
    VIDEO,
    check_outputs,
)
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sinks.video import save_video
from rtelasto.sources import open_recording
from rtelasto.sources.strain_file import StrainFile

FORMAT = RfFormat(
    n_lines=16, n_samples=400, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
GRID = Grid(16, 100, 4 * FORMAT.axial_step_m, FORMAT.line_pitch_m)


def speckle(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3000, 3000, (16, 400)).astype(np.int16)


def write_recording(path: Path, n_frames: int = 2, **provenance: str) -> Path:
    with RecordingWriter(path, FORMAT, provenance=provenance) as writer:
        for number in range(n_frames):
            writer.write(
                RfFrame(speckle(number), FORMAT, FrameStamp(number, 10**9 + 10**7 * number))
            )
    return path


def write_strain(path: Path) -> Path:
    images = np.random.default_rng(1).normal(-0.01, 1e-3, (3, *GRID.shape)).astype(np.float32)
    with StrainWriter(path, FORMAT) as writer:
        writer.write(StrainFrame(*images, GRID, (0, 1)))
    return path


def write_metaimage(folder: Path, data_name: str = "rec.raw") -> Path:
    np.stack([speckle(0), speckle(1)]).tofile(folder / data_name)
    (folder / "rec.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 400 16 2\nElementType = MET_SHORT\n"
        f"ElementSpacing = 0.01925 0.3 1\nElementDataFile = {data_name}\n"
    )
    return folder / "rec.mhd"


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(*arguments: object, cwd: Path) -> str:
    """The one line with which a command refuses; nothing in the folder has changed then."""
    before = contents(cwd)
    done = processes.finish(*arguments, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert contents(cwd) == before
    return done.stderr.strip().splitlines()[-1]


# --- from the command line


@pytest.mark.slow
@pytest.mark.parametrize("command", ["process", "report"])
def test_a_command_never_replaces_its_recording(tmp_path: Path, command: str):
    write_recording(tmp_path / "rec.h5")
    assert refused(command, "rec.h5", "-o", "rec.h5", "--force", cwd=tmp_path).startswith(
        "rtelasto: --out rec.h5"
    )


def process(path: Path, out: Path, **others: Any) -> None:
    """What `rtelasto process` does; the engine is not there, so that any work would fail."""
    # Noise has no centre frequency of its own.
    with open_recording(path, center_freq_hz=FORMAT.center_freq_hz) as recording:
        process_recording(recording, out, EstimateSettings(engine="none.onnx"), **others)


@pytest.mark.parametrize("name", ["rec.h5", "hard.h5", "soft.h5", "below/../rec.h5", "REC.H5"])
def test_the_recording_is_never_replaced_by_any_name_for_it(tmp_path: Path, name: str):
    path = write_recording(tmp_path / "rec.h5")
    (tmp_path / "below").mkdir()
    os.link(path, tmp_path / "hard.h5")
    (tmp_path / "soft.h5").symlink_to("rec.h5")
    before = contents(tmp_path)
    with pytest.raises(RtelastoError, match=r"is a file of the input .*rec\.h5"):
        process(path, tmp_path / name, force=True)
    assert contents(tmp_path) == before


def test_the_data_file_of_a_metaimage_is_never_replaced(tmp_path: Path):
    path = write_metaimage(tmp_path)
    with pytest.raises(RtelastoError, match=r"a strain file is one of \.h5, \.hdf5"):
        process(path, tmp_path / "rec.raw")
    path = write_metaimage(tmp_path, "data.h5")
    before = contents(tmp_path)
    with pytest.raises(RtelastoError, match=r"is a file of the input .*data\.h5"):
        process(path, tmp_path / "data.h5", force=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["rf-01-00001.h5", "strain-01-00001.h5", "rf-01-00009.h5"])
def test_no_output_lands_among_the_segments_of_the_recording(tmp_path: Path, name: str):
    folder = tmp_path / "scan-1"
    folder.mkdir()
    for number in (1, 2):
        write_recording(folder / f"rf-01-0000{number}.h5")
    write_strain(folder / "strain-01-00001.h5")
    before = contents(tmp_path)
    with pytest.raises(RtelastoError, match=r"of the input|part of the recording"):
        process(folder, folder / name, force=True)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_simulate_keeps_what_is_there_unless_it_simulated_it(tmp_path: Path):
    write_recording(tmp_path / "scan.h5", stream="a scanner's")
    line = refused("simulate", "scan.h5", "--frames", 2, "--motion", "ideal", cwd=tmp_path)
    assert "scan.h5 exists" in line
    assert "--force" in line


@pytest.mark.parametrize("name", ["strain.png", "press.h5"])
def test_demo_keeps_files_that_no_demo_wrote(tmp_path: Path, name: str):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    write_recording(tmp_path / "press.h5", source="rtelasto simulate")
    if name == "press.h5":
        write_recording(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n of somebody else")
    before = contents(tmp_path)
    with pytest.raises(RtelastoError, match=f"{name} exists"):
        demo(out=tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "measure",
    [
        lambda json_file, png: bench(json_file=json_file),
        lambda json_file, png: latency(json_file=json_file),
        lambda json_file, png: latency(png=png),
        lambda json_file, png: throughput(json_file=json_file),
        lambda json_file, png: accuracy(json_file=json_file),
        lambda json_file, png: accuracy(png=png),
    ],
    ids=["bench", "latency json", "latency png", "throughput", "accuracy json", "accuracy png"],
)
def test_measurements_keep_files_that_are_not_theirs(
    tmp_path: Path, measure: Callable[[Path, Path], None]
):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    json_file, png = tmp_path / "notes.json", tmp_path / "photo.png"
    json_file.write_text('{"of": "somebody else"}')
    png.write_bytes(b"\x89PNG\r\n\x1a\n of somebody else")
    before = contents(tmp_path)
    with pytest.raises(RtelastoError, match="exists and is not"):
        measure(json_file, png)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("out", "others", "says"),
    [
        ("s.h5", {"png": "s.jpgx"}, r"--png .*s\.jpgx: a picture is one of \.png, \.pdf, \.svg"),
        ("s.h5", {"mp4": "s.avi"}, r"--mp4 .*s\.avi: a video is one of \.mp4"),
        ("x.png", {"png": "x.png"}, r"--out .*x\.png: a strain file is one of \.h5, \.hdf5"),
        ("s.h5", {"png": "gone/s.png"}, "there is no folder"),
    ],
    ids=["png", "mp4", "one file for two", "folder"],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    tmp_path: Path, out: str, others: dict[str, str], says: str
):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = write_recording(tmp_path / "rec.h5")
    with pytest.raises(RtelastoError, match=says):
        process(path, tmp_path / out, **{name: tmp_path / text for name, text in others.items()})
    assert [found.name for found in tmp_path.iterdir()] == ["rec.h5"]


# --- what counts as the same file, and as of the same kind


def test_two_outputs_are_two_files(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "later.png").symlink_to("not-there-yet.png")
    for one, other in (
        ("x.png", "x.png"),
        ("x.png", "X.PNG"),
        ("a.png", "b.png"),
        ("later.png", "not-there-yet.png"),
        ("\u00e9.png", "e\u0301.png"),
    ):
        with pytest.raises(RtelastoError, match=r"same file as --one.*name two files"):
            check_outputs(
                ("--one", tmp_path / one, PICTURE), ("--other", tmp_path / other, PICTURE)
            )
    check_outputs(("--one", tmp_path / "x.png", PICTURE), ("--other", tmp_path / "y.png", PICTURE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "later.png"]


@pytest.mark.slow
def test_each_kind_of_file_is_replaced_by_its_own_and_by_no_other(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    write_strain(tmp_path / "strain.h5")
    write_recording(tmp_path / "simulated.h5", source="rtelasto simulate")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    pictures = [tmp_path / f"picture.{suffix}" for suffix in ("png", "pdf", "svg")]
    for path in pictures:
        outputs.save_figure(figure, path, per_inch=50)
    with StrainFile(tmp_path / "strain.h5") as strain:
        save_video(
            tmp_path / "video.mp4", strain, lambda i: RfFrame(speckle(i), FORMAT, FrameStamp(i))
        )
    write_json(tmp_path / "figures.json", {"total": 1.0})
    (tmp_path / "page.html").write_text("<!doctype html>\n<head><title>rtelasto: rec</title>")
    ours = [
        (tmp_path / "strain.h5", STRAIN),
        (tmp_path / "simulated.h5", SIMULATION),
        *((path, PICTURE) for path in pictures),
        (tmp_path / "video.mp4", VIDEO),
        (tmp_path / "figures.json", FIGURES),
        (tmp_path / "page.html", PAGE),
    ]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for suffix in ("png", "pdf", "svg"):
        figure.savefig(foreign / f"a.{suffix}")
    video = ffmpeg.write_frames(str(foreign / "a.mp4"), (32, 32))
    video.send(None)
    video.send(bytes(32 * 32 * 3))
    video.close()
    (foreign / "a.html").write_text("<!doctype html><title>holidays</title> with rtelasto")
    (foreign / "a.json").write_text(json.dumps({"of": "somebody else"}))
    write_recording(foreign / "scan.h5")
    write_recording(foreign / "live.h5", stream="a scanner's")
    before = contents(tmp_path)
    for path, kind in ours:
        check_outputs(("--out", path, kind))
        others = {p for p, _ in ours if p != path and (kind is not PICTURE or p not in pictures)}
        for other in others | set(foreign.iterdir()):
            if other.suffix in kind.suffixes:
                with pytest.raises(
                    RtelastoError, match=rf"{other.name} exists and is not .*--force"
                ):
                    check_outputs(("--out", other, kind))
                check_outputs(("--out", other, kind), force=True)
    assert contents(tmp_path) == before


def test_strain_of_a_live_run_is_no_strain_that_can_be_made_again(tmp_path: Path):
    path = write_strain(tmp_path / "strain-01-00001.h5")
    with pytest.raises(RtelastoError, match="can make again"):
        check_outputs(("--out", path, STRAIN))
    check_outputs(("--out", path, STRAIN), force=True)


def test_an_empty_file_holds_nothing_to_be_kept(tmp_path: Path):
    path = tmp_path / "made-by-mktemp.h5"
    path.touch()
    check_outputs(("--out", path, STRAIN))


def test_processing_again_replaces_the_strain_of_before(tmp_path: Path):
    path, out = write_recording(tmp_path / "rec.h5", n_frames=3), tmp_path / "strain.h5"
    for _ in range(2):
        with open_recording(path) as recording:
            summary = process_recording(
                recording, out, EstimateSettings(engine="ncc", pair="consecutive")
            )
    assert summary.pairs == 2
