"""The replay sender: what it sends, when, and how it starts and stops."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.offline.replay import Replayer, frame_times_ns
from rtelasto.sources import open_recording
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.rf_sender import RfSender

LOOPBACK = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0
MS = 1_000_000
FORMAT = RfFormat(
    n_lines=3, n_samples=40, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


class Frames:
    """A recording in memory; reading frame ``slow`` takes 50 ms."""

    def __init__(self, n_frames=6, timestamps_ns=None, dtype=np.float32, slow=None):
        rng = np.random.default_rng(n_frames)
        self.frames = (1000 * rng.standard_normal((n_frames, 3, 40))).astype(dtype)
        self.timestamps_ns = None if timestamps_ns is None else np.array(timestamps_ns, np.int64)
        self.format = FORMAT
        self.n_frames = n_frames
        self.slow = slow

    def as_sent(self, index):
        if index == self.slow:
            time.sleep(0.05)
        return RfFrame(self.frames[index], FORMAT)


def replay(recording, n_expected, **options):
    """Replay to a receiver that keeps everything: the report and the frames."""
    with (
        Replayer(recording, LOOPBACK, wait_s=PATIENCE_S, send_hwm=1000, **options) as replayer,
        Receiver(replayer.endpoint, policy="every") as receiver,
    ):
        report = replayer.run()
        frames = [receiver.get(PATIENCE_S) for _ in range(n_expected)]
        assert all(frame is not None for frame in frames), receiver.counters.snapshot()
        clock = frames[0].clock
        assert receiver.counters["received"] == n_expected
        assert {frame.stream for frame in frames} == {replayer.stream}
    return report, frames, clock


# --- when


def test_times_of_a_recording():
    times, period = frame_times_ns(np.array([70, 110, 160, 200]), 4)
    assert times.tolist() == [0, 40, 90, 130]
    assert period == 170


def test_times_of_a_fixed_rate_do_not_add_up_rounding():
    times, period = frame_times_ns(np.array([5, 6, 7]), 3, fps=30.0)
    assert times.tolist() == [0, 33_333_333, 66_666_667]
    assert period == 100 * MS


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=50), st.integers(-(10**17), 10**17))
def test_times_keep_every_interval(intervals, start):
    timestamps = start + np.concatenate([[0], np.cumsum(intervals)])
    times, period = frame_times_ns(timestamps, len(timestamps))
    assert times[0] == 0
    assert np.diff(times).tolist() == intervals
    assert min(intervals) <= period - times[-1] <= max(intervals)


@pytest.mark.parametrize(
    ("timestamps", "n_frames", "fps", "names"),
    [
        (None, 3, None, "fps"),
        ([1], 1, None, "fps"),
        ([1, 2, 2], 3, None, "increase"),
        ([3, 2, 1], 3, None, "increase"),
        ([1, 2], 3, None, "increase"),
        ([], 0, 10.0, "no frames"),
        (None, 3, 0.0, "fps"),
        (None, 3, float("nan"), "fps"),
        (None, 3, -1.0, "fps"),
    ],
)
def test_times_that_make_no_sense(timestamps, n_frames, fps, names):
    with pytest.raises(RtelastoError, match=names):
        frame_times_ns(None if timestamps is None else np.array(timestamps), n_frames, fps)


def test_no_frame_is_sent_before_its_time():
    recording = Frames(6, [0, 10 * MS, 15 * MS, 40 * MS, 41 * MS, 60 * MS])
    report, frames, clock = replay(recording, 12, loop=2, speed=2.0)
    due = np.array([0, 10, 15, 40, 41, 60, 70, 80, 85, 110, 111, 130]) * MS / 2
    sent_at = np.array([frame.acquired_ns for frame in frames])
    assert clock == "monotonic"
    assert np.all(sent_at - sent_at[0] >= due - report.worst_lateness_s * 1e9 - 1)
    assert report.duration_s >= due[-1] / 1e9
    assert report.sent == 12
    assert not report.stopped


def test_late_frames_are_sent_at_once_and_counted():
    # Frame 1 is due after 10 ms and read after 50; 2 to 4 are then late too, 5 is due after 10 s.
    recording = Frames(5, [0, 10 * MS, 20 * MS, 25 * MS, 30 * MS], slow=1)
    report, frames, _ = replay(recording, 5)
    assert [frame.frame_id for frame in frames] == [0, 1, 2, 3, 4]
    assert report.late == 4
    assert report.worst_lateness_s >= 0.04


# --- what


@pytest.mark.parametrize(
    ("dtype", "sent"), [("i2", "i2"), ("u1", "i2"), ("f4", "f4"), ("f8", "f4")]
)
def test_frames_arrive_as_recorded(dtype, sent):
    recording = Frames(6, dtype=dtype)
    report, frames, _ = replay(recording, 6, fps=1000.0)
    assert report.unheard == 0
    for index, frame in enumerate(frames):
        assert frame.samples.dtype == sent
        np.testing.assert_array_equal(frame.samples, recording.frames[index].astype(sent))
        assert frame.format == FORMAT
        assert frame.frame_id == index


def test_ids_and_recorded_times_go_on_over_the_loops():
    recording = Frames(3, [100 * MS, 101 * MS, 103 * MS])
    report, frames, clock = replay(recording, 9, loop=3, stamp="recording", speed=4.0)
    assert clock == "recording"
    assert report.sent == 9
    assert [frame.frame_id for frame in frames] == list(range(9))
    # Median interval 1.5 ms, so that a loop takes 4.5 ms; speed changes nothing in the recording.
    expected = [100.0, 101.0, 103.0, 104.5, 105.5, 107.5, 109.0, 110.0, 112.0]
    assert [frame.acquired_ns / MS for frame in frames] == expected
    np.testing.assert_array_equal(frames[7].samples, recording.frames[1])


def test_a_real_recording_arrives_as_it_is_on_disk(shared_data):
    with open_recording(shared_data("deepuse_forearm/rf0300_25.mhd")) as recording:
        report, frames, _ = replay(recording, 12, stamp="recording", speed=4.0, loop=2)
        times = np.array([frame.acquired_ns for frame in frames])
        np.testing.assert_array_equal(times[:6], recording.timestamps_ns)
        np.testing.assert_array_equal(np.diff(times[6:]), np.diff(times[:6]))
        for index, frame in enumerate(frames):
            assert frame.format == recording.format
            np.testing.assert_array_equal(frame.samples, recording.read(index % 6))
        assert report.sent == 12


# --- starting and stopping


def test_it_waits_for_the_first_subscriber():
    with Replayer(Frames(), LOOPBACK, fps=1000.0, wait_s=PATIENCE_S) as replayer:
        reports = []
        thread = threading.Thread(target=lambda: reports.append(replayer.run()))
        thread.start()
        with Receiver(replayer.endpoint, policy="every") as receiver:
            assert [receiver.get(PATIENCE_S).frame_id for _ in range(6)] == list(range(6))
            assert receiver.counters["missed_at_join"] == 0
            thread.join(PATIENCE_S)
    assert reports[0].unheard == 0


def test_it_starts_without_one_if_told_not_to_wait():
    progress = []
    with Replayer(Frames(), LOOPBACK, fps=1000.0, wait_s=0.0) as replayer:
        report = replayer.run(progress=lambda sent, total: progress.append((sent, total)))
    assert (report.sent, report.unheard, report.stopped) == (6, 6, False)
    assert progress == [(sent, 6) for sent in range(1, 7)]


def test_an_endless_replay_stops_when_told_to():
    stop = threading.Event()
    reports = []
    with (
        Replayer(Frames(), LOOPBACK, fps=200.0, loop=True, wait_s=PATIENCE_S) as replayer,
        Receiver(replayer.endpoint) as receiver,
    ):
        assert replayer.total_frames is None
        thread = threading.Thread(target=lambda: reports.append(replayer.run(stop)))
        thread.start()
        while receiver.get(PATIENCE_S).frame_id < 20:
            pass
        stop.set()
        thread.join(PATIENCE_S)
    assert reports[0].stopped
    assert reports[0].sent > 20


@pytest.mark.parametrize("waits_for", ["a subscriber", "a frame"])
def test_stopping_does_not_wait_for_what_it_waits_for(waits_for):
    stop = threading.Event()
    started = threading.Event()
    reports = []
    a_year = 365 * 86400 * 1e9
    wait_s = 1e6 if waits_for == "a subscriber" else 0.0
    with Replayer(Frames(2, [0, a_year]), LOOPBACK, wait_s=wait_s) as replayer:

        def run():
            if wait_s:
                started.set()
            reports.append(replayer.run(stop, progress=lambda *_: started.set()))

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(PATIENCE_S)
        stop.set()
        thread.join(PATIENCE_S)
    assert reports[0].stopped
    assert reports[0].sent == (0 if wait_s else 1)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_makes_no_sense_is_named(speed):
    with pytest.raises(RtelastoError, match="speed"):
        Replayer(Frames(), LOOPBACK, fps=10.0, speed=speed)


def test_two_replays_cannot_share_an_endpoint():
    with (
        Replayer(Frames(), LOOPBACK, fps=10.0) as first,
        pytest.raises(RtelastoError, match=first.endpoint),
    ):
        Replayer(Frames(), first.endpoint, fps=10.0)


def test_a_replay_in_its_own_process_loses_nothing():
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "helpers/replay_process.py"), "60", "200"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with Receiver(process.stdout.readline().strip(), policy="every") as receiver:
            for index in range(60):
                frame = receiver.get(PATIENCE_S)
                assert frame.frame_id == index
                assert np.all(frame.samples == index)
            assert receiver.counters["missed_at_join"] == receiver.counters["gaps"] == 0
        assert process.stdout.readline() == "60 0\n"
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()


# --- the sender by itself


def test_a_sender_whose_clock_is_not_at_hand_needs_the_time():
    with RfSender(LOOPBACK, clock="scanner") as sender:
        with pytest.raises(ValueError, match="scanner"):
            sender.send(np.zeros((3, 40), np.int16), FORMAT)
        sender.send(np.zeros((3, 40), np.int16), FORMAT, acquired_ns=5)
        assert sender.counters.snapshot() == {"unheard": 1, "sent": 1}


def test_a_sender_numbers_on_from_the_id_it_was_given():
    with RfSender(LOOPBACK) as sender, Receiver(sender.endpoint, policy="every") as receiver:
        assert sender.wait_for_subscriber(PATIENCE_S)
        samples = np.zeros((3, 40), np.int16)
        for frame_id in (None, 10, None):
            sender.send(samples, FORMAT, frame_id=frame_id)
        assert [receiver.get(PATIENCE_S).frame_id for _ in range(3)] == [0, 10, 11]
        assert receiver.counters["gaps"] == 9
        assert receiver.counters["lost_on_wire"] == 0


@settings(max_examples=20)
@given(st.integers(1, 20), st.integers(1, 20))
def test_samples_of_another_shape_are_refused(n_lines, n_samples):
    with (
        RfSender(LOOPBACK) as sender,
        pytest.raises(RtelastoError, match=str(n_lines)),
    ):
        sender.send(np.zeros((n_lines, n_samples), np.int16), FORMAT)
