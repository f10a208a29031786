"""Counters and position over the death of their process, and the law that no frame goes uncounted."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.live.shared_counters import SharedState
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.telemetry.counters import Counters, losses, unaccounted
from rtelasto.transport.sequence import SequenceCheck

FORMAT = RfFormat(
    n_lines=4, n_samples=64, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


class Instant:
    """Gives every pair the same strain, of a quality that the post-compression frame says."""

    device = "cpu"

    def __call__(self, pair: FramePair) -> StrainFrame:
        image = np.zeros((4, 8), np.float32)
        return StrainFrame(
            axial_strain=image,
            axial_displacement_m=image,
            correlation=image,
            grid=Grid(4, 8, 1e-4, 3e-4, 0.0),
            frame_ids=(pair.pre.frame_id, pair.post.frame_id),
            quality=0.2 if pair.post.frame_id % 7 == 3 else 0.9,
            applied_strain=0.01,
        )


def frame(frame_id: int, image: str, stream: str) -> RfFrame:
    samples = np.arange(256, dtype=np.float32).reshape(4, 64)
    if image == "constant":
        samples[:] = 1.0
    elif image == "nonfinite":
        samples[:] = np.nan
    return RfFrame(samples, FORMAT, FrameStamp(frame_id, stream=stream))


# What happens to the sender's next message on its way.
WAY = st.sampled_from(["arrives"] * 6 + ["is lost", "arrives twice", "is held back"])
IMAGE = st.sampled_from(["echoes"] * 5 + ["constant", "nonfinite"])
WORKER = st.sampled_from(["lives"] * 8 + ["dies before", "dies within", "dies after"])


@given(
    messages=st.lists(st.tuples(WAY, IMAGE, WORKER), max_size=60),
    pair=st.sampled_from(["consecutive", "lag 3", "adaptive"]),
)
# One that overtakes another and of which nothing is left: the late one is the first.
@example(
    messages=[("is held back", "echoes", "lives"), ("arrives", "echoes", "dies within")],
    pair="consecutive",
)
def test_no_frame_goes_uncounted_whatever_dies(
    messages: list[tuple[str, str, str]], pair: str
) -> None:
    shared = SharedState()
    policy = PairPolicy.parse(pair)
    dead: list[object] = []

    def start() -> None:
        nonlocal counters, check, pipeline
        counters, position, _ = shared.open()
        check, pipeline = SequenceCheck(counters, position), Pipeline(Instant(), policy, counters)

    def die() -> None:
        """What the supervisor does when a process is gone, and what the next one begins with."""
        dead.append((counters, check, pipeline))
        start()
        lost = unaccounted(counters.snapshot())
        assert lost >= 0
        counters.add("worker.lost", lost)

    def deliver(seq: int, image: str, worker: str) -> None:
        if worker == "dies before":
            die()
        step = counters.together()
        step.__enter__()
        counters.add("received")
        accepted = check.accept("sender", seq, seq)
        if worker == "dies within":
            # The step is never ended: kept, so that not even the garbage collector does.
            dead.append(step)
            return die()
        step.__exit__(None, None, None)
        if worker == "dies after":
            return die()
        if accepted:
            pipeline.process(frame(seq, image, "sender"))
        return None

    counters, check, pipeline = Counters(), None, None
    start()
    delivered = set()
    held: list[tuple[int, str]] = []
    for seq, (way, image, worker) in enumerate(messages):
        if way == "is held back":
            held.append((seq, image))
        elif way != "is lost":
            deliver(seq, image, worker)
            if worker != "dies within":
                delivered.add(seq)
            if way == "arrives twice":
                deliver(seq, image, "lives")
                delivered.add(seq)
            for late in held:
                deliver(*late, "lives")
                delivered.add(late[0])
            held.clear()
        assert unaccounted(counters.snapshot()) == 0
    counts = counters.snapshot()
    newest = max(delivered, default=-1)
    accepted_frames = counts.get("received", 0) - sum(
        counts.get(name, 0) for name in ("repeated", "out_of_order")
    )
    missing = counts.get("lost_on_wire", 0) + counts.get("missed_at_join", 0)
    assert accepted_frames + missing == newest + 1
    for step in dead:
        if hasattr(step, "gen"):
            step.__exit__(None, None, None)


def test_counters_are_read_while_another_process_raises_them() -> None:
    shared = SharedState()
    counters, position, pulse = shared.open()
    child = multiprocessing.get_context("spawn").Process(target=_count, args=(shared,))
    child.start()
    child.join(60.0)
    assert child.exitcode == -signal.SIGKILL
    assert counters.snapshot() == {"received": 2, "gaps": 4}
    assert list(counters.snapshot()) == ["received", "gaps"]
    assert (position.begun, position.seq, position.frame_id) == (True, 7, 6)
    assert position.is_in("scanner")
    assert not position.is_in("another")
    assert (pulse.rounds, pulse.loading) == (1, 1)


def _count(shared: SharedState) -> None:
    counters, position, pulse = shared.open()
    pulse.heartbeat(loading=True)
    with counters.together():
        counters.add("received", 2)
        counters.add("gaps", 4)
        position.move("scanner", 7, 6)
    # Dies within a step: nothing of it holds.
    step = counters.together()
    step.__enter__()
    counters.add("received")
    position.move("another", 8, 7)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_counter_that_does_not_fit_is_an_error() -> None:
    counters, position, _ = SharedState().open()
    assert (position.begun, position.seq, position.frame_id) == (False, -1, -1)
    with pytest.raises(ValueError, match="no room for a counter 'xxx"):
        counters.add("x" * 65)
    for number in range(256):
        counters.add(f"counter {number}")
    with pytest.raises(ValueError, match="beside 256 others"):
        counters.add("one more")
    assert counters["counter 255"] == 1


def test_what_is_lost_and_what_is_accounted_for() -> None:
    assert losses({"worker.lost": 2, "worker.restarts": 1}) == {"worker.lost": 2}
    assert unaccounted({}) == 0
    counts = {"received": 20, "strain.out": 3, "frame.constant": 2, "pair.first": 1, "gaps": 9}
    assert unaccounted(counts) == 14
    assert unaccounted(counts | {"worker.lost": 10, "pair.reset.gap": 5, "frames": 1}) == 4
