"""A helper thread that fails ends its process, with a message and an exit code."""

from __future__ import annotations

import os
from pathlib import Path

import processes
import pytest
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat
from rtelasto.live.sidecar import Sidecar
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.transport.rf_sender import RfSender

FORMAT = RfFormat(
    n_lines=24, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)

# Python runs a module of this name when it starts: a fault that no disk has at the right moment.
BREAKS_AFTER_TWO = """
import rtelasto.sinks.hdf5 as hdf5
write = hdf5.RecordingWriter.write
def break_off(self, frame, **more):
    if self.n_frames == 2:
        raise ArithmeticError("not one of rtelasto's own errors")
    write(self, frame, **more)
hdf5.RecordingWriter.write = break_off
"""


def test_a_recorder_whose_writer_fails_ends_with_a_message(tmp_path: Path):
    pytest.importorskip("hdf5plugin", reason="the record extra is not installed")
    (tmp_path / "sitecustomize.py").write_text(BREAKS_AFTER_TWO)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with RfSender("tcp://127.0.0.1:0") as sender:
        process = processes.start(
            *("record", tmp_path / "scan", "--rf", sender.endpoint, "--strain", free_endpoint()),
            env=environment,
        )
        try:
            assert sender.wait_for_subscriber(WAIT_S)
            for frame in timing_frames(FORMAT):
                sender.send(frame.samples, FORMAT)
            _, errors = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 70
    assert "the thread 'recorder' failed" in errors
    assert "not one of rtelasto's own errors" in errors


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_recorder_in_a_program_says_when_closed_that_it_broke_off(tmp_path: Path, monkeypatch):
    pytest.importorskip("hdf5plugin", reason="the record extra is not installed")
    with RfSender("tcp://127.0.0.1:0") as sender:
        recorder = Recorder(
            RecordSettings(folder=tmp_path / "scan", rf=sender.endpoint, strain=free_endpoint())
        )

        def fail(frame: object) -> None:
            raise ArithmeticError("broken")

        monkeypatch.setattr(recorder._rf_segments, "write", fail)
        assert sender.wait_for_subscriber(WAIT_S)
        sender.send(timing_frames(FORMAT)[0].samples, FORMAT)
        recorder._writer.join(WAIT_S)
        with pytest.raises(RuntimeError, match="failed"):
            recorder.close()


@pytest.mark.parametrize(
    ("command", "breaks", "thread"),
    [
        ("view", "rtelasto.outputs.viewer.hub", "viewer feed"),
        ("igtl", "rtelasto.outputs.openigtlink", "igtl _pack"),
    ],
)
def test_a_server_whose_feed_fails_ends_with_a_message(tmp_path, command, breaks, thread):
    module = {"view": "uvicorn", "igtl": "pyigtl"}[command]
    pytest.importorskip(module, reason=f"the {command} extra is not installed")
    (tmp_path / "sitecustomize.py").write_text(
        "from rtelasto.transport.receivers import StrainReceiver\n"
        "def fail(self):\n    raise ArithmeticError('the stream is not to be read')\n"
        "StrainReceiver.__iter__ = fail\n"
    )
    ended = processes.finish(
        *(command, "--port", "0", "--strain", free_endpoint()),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert ended.returncode == 70
    assert f"the thread '{thread}' failed" in ended.stderr
    assert "the stream is not to be read" in ended.stderr


def test_a_part_of_a_run_that_cannot_start_is_named_and_the_run_goes_on(tmp_path: Path):
    pytest.importorskip("hdf5plugin", reason="the record extra is not installed")
    (tmp_path / "rf-01-00001.h5").touch()  # the folder already holds a recording
    with RfSender("tcp://127.0.0.1:0") as sender:
        run = ("run", "--rf", sender.endpoint, "--strain", free_endpoint(), "--engine", "ncc")
        with processes.running(*run, "--record", str(tmp_path), "--frames", "1") as process:
            assert sender.wait_for_subscriber(WAIT_S)
            assert process.stderr is not None
            said = ""
            while "could not start" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            assert "the recorder could not start" in said
            assert "already holds a recording" in said
            for frame in timing_frames(FORMAT):
                sender.send(frame.samples, FORMAT)
            output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert processes.table(output)["strain frames out"] == "1"


def test_parts_of_a_run_start_side_by_side(tmp_path: Path):
    second_path = tmp_path / "second"
    with (
        Sidecar("first", _waits_for, second_path) as first,
        Sidecar("second", _makes, second_path) as second,
    ):
        second.wait_until_ready()
        first.wait_until_ready()


class _Idle:
    ready = "idle"

    def report(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


def _waits_for(path: Path) -> _Idle:
    while not path.exists():
        pass
    return _Idle()


def _makes(path: Path) -> _Idle:
    path.touch()
    return _Idle()
