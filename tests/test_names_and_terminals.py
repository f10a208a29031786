"""Names that are not UTF-8, output that cannot be written, odd environments: a result or a line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import processes
import pytest

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.host.names import printable_name
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sources import first_look, open_recording

FORMAT = RfFormat(
    n_lines=16, n_samples=400, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
# Latin-1, as on a memory stick from elsewhere.
NAME = b"caf\xe9.h5"


def write_recording(path: Path) -> Path:
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        echoes = np.random.default_rng(0).integers(-3000, 3000, (16, 400)).astype(np.int16)
        for number in range(3):
            moved = np.roll(echoes, number, axis=1)
            writer.write(RfFrame(moved, FORMAT, FrameStamp(number)))
    return path


@pytest.fixture
def odd_recording(tmp_path: Path) -> Path:
    path = tmp_path / os.fsdecode(NAME)
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    path.unlink()
    return write_recording(path)


def test_a_name_is_written_so_that_utf_8_holds_it():
    assert printable_name(Path(os.fsdecode(b"caf\xe9.h5"))) == "caf\\xe9.h5"
    assert printable_name("Zoë · 超音波.h5") == "Zoë · 超音波.h5"
    assert printable_name("\ud800") == "\\ud800"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["process", "report"])
def test_a_recording_whose_name_is_not_utf_8_gets_its_result(odd_recording: Path, command: str):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    folder = odd_recording.parent
    suffix = {"process": "h5", "report": "html"}[command]
    out = folder / os.fsdecode(b"r\xe9sultat." + suffix.encode())
    more = ["--png", str(out.with_suffix(".png"))] if command == "process" else []
    done = processes.finish(command, str(odd_recording), "-o", str(out), "--engine", "ncc", *more)
    assert done.returncode == 0, done.stderr
    assert "r\\xe9sultat" in "".join(done.stdout.split())
    if command == "report":
        assert "<h1>caf\\xe9.h5</h1>" in out.read_text("utf-8")
        return
    with h5py.File(out) as file:
        assert file["custom/provenance/source_file"].asstr()[()] == "caf\\xe9.h5"
    assert out.with_suffix(".png").stat().st_size > 0


def test_figures_of_a_recording_whose_name_is_not_utf_8_are_utf_8(odd_recording: Path):
    from rtelasto.accuracy.compare import Competitor
    from rtelasto.accuracy.recordings import score_recording
    from rtelasto.pipeline.engines import open_engine

    scores = score_recording(odd_recording, [Competitor(open_engine("ncc"), "ncc")])
    assert {score.recording for score in scores} == {"caf\\xe9.h5"}
    json.dumps([score.recording for score in scores], ensure_ascii=False).encode("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", ["engines", "--help"])
def test_output_to_a_full_disk_ends_in_a_line(arguments: str):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = processes.finish(*arguments.split(), stdout=full)
    assert done.returncode == 2
    assert done.stderr == "rtelasto: the output cannot be written: No space left on device\n"


@pytest.mark.slow
def test_an_unknown_mplbackend_ends_in_a_line_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = write_recording(tmp_path / "rec.h5")
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    done = processes.finish("process", str(path), "-o", str(tmp_path / "s.h5"), "--png", "s.png")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "rtelasto: matplotlib, which draws pictures, cannot be loaded: MPLBACKEND='nonsense' in the "
        "environment is none of its backends, unset it"
    )
    assert not (tmp_path / "s.h5").exists()


@pytest.mark.slow
def test_warnings_as_errors_do_not_make_a_sound_file_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_recording(tmp_path / "rec.h5")
    # With the version of this header NumPy warns that it was written by Python 2.
    old = tmp_path / "old.npy"
    header = (
        b"{'descr': '<i2', 'fortran_order': False, 'shape': (3L, 16L, 400L), }".ljust(117) + b"\n"
    )
    old.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with old.open("ab") as file:
        file.write(np.random.default_rng(0).integers(-3000, 3000, 3 * 16 * 400, "<i2").tobytes())
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    code = (
        "import sys; from rtelasto.sources import open_recording\n"
        "flags = dict(sampling_freq_hz=40e6, line_pitch_m=3e-4, center_freq_hz=6.25e6)\n"
        "for path in sys.argv[1:]:\n"
        "    with open_recording(path, **flags) as recording:\n"
        "        print(recording.n_frames, len(list(recording)))\n"
    )
    done = processes.finish(path, old, program=("-c", code))
    assert done.stdout.split() == ["3", "3", "3", "3"], done.stderr


def test_a_first_look_that_cannot_start_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_recording(tmp_path / "rec.h5")
    monkeypatch.setattr(first_look, "_process", None)
    monkeypatch.setattr(sys, "executable", "/bin/false" if os.name == "posix" else "where")
    with pytest.raises(ValueError, match="does not start") as caught:
        open_recording(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.slow
def test_simulate_leaves_out_what_its_libraries_log(tmp_path: Path):
    pytest.importorskip("skfem", reason="the sim extra is not installed")
    done = processes.finish("simulate", str(tmp_path / "press.h5"), "--frames", "2")
    assert done.returncode == 0
    assert "skfem" not in done.stderr
    logged = [line for line in done.stderr.splitlines() if " INFO " in line]
    assert all(" INFO rtelasto" in line for line in logged)
    assert "press.h5: 2 frames" in " ".join(done.stderr.split())
