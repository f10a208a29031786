"""Recordings with holes: frames keep their ids and times, and no pair spans a hole unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from rtelasto.bench.stages import timing_frames
from rtelasto.cli.recording import describe
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.offline.process import process_recording
from rtelasto.offline.replay import Replayer
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sources import open_recording
from rtelasto.sources.recording import Recording
from rtelasto.sources.strain_file import StrainFile
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.transport.strain_publisher import StrainPublisher

FORMAT = RfFormat(
    n_lines=16, n_samples=512, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
GRID = Grid(16, 128, 4 * FORMAT.axial_step_m, FORMAT.line_pitch_m)
HOLED = (0, 1, 2, 12, 13)
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def press() -> list[np.ndarray]:
    return [frame.samples for frame in timing_frames(FORMAT)]


def time_ns(frame_id: int) -> int:
    return 10**9 + 10**7 * frame_id


@pytest.fixture
def write(tmp_path: Path, press: list[np.ndarray]) -> Callable[..., Path]:
    """Writes a recording whose frames have the ids given; the times follow from them."""

    def write(*ids: int, name: str = "holed.h5") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with RecordingWriter(path, FORMAT) as writer:
            for place, frame_id in enumerate(ids):
                samples = press[place % 3]
                writer.write(RfFrame(samples, FORMAT, FrameStamp(frame_id, time_ns(frame_id))))
        return path

    return write


def ids_and_times(recording: Recording) -> list[tuple[int, int]]:
    return [(frame.frame_id, frame.acquired_ns) for frame in recording]


@pytest.mark.slow
def test_frames_come_back_with_their_ids_and_times(write: Callable[..., Path]):
    with open_recording(write(*HOLED)) as recording:
        assert ids_and_times(recording) == [(i, time_ns(i)) for i in HOLED]
        assert recording.n_missing == 9
        assert recording.frame_with_id(12).acquired_ns == time_ns(12)
        assert recording.index_of(13) == 4
        with pytest.raises(IndexError, match="no frame with the id 5"):
            recording.index_of(5)
        assert "100.0 frames/s; 9 frames are missing" in describe(recording)


def test_segments_come_back_with_their_ids_and_times(write: Callable[..., Path], tmp_path: Path):
    write(0, 1, 2, name="scan/rf-01-00001.h5")
    # The disk was full for a while.
    write(12, 13, name="scan/rf-01-00002.h5")
    with open_recording(tmp_path / "scan") as recording:
        assert ids_and_times(recording) == [(i, time_ns(i)) for i in HOLED]


@pytest.mark.parametrize(
    ("pair", "expected", "first"),
    [
        ("consecutive", [(0, 1), (1, 2), (12, 13)], 2),
        ("lag 2", [(0, 2)], 4),
        ("adaptive", [(0, 1), (1, 2), (12, 13)], 2),
    ],
)
def test_no_pair_spans_a_hole_and_the_hole_is_counted(
    write: Callable[..., Path], tmp_path: Path, pair: str, expected: list, first: int
):
    settings = EstimateSettings(engine="ncc", pair=pair, max_lag=1)
    with open_recording(write(*HOLED)) as recording:
        summary = process_recording(recording, tmp_path / "strain.h5", settings)
    assert summary.counters["gaps"] == 9
    assert summary.counters["pair.first"] == first
    with StrainFile(tmp_path / "strain.h5") as strain:
        assert [tuple(ids) for ids in strain.frame_ids.tolist()] == expected
        assert strain.acquired_ns.tolist() == [time_ns(post) for _, post in expected]


@pytest.mark.slow
def test_pictures_video_and_report_of_a_recording_with_holes(
    write: Callable[..., Path], tmp_path: Path
):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    from rtelasto.offline.html_report import write_report

    settings = EstimateSettings(engine="ncc")
    with open_recording(write(100, 101, 112, 113)) as recording:
        process_recording(
            recording,
            tmp_path / "strain.h5",
            settings,
            png=tmp_path / "strain.png",
            mp4=tmp_path / "strain.mp4",
        )
        write_report(recording, tmp_path / "page.html", settings)
    assert "<th>gaps</th><td>10</td>" in (tmp_path / "page.html").read_text("utf-8")


def test_ids_that_start_anew_go_on_rising_and_make_no_pair(write: Callable[..., Path]):
    with open_recording(write(50, 51, 0, 1)) as recording:
        assert recording.frame_ids.tolist() == [50, 51, 53, 54]
        assert any("restart at frame 2" in note for note in recording.notes)


def test_a_given_frame_rate_leaves_time_for_missing_frames(write: Callable[..., Path]):
    with open_recording(write(*HOLED), frame_rate_hz=50.0) as recording:
        assert recording.timestamps_ns.tolist() == [20_000_000 * i for i in HOLED]


def test_a_replay_sends_the_ids_of_the_recording_over_all_loops(write: Callable[..., Path]):
    with (
        open_recording(write(100, 101, 112)) as recording,
        Replayer(recording, "tcp://127.0.0.1:0", fps=500.0, loop=2, wait_s=PATIENCE_S) as replayer,
        Receiver(replayer.endpoint, policy="every") as receiver,
    ):
        replayer.run()
        received = [receiver.get(PATIENCE_S).frame_id for _ in range(6)]
        assert received == [100, 101, 112, 113, 114, 125]
        assert receiver.counters["gaps"] == 20


def strain_frame(pre: int, post: int, stream: str) -> StrainFrame:
    images = np.random.default_rng(pre).normal(-0.01, 1e-3, (3, *GRID.shape)).astype(np.float32)
    return StrainFrame(*images, GRID, (pre, post), time_ns(post), stream=stream)


@pytest.mark.slow
def test_rf_and_strain_of_a_take_can_be_joined_by_id(tmp_path: Path, press: list[np.ndarray]):
    pytest.importorskip("hdf5plugin", reason="the record extra is not installed")
    ids = (7, 8, 9, 20, 21)
    with (
        RfSender("tcp://127.0.0.1:0", clock="recording") as sender,
        StrainPublisher("tcp://127.0.0.1:0") as publisher,
    ):
        settings = RecordSettings(folder=tmp_path, rf=sender.endpoint, strain=publisher.endpoint)
        with Recorder(settings) as recorder:
            assert sender.wait_for_subscriber(PATIENCE_S)
            assert publisher.wait_for_subscriber(PATIENCE_S)
            for place, frame_id in enumerate(ids):
                sender.send(
                    press[place % 3] + np.int16(place),
                    FORMAT,
                    frame_id=frame_id,
                    acquired_ns=time_ns(frame_id),
                )
            for pre, post in ((7, 8), (8, 9), (20, 21)):
                publisher.write(strain_frame(pre, post, sender.stream))
            assert recorder.counters.wait_for("rf.recorded", 5, PATIENCE_S)
            assert recorder.counters.wait_for("strain.recorded", 3, PATIENCE_S)
        stream = sender.stream
    joined = []
    with open_recording(tmp_path) as recording:
        assert recording.provenance["recording_stream"] == stream
        for path in sorted(tmp_path.glob("strain-*.h5")):
            with h5py.File(path) as file:
                assert file["custom/provenance/stream"].asstr()[()] == stream
            with StrainFile(path) as strain:
                for frame in strain:
                    pre, post = (recording.frame_with_id(i) for i in frame.frame_ids)
                    assert post.acquired_ns == frame.acquired_ns
                    place = ids.index(pre.frame_id)
                    np.testing.assert_array_equal(pre.samples, press[place % 3] + np.int16(place))
                    joined.append((pre.frame_id, post.frame_id))
    assert joined == [(7, 8), (8, 9), (20, 21)]
