"""`record --fsync` on a disk that does not take a flush: what is lost, what is said, what is left behind."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clock import Clock

pytest.importorskip("hdf5plugin", reason="the record extra is not installed")

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.segment_writer import RETRY_S, Segments
from rtelasto.sources import open_recording
from rtelasto.telemetry.counters import Counters

FORMAT = RfFormat(
    n_lines=4, n_samples=200, sampling_freq_hz=40e6, center_freq_hz=6e6, line_pitch_m=2e-4
)


def refuse(monkeypatch: pytest.MonkeyPatch, kind: Callable[[int], bool], code: int) -> None:
    """Let flushes fail for folders or for files, as they do on a full disk or one that has no such call."""
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if kind(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def write(segments: Segments[RfFrame], *numbers: int) -> None:
    """Write a segment of these frames."""
    for number in numbers:
        samples = np.full((4, 200), number, np.int16)
        stamp = FrameStamp(number, 10**9 + 10**7 * number)
        segments.write(RfFrame(samples, FORMAT, stamp))
    segments.finish()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def segments(tmp_path: Path, counters: Counters, clock: Clock) -> Segments[RfFrame]:
    return Segments(
        tmp_path,
        "rf",
        lambda path, frame: RecordingWriter(path, frame.format),
        lambda frame: frame.format,
        counters,
        clock,
        fsync=True,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_no_segment_is_lost_or_replaced_because_its_folder_cannot_be_flushed(
    segments: Segments[RfFrame],
    counters: Counters,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refuse(monkeypatch, stat.S_ISDIR, errno.EINVAL)
    for first in (0, 2, 4):
        write(segments, first, first + 1)
    assert names(tmp_path) == [f"rf-01-0000{k}.h5" for k in (1, 2, 3)]
    assert (counters["rf.recorded"], counters["rf.lost"], counters["rf.segments"]) == (6, 0, 3)
    with open_recording(tmp_path) as recording:
        assert recording.frame_ids.tolist() == list(range(6))
    # Once, not for every segment; and once more when it fails again after it has worked.
    (said,) = caplog.messages
    assert f"cannot flush the folder {tmp_path} to the disk: Invalid argument" in said
    monkeypatch.undo()
    write(segments, 6)
    refuse(monkeypatch, stat.S_ISDIR, errno.EINVAL)
    write(segments, 7)
    assert len(caplog.messages) == 2


def test_a_segment_that_the_disk_does_not_take_is_lost_and_leaves_nothing(
    segments: Segments[RfFrame],
    counters: Counters,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patched:
        refuse(patched, stat.S_ISREG, errno.ENOSPC)
        for number in range(2):
            write(segments, number)
            clock.now += RETRY_S
    assert names(tmp_path) == []
    assert (counters["rf.recorded"], counters["rf.lost"]) == (0, 2)
    assert f"cannot write {tmp_path / 'rf-01-00001.h5'}: No space left on device" in caplog.text
    write(segments, 2)
    assert names(tmp_path) == ["rf-01-00001.h5"]
    assert counters["rf.recorded"] == 1


def test_a_folder_that_cannot_be_flushed_is_refused_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, stat.S_ISDIR, errno.EINVAL)
    with pytest.raises(RtelastoError, match=r"cannot flush the folder .*Invalid.*without --fsync"):
        Recorder(RecordSettings(folder=tmp_path, fsync=True))
    Recorder(RecordSettings(folder=tmp_path)).close()
