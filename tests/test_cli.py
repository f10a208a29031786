"""The command line: bad input in one line with exit code 2, the configuration file, offline runs."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import processes
import pytest

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.strain import DEFAULT_ENGINE
from rtelasto.sinks.hdf5 import RecordingWriter

FORMAT = RfFormat(
    n_lines=48, n_samples=1024, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
GIVEN = ("--sampling-freq-hz", "40e6", "--center-freq-hz", "6.25e6", "--line-pitch-m", "2e-4")


@pytest.fixture(scope="module")
def frames() -> list[RfFrame]:
    return timing_frames(FORMAT)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, frames: list[RfFrame]) -> Path:
    path = tmp_path_factory.mktemp("recording") / "press.h5"
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def refused(*arguments: str) -> str:
    """Run what has to fail; its one line on stderr."""
    done = processes.finish(*arguments)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("rtelasto: ")
    assert "Traceback" not in done.stderr
    return lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["run", "view", "record", "replay", "process", "simulate", "demo", "bench"]
)
def test_every_command_shows_an_example(command: str) -> None:
    done = processes.finish(command, "--help")
    assert done.returncode == 0
    assert f"rtelasto {command}" in done.stdout.partition("Examples:")[2]
    assert "Not a medical device" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nonsense",), "nonsense"),
        (("run", "--nonsense"), "nonsense"),
        (("run", "--pair", "sometimes"), "sometimes"),
        (("run", "--engine", "magic"), "magic"),
        (("run", "--rf", "nowhere"), "nowhere"),
        (("run", "--strain", "tcp://127.0.0.1:notaport"), "notaport"),
        (("run", "--threads", "0"), "threads"),
        (("run", "--target-strain", "7"), "target_strain"),
        (("--config", "missing.toml", "run"), "missing.toml"),
        (("replay", "missing.h5"), "missing.h5"),
        (("process", "missing.h5", "-o", "out.h5"), "missing.h5"),
        (("simulate", "/nowhere/press.h5"), "/nowhere/press.h5"),
        (("simulate", "press.h5", "--strain", "3"), "strain"),
        (("bench", "--pairs", "0"), "pairs"),
    ],
)
def test_bad_arguments_are_one_line_that_names_them(arguments: tuple[str, ...], named: str) -> None:
    assert named in refused(*arguments)


@pytest.mark.parametrize(
    ("contents", "named"),
    [
        pytest.param(b"", "empty", marks=pytest.mark.slow),
        (b"not a recording at all", "not a recording"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(100), "broken.h5", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_is_no_recording(tmp_path: Path, contents: bytes, named: str) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(contents)
    out = tmp_path / "out.h5"
    message = refused("process", str(path), "-o", str(out))
    assert named in message
    assert "broken.h5" in message
    assert sorted(tmp_path.iterdir()) == [path]


def saved(path: Path, array: np.ndarray) -> str:
    np.save(path, array)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((1, 48, 1024), np.int16), "at least 2"),
        (np.zeros((3, 48, 1024), np.int16), "constant"),
        (np.full((3, 48, 1024), np.nan, np.float32), "nonfinite"),
        (np.zeros((3, 0, 1024), np.int16), "frames.npy"),
        (np.zeros(7, np.int16), "frames.npy"),
    ],
)
def test_frames_without_an_image(tmp_path: Path, array: np.ndarray, named: str) -> None:
    path = saved(tmp_path / "frames.npy", array)
    out = tmp_path / "out.h5"
    assert named in refused(
        "process", path, "-o", str(out), "--engine", "ncc", "--axes", "frame,line,sample", *GIVEN
    )
    assert not out.exists()


@pytest.mark.slow
def test_a_missing_sampling_frequency_is_asked_for_by_its_flag(tmp_path: Path) -> None:
    path = saved(tmp_path / "frames.npy", np.ones((3, 48, 1024), np.int16))
    message = refused("process", path, "-o", str(tmp_path / "out.h5"))
    assert "--sampling-freq-hz" in message
    assert "--line-pitch-m" in message


@pytest.mark.slow
def test_an_absurd_sampling_frequency_is_refused(recording: Path, tmp_path: Path) -> None:
    message = refused(
        "process", str(recording), "-o", str(tmp_path / "out.h5"), "--sampling-freq-hz", "3"
    )
    assert "sampling_freq_hz" in message


@pytest.mark.slow
def test_an_output_that_cannot_be_written(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "out.h5"
    assert str(out) in refused("process", str(recording), "-o", str(out), "--engine", "ncc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_recording_is_not_replaced_by_its_strain(recording: Path) -> None:
    before = recording.read_bytes()
    assert "is a file of the input" in refused("process", str(recording), "-o", str(recording))
    assert recording.read_bytes() == before


@pytest.mark.parametrize("engine", [pytest.param("cnn", marks=pytest.mark.slow), "ncc"])
def test_process_writes_strain_of_every_pair(recording: Path, tmp_path: Path, engine: str) -> None:
    out, png = tmp_path / "strain.h5", tmp_path / "strain.png"
    done = processes.finish(
        "process", str(recording), "-o", str(out), "--engine", engine, "--png", str(png)
    )
    assert done.returncode == 0, done.stderr
    assert processes.table(done.stdout)["strain frames"] == "2"
    assert png.read_bytes().startswith(b"\x89PNG")
    with h5py.File(out) as file:
        strain_percent = file["tracks/track_0/data/strain_percentage_map/values"][()]
    assert np.median(strain_percent) == pytest.approx(-0.5, abs=0.05)


@pytest.mark.slow
def test_flags_win_over_the_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "scanner.toml"
    config.write_text('[run]\nengine = "from-the-file"\npair = "adaptive"\nmax_lag = 4\n')
    assert "from-the-file" in refused("--config", str(config), "run")
    assert "from-the-flag" in refused("--config", str(config), "run", "--engine", "from-the-flag")
    config.write_text("[run]\nunknown_option = 3\n")
    assert "unknown_option" in refused("--config", str(config), "run").replace("-", "_")


@pytest.mark.slow
def test_doctor_names_the_extras_to_the_letter() -> None:
    done = processes.finish("doctor", "--pairs", "1")
    assert done.returncode == 0, done.stderr
    rows = processes.table(done.stdout)
    assert rows["cores"]
    assert "2608 × 128" in rows["cnn, onnxruntime"]
    for line in done.stdout.splitlines():
        assert "pip install 'rtelasto'" not in line


def test_engines_lists_every_engine_with_a_line_on_it() -> None:
    done = processes.finish("engines")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[0] == DEFAULT_ENGINE
    assert {"ncc", "am"} <= set(names)
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())
