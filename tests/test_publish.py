"""The strain publisher: what subscribers get, and that none of them can hold it up."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import zmq

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.strain_publisher import StrainPublisher
from rtelasto.wire.strain import decode_strain

LOOPBACK = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0


def strain_frame(n_lines: int = 8, n_depths: int = 20, number: int = 0) -> StrainFrame:
    grid = Grid(n_lines, n_depths, 2e-5, 2e-4, 1e-3)
    images = np.random.default_rng(number).standard_normal((3, *grid.shape)).astype(np.float32)
    return StrainFrame(
        *images,
        grid=grid,
        frame_ids=(number, number + 1),
        acquired_ns=1000 + number,
        stream="scanner",
        engine="ncc",
        quality=0.9,
        applied_strain=-0.005,
        stage_ns={"stretch": 5},
        drops={"gaps": 2},
    )


@pytest.fixture
def publisher():
    with StrainPublisher(LOOPBACK, clock="monotonic") as opened:
        yield opened


def test_a_subscriber_gets_what_was_written(publisher):
    frame = strain_frame(number=3)
    bmode = np.arange(160, dtype=np.uint8).reshape(8, 20)
    with StrainReceiver(publisher.endpoint, policy="every") as receiver:
        assert publisher.wait_for_subscriber(PATIENCE_S)
        publisher.write(frame)
        publisher.write(frame, {"bmode": (bmode, "dB")})
        first, second = receiver.get(PATIENCE_S), receiver.get(PATIENCE_S)
    assert (first.seq, second.seq) == (0, 1)
    assert first.stream == second.stream == publisher.stream
    assert first.clock == "monotonic"
    assert first.arrays == {}
    np.testing.assert_array_equal(second.arrays["bmode"], bmode)
    assert 0 < first.frame.published_ns <= second.frame.published_ns
    for name in ("axial_strain", "axial_displacement_m", "correlation"):
        np.testing.assert_array_equal(getattr(first.frame, name), getattr(frame, name))
    for name in ("grid", "frame_ids", "acquired_ns", "stream", "engine", "quality"):
        assert getattr(first.frame, name) == getattr(frame, name)
    assert (first.frame.stage_ns, first.frame.drops) == (frame.stage_ns, frame.drops)
    assert first.frame.applied_strain == -0.005
    assert publisher.counters.snapshot() == {"published": 2}


def test_status_comes_beside_the_frames(publisher):
    with StrainReceiver(publisher.endpoint, policy="every") as receiver:
        assert receiver.status is None
        assert publisher.wait_for_subscriber(PATIENCE_S)
        publisher.write_status({"frames_in": 19.5, "latency_p99_s": math.nan}, {"gaps": 4})
        publisher.write_status({"frames_in": 20.0}, {"gaps": 5}, {"device": "cpu"})
        assert receiver.counters.wait_for("statuses", 2, PATIENCE_S)
        status = receiver.status
        assert (status.seq, status.stream) == (1, publisher.stream)
        assert status.rates == {"frames_in": 20.0}
        assert status.counters == {"gaps": 5}
        assert status.info == {"device": "cpu"}
        assert receiver.get(0.0) is None


def test_nobody_listening_is_counted_and_a_late_joiner_sees_it(publisher):
    for number in range(5):
        publisher.write(strain_frame(number=number))
    publisher.write_status({}, {})
    assert publisher.counters.snapshot() == {"unheard": 5}
    with StrainReceiver(publisher.endpoint) as receiver:
        assert publisher.wait_for_subscriber(PATIENCE_S)
        publisher.write(strain_frame(number=5))
        assert receiver.get(PATIENCE_S).frame.frame_ids == (5, 6)
        assert receiver.counters["missed_at_join"] == 5
        assert receiver.counters["lost_on_wire"] == 0


def test_a_subscriber_that_never_reads_holds_up_nobody(publisher):
    """100 frames of 1.2 MB are far more than its queues and the network's take."""
    context = zmq.Context()
    sleeper = context.socket(zmq.SUB)
    sleeper.setsockopt(zmq.RCVHWM, 1)
    sleeper.setsockopt(zmq.RCVBUF, 65536)
    sleeper.subscribe(b"strain")
    sleeper.connect(publisher.endpoint)
    assert publisher.wait_for_subscriber(PATIENCE_S)
    frame = strain_frame(100, 1000)
    publisher.write(frame)
    assert sleeper.poll(PATIENCE_S * 1e3)
    with StrainReceiver(publisher.endpoint, policy="every") as receiver:
        # Its subscription is not the first, so only a frame that arrives shows that it is there.
        while (message := receiver.get(0.05)) is None:
            publisher.write(frame)
        first = message.seq
        for number in range(100):
            publisher.write(frame)
            while message.seq < first + number + 1:
                message = receiver.get(PATIENCE_S)
                assert message is not None
        assert receiver.counters["lost_on_wire"] == 0
    seen = []
    while sleeper.poll(200):
        seen.append(decode_strain(sleeper.recv_multipart()).seq)
    assert seen == sorted(seen)
    assert len(seen) < publisher.counters["published"]
    sleeper.close(0)
    context.term()


def test_several_threads_may_write():
    with (
        StrainPublisher(LOOPBACK, send_hwm=1000) as publisher,
        StrainReceiver(publisher.endpoint, policy="every") as receiver,
    ):
        assert publisher.wait_for_subscriber(PATIENCE_S)

        def write():
            for number in range(50):
                publisher.write(strain_frame(number=number))

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        for expected in range(150):
            assert receiver.get(PATIENCE_S).seq == expected
        for thread in threads:
            thread.join(PATIENCE_S)


def test_an_endpoint_in_use_is_named_and_free_again_after_closing():
    with StrainPublisher(LOOPBACK) as first:
        endpoint = first.endpoint
        with pytest.raises(RtelastoError, match=f"{endpoint}.*in use"):
            StrainPublisher(endpoint)
    first.close()
    with StrainPublisher(endpoint) as second:
        assert second.endpoint == endpoint


@pytest.mark.parametrize("endpoint", ["", "tcp://nowhere.invalid:1", "tcp://*:99999", "5556"])
def test_an_endpoint_that_is_none_is_named(endpoint):
    with pytest.raises(RtelastoError) as caught:
        StrainPublisher(endpoint)
    assert repr(endpoint) in str(caught.value)
