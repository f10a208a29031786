"""High frame rates: frames wait for a time, not for a number of frames, and each is counted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest

from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pairing import Pairing
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.pipeline.recent_frames import MAX_WAIT_S, RecentFrames
from rtelasto.telemetry.counters import Counters, unaccounted
from rtelasto.transport.receivers import Receiver

FORMAT = RfFormat(
    n_lines=16, n_samples=256, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
LONG_AGO_NS = 1
# After everything in a test has happened, so that a frame has never waited long.
LATER_NS = time.monotonic_ns() + 3600 * 10**9


class Free:
    """An engine that takes no time."""

    device = "cpu"

    def __call__(self, pair: FramePair) -> StrainFrame:
        image = np.zeros((1, 1), np.float32)
        return StrainFrame(image, image, image, FORMAT.grid, quality=0.9, applied_strain=-1e-3)

    def look(self, pair: FramePair) -> object:
        raise AssertionError("consecutive pairs need no look")


def frame(frame_id: int, received_ns: int) -> RfFrame:
    samples = np.full((FORMAT.n_lines, FORMAT.n_samples), frame_id, np.int16)
    samples[0, 0] += 1
    stamp = FrameStamp(frame_id, frame_id * 1_000_000, stream="a", received_ns=received_ns)
    return RfFrame(samples, FORMAT, stamp)


def test_frames_that_arrived_just_now_are_all_paired_one_after_another() -> None:
    pairing = Pairing(PairPolicy.parse("consecutive"))
    for k in range(10):
        pairing.recent.add(frame(k, LATER_NS))
    pairs = []
    while (recent := pairing.recent.take()) is not None:
        recent.lines = recent.scanned
        if (pair := pairing.pair(recent)) is not None:
            pairs.append((pair.pre.frame_id, pair.post.frame_id))
    assert pairs == [(k, k + 1) for k in range(9)]
    assert pairing.counters.snapshot() == {"pair.first": 1}


def test_frames_that_have_waited_too_long_are_passed_over_for_those_that_have_not() -> None:
    recent = RecentFrames(max_lag=1)
    for k in range(6):
        recent.add(frame(k, LONG_AGO_NS if k < 4 else LATER_NS))
    taken = [recent.take(), recent.take(), recent.take()]
    assert [None if one is None else one.frame_id for one in taken] == [4, 5, None]
    assert taken[0] is not None
    assert [old.frame_id for old in recent.before(taken[0])] == [3]


def test_the_ring_does_not_grow_with_the_frames_that_wait() -> None:
    recent = RecentFrames(max_lag=1, max_bytes=5 * frame(0, 0).samples.nbytes)
    for k in range(50):
        recent.add(frame(k, LATER_NS))
    assert len(recent) == 5
    assert recent.counters["overflow"] == 45


def work_on_next(pipeline: Pipeline, timeout_s: float = 0.0) -> bool:
    recent = pipeline.recent.take(timeout_s)
    if recent is not None and pipeline.start_newest(recent):
        pipeline.collect()
    return recent is not None


@pytest.mark.slow
@pytest.mark.parametrize("fps", [500, 1000])
def test_every_frame_of_a_fast_scanner_is_counted(fps: int) -> None:
    """How many are lost is a matter of the machine, and in docs/pairing.md."""
    n_frames = 4 * fps
    counters = Counters()
    pipeline = Pipeline(Free(), PairPolicy.parse("consecutive"), counters)
    with subprocess.Popen(
        [sys.executable, "-m", "rtelasto.bench.rf_sender", json.dumps(asdict(FORMAT))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        endpoint = json.loads(sender.stdout.readline())["endpoint"]
        with Receiver(
            endpoint, deliver=pipeline.recent.add, counters=counters, receive_hwm=64
        ) as receiver:
            sender.stdin.write(json.dumps({"fps": fps, "frames": n_frames}) + "\n")
            sender.stdin.flush()
            while counters["received"] + counters["gaps"] < n_frames:
                receiver.check()
                work_on_next(pipeline, timeout_s=1.0)
            while work_on_next(pipeline):
                pass
        sender.stdin.close()
    pipeline.recent.close()
    counts = counters.snapshot()
    print(f"{fps} frames/s, waiting up to {1e3 * MAX_WAIT_S:.0f} ms: {counts}")
    assert counts["received"] + counts.get("gaps", 0) == n_frames
    assert counts["strain.out"] > 0
    assert unaccounted(counts) == 0, counts
