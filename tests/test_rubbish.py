"""The limit on rubbish: frames come through it, and what it drops is counted."""

from __future__ import annotations

import numpy as np
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.transport.flood_limit import MOST_MALFORMED_PER_S, FloodLimit
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.sockets import PublishingSocket
from rtelasto.wire.rf import encode_rf

PATIENCE_S = 60.0
SAMPLES = np.ones((4, 256), np.int16)
FRAMES = 90
BAD_BETWEEN = 100


@given(
    events=st.lists(st.tuples(st.floats(0.0, 0.5), st.sampled_from(["good", "bad", "odd"]))),
    most=st.integers(1, 5),
)
def test_good_sizes_always_pass_and_a_second_never_sees_more_than_its_share(
    events: list[tuple[float, str]], most: int
) -> None:
    clock = Clock()
    limit = FloodLimit(most, clock)
    limit.well_formed([b"", b"", bytes(8)])
    looked_into: list[float] = []
    for passed_s, event in events:
        clock.now += passed_s
        parts = [b"", b"", bytes(8 if event == "good" else 7)]
        admitted = limit.admits(parts)
        if event == "good":
            assert admitted
            limit.well_formed(parts)
        elif admitted:
            looked_into.append(clock.now)
            limit.malformed()
    # Seconds are counted one after the other, so that any window of one second meets two of them at most.
    for begun_s in looked_into:
        assert sum(begun_s <= at_s < begun_s + 1.0 for at_s in looked_into) <= 2 * most


def test_before_the_first_frame_everything_is_looked_into() -> None:
    limit = FloodLimit(1, Clock())
    for _ in range(3):
        assert limit.admits([b"x"])
        limit.malformed()


def test_no_frame_is_lost_in_a_flood_of_rubbish() -> None:
    rf_format = RfFormat(
        n_lines=SAMPLES.shape[0],
        n_samples=SAMPLES.shape[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=3e-4,
    )
    bare = PublishingSocket("tcp://127.0.0.1:0", send_hwm=20_000, linger_ms=0)
    with Receiver(bare.endpoint, policy="every", queue_frames=FRAMES) as receiver:
        assert bare.subscribed(b"rf", PATIENCE_S)
        for seq in range(FRAMES):
            good = encode_rf(RfFrame(SAMPLES, rf_format, FrameStamp(seq)), stream="a", seq=seq)
            for _ in range(BAD_BETWEEN if seq else 0):
                bare.send([good[0], b"\xc1", b"rubbish"])
            bare.send(good)
        frames = [receiver.get(PATIENCE_S).frame_id for _ in range(FRAMES)]
        counts = receiver.counters.snapshot()
    bare.close()
    assert frames == list(range(FRAMES))
    assert counts["malformed.header"] >= MOST_MALFORMED_PER_S
    assert counts["malformed.rate"] > 0
    bad = (FRAMES - 1) * BAD_BETWEEN
    assert counts["malformed.header"] + counts["malformed.rate"] == bad
