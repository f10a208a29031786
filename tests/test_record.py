"""The recorder: what is on disk after a stop, a kill, a full disk, and that it plays back."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import processes
import pytest
from clock import Clock
from waiting import WAIT_S

pytest.importorskip("hdf5plugin", reason="the record extra is not installed")

from rtelasto.bench.rig import free_endpoint
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.segment_writer import RETRY_S, Segments
from rtelasto.sources import open_recording
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.receivers import Receiver, StrainReceiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.transport.strain_publisher import StrainPublisher

FORMAT = RfFormat(
    n_lines=12,
    n_samples=300,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=2e-4,
    start_depth_m=1e-3,
)
DEEPER = RfFormat(
    n_lines=12,
    n_samples=400,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=2e-4,
    start_depth_m=1e-3,
)
GRID = Grid(12, 75, 8e-5, 2e-4, 1e-3)


def samples(number: int, rf_format: RfFormat = FORMAT) -> np.ndarray:
    shape = (rf_format.n_lines, rf_format.n_samples)
    return np.random.default_rng(number).integers(-3000, 3000, shape).astype(np.int16)


def rf_frame(number: int, rf_format: RfFormat = FORMAT, stream: str = "a") -> RfFrame:
    return RfFrame(
        samples(number, rf_format),
        rf_format,
        FrameStamp(number, 10**9 + 10**7 * number, stream=stream),
    )


def strain_frame(number: int, stream: str) -> StrainFrame:
    images = np.random.default_rng(number).normal(-0.01, 1e-3, (3, *GRID.shape)).astype(np.float32)
    return StrainFrame(*images, GRID, (number, number + 1), 10**7 * (number + 1), stream=stream)


@pytest.fixture
def sender() -> Iterator[RfSender]:
    with RfSender("tcp://127.0.0.1:0", clock="recording") as opened:
        yield opened


@pytest.fixture
def publisher() -> Iterator[StrainPublisher]:
    with StrainPublisher("tcp://127.0.0.1:0") as opened:
        yield opened


def send(sender: RfSender, numbers: range, rf_format: RfFormat = FORMAT) -> None:
    for number in numbers:
        sender.send(samples(number, rf_format), rf_format, acquired_ns=10**9 + 10**7 * number)


@pytest.mark.slow
def test_what_was_recorded_plays_back_frame_for_frame(
    tmp_path: Path, sender: RfSender, publisher: StrainPublisher
):
    folder = tmp_path / "made" / "here"
    settings = RecordSettings(folder=folder, rf=sender.endpoint, strain=publisher.endpoint)
    with Recorder(settings) as recorder:
        assert sender.wait_for_subscriber(WAIT_S)
        assert publisher.wait_for_subscriber(WAIT_S)
        send(sender, range(10))
        for number in range(6):
            publisher.write(strain_frame(number, sender.stream))
        assert recorder.counters.wait_for("rf.recorded", 10, WAIT_S)
        assert recorder.counters.wait_for("strain.recorded", 6, WAIT_S)
        send(sender, range(10, 14))
        # What arrives after the stop is counted as unread.
        assert recorder._rf.counters.wait_for("received", 14, WAIT_S)
    counts = recorder.report()
    assert counts["rf.received"] == counts["rf.recorded"] == 14
    assert counts["strain.received"] == counts["strain.recorded"] == 6
    assert counts["rf.segments"] >= 2
    with open_recording(folder) as recording:
        assert recording.format == FORMAT
        assert recording.n_frames == 14
        assert recording.dtype == np.int16
        assert recording.timestamps_ns is not None
        assert recording.timestamps_ns.tolist() == [10**9 + 10**7 * i for i in range(14)]
        for number, frame in enumerate(recording):
            np.testing.assert_array_equal(frame.samples, samples(number))
        np.testing.assert_array_equal(recording.read(3), samples(3))
    percent = []
    for path in sorted(folder.glob("strain-*.h5")):
        with h5py.File(path) as file:
            percent.append(file["tracks/track_0/data/strain_percentage_map/values"][()])
            assert file["custom/rf_format/n_samples"][()] == FORMAT.n_samples
    expected = [100.0 * strain_frame(i, "").axial_strain.T for i in range(6)]
    np.testing.assert_allclose(np.concatenate(percent), expected, rtol=1e-6)

    # And through the replay, over the wire.
    rf = free_endpoint()
    with (
        Receiver(rf, policy="every") as receiver,
        processes.running("replay", str(folder), "--rf", rf, "--wait-s", "60"),
    ):
        for number in range(14):
            frame = receiver.get(WAIT_S)
            assert frame is not None
            np.testing.assert_array_equal(frame.samples, samples(number))


def test_every_frame_is_recorded_or_counted_as_lost(
    tmp_path: Path, sender: RfSender, publisher: StrainPublisher
):
    settings = RecordSettings(
        folder=tmp_path, rf=sender.endpoint, strain=publisher.endpoint, buffer_frames=2
    )
    with Recorder(settings) as recorder:
        assert sender.wait_for_subscriber(WAIT_S)
        send(sender, range(150))
        assert recorder.counters.wait_for("rf.recorded", 1, WAIT_S)
    counts = recorder.report()
    kept = counts["rf.recorded"] + counts.get("rf.lost", 0) + counts.get("rf.overflow", 0)
    assert counts["rf.received"] == kept + counts.get("rf.unread", 0)
    missing = 150 - counts["rf.received"]
    with open_recording(tmp_path) as recording:
        assert recording.n_frames == counts["rf.recorded"]
    assert missing >= counts.get("rf.lost_on_wire", 0)


def segments(folder: Path, counters: Counters, clock: Clock) -> Segments[RfFrame]:
    return Segments(
        folder,
        "rf",
        lambda path, frame: RecordingWriter(path, frame.format),
        lambda frame: (frame.stream, frame.format),
        counters,
        clock,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_segment_is_a_second_and_a_take_is_of_one_kind(tmp_path: Path):
    counters, clock = Counters(), Clock(100.0)
    rf = segments(tmp_path, counters, clock)
    for number in range(10):
        rf.write(rf_frame(number))
        clock.now += 0.25
    assert names(tmp_path) == ["rf-01-00001.h5", "rf-01-00002.h5"]
    rf.write(rf_frame(10, DEEPER))
    rf.write(rf_frame(0, DEEPER, stream="b"))
    rf.finish()
    assert names(tmp_path)[2:] == ["rf-01-00003.h5", "rf-02-00001.h5", "rf-03-00001.h5"]
    assert counters["rf.recorded"] == 12
    with pytest.raises(RtelastoError, match=r"3 takes.*rf-01, rf-02, rf-03.*--dataset"):
        open_recording(tmp_path)
    with pytest.raises(RtelastoError, match="no take 'rf-07'"):
        open_recording(tmp_path, dataset="rf-07")
    with open_recording(tmp_path, dataset="rf-01") as recording:
        assert recording.n_frames == 10
        for number in (9, 0, 4):
            np.testing.assert_array_equal(recording.read(number), samples(number))
    with open_recording(tmp_path / "rf-02-00001.h5") as recording:
        assert recording.format == DEEPER


def test_a_segment_that_cannot_be_written_is_counted_and_tried_again(tmp_path: Path):
    counters, clock = Counters(), Clock(100.0)
    folder = tmp_path / "gone"
    folder.mkdir()
    rf = segments(folder, counters, clock)
    rf.write(rf_frame(0))
    rf.finish()
    saved = folder.rename(tmp_path / "elsewhere")
    for number in range(1, 4):
        rf.write(rf_frame(number))
    assert counters["rf.lost"] == 3
    saved.rename(folder)
    rf.write(rf_frame(4))
    assert counters["rf.lost"] == 4
    clock.now += RETRY_S
    rf.write(rf_frame(5))
    rf.finish()
    assert counters["rf.recorded"] == 2
    assert names(folder) == ["rf-01-00001.h5", "rf-01-00002.h5"]


@pytest.mark.slow
def test_after_a_kill_what_was_recorded_opens(tmp_path: Path, publisher: StrainPublisher):
    folder = tmp_path / "killed"
    ended = threading.Event()

    def scan(sender: RfSender) -> None:
        number = 0
        while not ended.wait(0.02):
            sender.send(samples(number), FORMAT, acquired_ns=10**9 + 10**7 * number)
            number += 1

    with RfSender("tcp://127.0.0.1:0", clock="recording") as sender:
        scanner = threading.Thread(target=scan, args=(sender,))
        with processes.running(
            "record", str(folder), "--rf", sender.endpoint, "--strain", publisher.endpoint
        ) as recorder:
            assert sender.wait_for_subscriber(WAIT_S)
            scanner.start()
            while not (folder / "rf-01-00003.h5").exists():
                assert recorder.poll() is None
                assert not ended.wait(0.05)
            recorder.kill()
            recorder.wait(WAIT_S)
            ended.set()
            scanner.join()
    with open_recording(folder) as recording:
        assert recording.n_frames >= 3
        times = recording.timestamps_ns
        assert times is not None
        first = (int(times[0]) - 10**9) // 10**7
        for number, frame in enumerate(recording):
            np.testing.assert_array_equal(frame.samples, samples(first + number))


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from rtelasto.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a file size limit (POSIX)")
def test_a_disk_that_takes_no_more_is_told_and_the_recorder_goes_on(
    tmp_path: Path, sender: RfSender, publisher: StrainPublisher
):
    big = RfFormat(
        n_lines=128, n_samples=2000, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
    )
    arguments = ["record", str(tmp_path / "full"), "--rf", sender.endpoint]
    recorder = processes.start(*arguments, "--strain", publisher.endpoint, program=("-c", LIMITED))
    try:
        assert sender.wait_for_subscriber(WAIT_S)
        assert recorder.stderr is not None
        send(sender, range(8), big)
        line = ""
        while "cannot write" not in line:
            line = recorder.stderr.readline()
            assert line, "the recorder ended"
        assert "File too large" in line
        recorder.send_signal(signal.SIGTERM)
        output, errors = recorder.communicate(timeout=WAIT_S)
    finally:
        recorder.kill()
    assert recorder.returncode == 0
    assert "Traceback" not in errors
    rows = processes.table(output)
    assert int(rows["rf.lost"]) + int(rows.get("rf.overflow", 0)) == int(rows["rf.received"])
    assert not list((tmp_path / "full").glob("rf-*.h5"))


def test_places_that_cannot_be_recorded_into(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RtelastoError, match="cannot record into"):
        Recorder(RecordSettings(folder=tmp_path / "file" / "folder"))
    (tmp_path / "rf-01-00001.h5").write_bytes(b"")
    with pytest.raises(RtelastoError, match="already holds a recording"):
        Recorder(RecordSettings(folder=tmp_path))
    with pytest.raises(RtelastoError, match="buffer_frames"):
        RecordSettings(folder=tmp_path, buffer_frames=0)


@pytest.mark.slow
def test_a_run_goes_on_without_the_recording_that_cannot_be(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    strain = free_endpoint()
    run = ("run", "--rf", free_endpoint(), "--strain", strain, "--engine", "ncc")
    with (
        StrainReceiver(strain) as receiver,
        processes.running(*run, "--record", str(tmp_path / "file" / "folder")) as process,
    ):
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        why = r"the recorder could not start: cannot record into \S+folder"
        assert any(re.search(why, line) for line in lines)
        assert receiver.counters.wait_for("statuses", 2, WAIT_S)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
