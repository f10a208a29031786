"""Each lost frame has one cause in all that people read: the run's line, the viewer, Prometheus."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.telemetry.counters import Counters, losses
from rtelasto.transport.sequence import SequenceCheck


def counted(*messages: tuple[int, int], malformed: int = 0) -> dict[str, int]:
    """What the receiver counts of messages (seq, frame_id) of one stream."""
    counters = Counters()
    check = SequenceCheck(counters)
    for seq, frame_id in messages:
        counters.add("received")
        check.accept("stream", seq, frame_id)
    if malformed:
        counters.add("malformed.header", malformed)
    return counters.snapshot()


def test_one_frame_lost_on_the_wire_is_one_loss():
    assert losses(counted((0, 0), (2, 2))) == {"lost_on_wire": 1}


def test_one_swapped_pair_is_one_loss():
    assert losses(counted((0, 0), (2, 2), (1, 1), (3, 3))) == {"out_of_order": 1}


def test_a_malformed_message_is_one_loss():
    assert losses(counted((0, 0), (2, 2), malformed=1)) == {"malformed.header": 1}


def test_frames_that_the_scanner_skipped_are_told_from_those_lost_on_the_way():
    assert losses(counted((0, 0), (1, 4), (3, 6))) == {"lost_on_wire": 1, "not_sent": 3}


def test_what_arrived_and_did_not_become_strain_is_one_loss_each():
    counts = {"received": 9, "overflow": 2, "frame.constant": 1, "worker.lost": 1, "pair.first": 1}
    assert losses(counts) == {"overflow": 2, "frame.constant": 1, "worker.lost": 1}


@given(st.lists(st.sampled_from(["take", "lose", "swap", "skip", "spoil"]), max_size=60))
def test_losses_add_up_to_the_frames_that_are_missing(events):
    """Of any mixture of faults the sum is the number of frames acquired less those accepted."""
    counters = Counters()
    check = SequenceCheck(counters)
    seq = frame_id = accepted = acquired = 0

    def arrive(message_seq: int, message_id: int) -> None:
        nonlocal accepted
        accepted += check.accept("stream", message_seq, message_id)

    for event in ["take", *events, "take"]:
        if event in ("take", "lose", "spoil"):
            if event == "take":
                arrive(seq, frame_id)
            elif event == "spoil":
                counters.add("malformed.header")
            seq, frame_id, acquired = seq + 1, frame_id + 1, acquired + 1
        elif event == "skip":
            frame_id, acquired = frame_id + 1, acquired + 1
        else:
            arrive(seq + 1, frame_id + 1)
            arrive(seq, frame_id)
            seq, frame_id, acquired = seq + 2, frame_id + 2, acquired + 2
    assert sum(losses(counters.snapshot()).values()) == acquired - accepted


def test_the_runs_line_and_prometheus_show_one_dropped_frame():
    pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
    from rtelasto.cli.run import _line
    from rtelasto.telemetry.prometheus import _Reader

    counts = counted((0, 0), (2, 2), (1, 1), (3, 3)) | {"strain.out": 2}
    assert " 1 dropped;" in _line(counts, -0.01, 0.9)
    counters = Counters()
    for name, count in counts.items():
        counters.add(name, count)
    families = {f.name: f for f in _Reader(counters, dict, dict).collect()}
    dropped = families["rtelasto_dropped_frames"].samples
    assert sum(sample.value for sample in dropped) == 1
    events = {s.labels["event"] for s in families["rtelasto_events"].samples}
    assert not events & {sample.labels["cause"] for sample in dropped}


def test_a_missing_frame_that_comes_late_does_not_make_prometheus_fall():
    pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
    from rtelasto.telemetry.prometheus import _Reader

    counters = Counters()
    check = SequenceCheck(counters)
    reader = _Reader(counters, dict, dict)
    shown: list[dict[str, float]] = []
    for seq in (0, 2, 1, 3):
        check.accept("stream", seq, seq)
        families = {f.name: f for f in reader.collect()}
        samples = families["rtelasto_dropped_frames"].samples
        shown.append({s.labels["cause"]: s.value for s in samples})
    for before, after in itertools.pairwise(shown):
        assert all(after[cause] >= value for cause, value in before.items())
    assert np.isclose(shown[-1]["out_of_order"], 1)
