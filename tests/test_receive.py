"""The receiver against real senders that behave well, badly, and not at all."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, ChannelFrame
from rtelasto.frames.iq import IqFormat, IqFrame
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.rf_sender import RfSender
from rtelasto.transport.sequence import REORDER_WINDOW, SequenceCheck
from rtelasto.transport.sockets import PublishingSocket
from rtelasto.transport.subscription import Subscription
from rtelasto.wire.rf import encode_rf

LOOPBACK = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0
FORMAT = RfFormat(
    n_lines=2, n_samples=3, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
SAMPLES = np.arange(6, dtype=np.int16).reshape(2, 3)


def parts(seq: int, frame_id: int | None = None, *, stream: str = "a", samples=SAMPLES):
    rf_format = RfFormat(
        n_lines=samples.shape[0],
        n_samples=samples.shape[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=3e-4,
    )
    frame = RfFrame(samples, rf_format, FrameStamp(seq if frame_id is None else frame_id))
    return encode_rf(frame, stream=stream, seq=seq)


@pytest.fixture
def publisher():
    """A bare socket, to send whatever a test wants to."""
    bare = PublishingSocket(LOOPBACK, send_hwm=10_000, linger_ms=0)
    yield bare
    bare.close()


def joined(publisher: PublishingSocket, **options) -> Receiver:
    receiver = Receiver(publisher.endpoint, **options)
    assert publisher.subscribed(b"rf", PATIENCE_S)
    return receiver


def ids_until(receiver: Receiver, last: int) -> list[int]:
    ids: list[int] = []
    while not ids or ids[-1] != last:
        frame = receiver.get(PATIENCE_S)
        assert frame is not None, f"nothing came after {ids[-3:]}, {receiver.counters.snapshot()}"
        ids.append(frame.frame_id)
    return ids


def losses(receiver: Receiver) -> dict[str, int]:
    """All counters but that of connections: the first frame may be there before it is raised."""
    return {
        name: count for name, count in receiver.counters.snapshot().items() if name != "connected"
    }


# --- what comes through


def test_frames_come_through_whole_and_in_order():
    rng = np.random.default_rng(1)
    rf_format = RfFormat(
        n_lines=128,
        n_samples=260,
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=3e-4,
        start_depth_m=0.002,
        sound_speed_m_s=1480.0,
    )
    frames = rng.integers(-(2**15), 2**15, (20, 128, 260)).astype(np.int16)
    with (
        RfSender(LOOPBACK, send_hwm=100) as sender,
        Receiver(sender.endpoint, policy="every") as receiver,
    ):
        assert sender.wait_for_subscriber(PATIENCE_S)
        for frame in frames:
            sender.send(frame, rf_format)
        received = [receiver.get(PATIENCE_S) for _ in frames]
        for i, frame in enumerate(received):
            np.testing.assert_array_equal(frame.samples, frames[i])
            assert frame.format == rf_format
            assert frame.frame_id == i
            assert frame.stream == sender.stream
            # One machine, one monotonic clock: sent before received.
            assert 0 < frame.acquired_ns <= frame.received_ns
        assert all(frame.clock == "monotonic" for frame in received)
        assert losses(receiver) == {"received": 20}


def test_latest_keeps_the_newest_and_counts_the_rest(publisher):
    with joined(publisher) as receiver:
        for seq in range(50):
            publisher.send(parts(seq))
        assert receiver.counters.wait_for("overflow", 48, PATIENCE_S)
        assert ids_until(receiver, 49) == [48, 49]
        assert receiver.counters["overflow"] == 48
        assert receiver.counters["received"] == 50
        assert receiver.counters["gaps"] == 0


def test_every_loses_nothing_however_small_its_queue(publisher):
    with joined(publisher, policy="every", queue_frames=3, receive_hwm=1) as receiver:
        for seq in range(300):
            publisher.send(parts(seq))
        assert ids_until(receiver, 299) == list(range(300))
        assert losses(receiver) == {"received": 300}


def test_every_frame_of_a_flood_is_accounted_for():
    big = np.zeros((64, 1024), np.int16)
    rf_format = RfFormat(
        n_lines=64, n_samples=1024, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    )
    with RfSender(LOOPBACK, send_hwm=2) as sender, Receiver(sender.endpoint) as receiver:
        assert sender.wait_for_subscriber(PATIENCE_S)
        for _ in range(400):
            sender.send(big, rf_format)
        handed_out = []
        # The last frames may be among the lost ones, which only a later frame can tell.
        for _ in range(1000):
            sender.send(big, rf_format)
            last_id = sender.counters["sent"] - 1
            while (frame := receiver.get(0.1)) is not None:
                handed_out.append(frame.frame_id)
            if handed_out[-1:] == [last_id]:
                break
        counts = receiver.counters
        assert handed_out == sorted(set(handed_out))
        assert counts["received"] == len(handed_out) + counts["overflow"]
        assert counts["received"] + counts["gaps"] == sender.counters["sent"]
        assert counts["lost_on_wire"] == counts["gaps"]


def test_format_may_change_from_frame_to_frame(publisher):
    shapes = [(2, 3), (128, 500), (1, 1), (2, 3)]
    with joined(publisher, policy="every") as receiver:
        for seq, shape in enumerate(shapes):
            publisher.send(parts(seq, samples=np.full(shape, seq, np.float32)))
        for seq, shape in enumerate(shapes):
            frame = receiver.get(PATIENCE_S)
            assert (frame.format.n_lines, frame.format.n_samples) == shape
            np.testing.assert_array_equal(frame.samples, np.full(shape, seq, np.float32))


def test_gaps_repeats_disorder_and_restarts_are_counted(publisher):
    # (seq, frame_id, stream): 3 messages before the first, ids 12 and 13 missing (13 was sent and
    # lost), 14 twice by the scanner, the same message twice, an old one late, then a new stream.
    sent = [(3, 10, "a"), (4, 11, "a"), (6, 14, "a"), (7, 14, "a"), (7, 14, "a"), (5, 13, "a")]
    sent += [(8, 15, "a"), (0, 0, "b"), (1, 1, "b")]
    with joined(publisher, policy="every") as receiver:
        for seq, frame_id, stream in sent:
            publisher.send(parts(seq, frame_id, stream=stream))
        frames = [receiver.get(PATIENCE_S) for _ in range(6)]
        assert [(frame.stream, frame.frame_id) for frame in frames] == [
            ("a", 10),
            ("a", 11),
            ("a", 14),
            ("a", 15),
            ("b", 0),
            ("b", 1),
        ]
        assert losses(receiver) == {
            "received": 9,
            "missed_at_join": 3,
            "lost_on_wire": 1,
            "gaps": 2,
            "repeated": 2,
            "out_of_order": 1,
            "restarts": 1,
        }


def test_rubbish_is_counted_by_cause_and_logged_once(publisher, caplog):
    good = parts(0)
    bad = {
        "parts": good[:2],
        "header": [b"rf", b"\xc1" * 100, b""],
        "schema": [b"rf", msgpack.packb({"schema": "rtelasto/9"}), b""],
        "size": [*good[:2], b"too short"],
        "topic": [b"rf!", *good[1:]],
    }
    with caplog.at_level(logging.WARNING), joined(publisher, policy="every") as receiver:
        for message in bad.values():
            for _ in range(3):
                publisher.send(message)
        publisher.send([b"rf"] + [b"x"] * 5000)
        publisher.send(good)
        assert receiver.get(PATIENCE_S).frame_id == 0
        counts = losses(receiver)
        assert counts.pop("malformed.parts") == 4
        for cause in bad.keys() - {"parts"}:
            assert counts.pop(f"malformed.{cause}") == 3
        assert counts == {"received": 1}
    assert len(caplog.records) == len(bad)


def test_iq_and_channel_data_come_as_frames_of_their_own_kind(publisher):
    iq_format = IqFormat(
        n_lines=2,
        n_samples=3,
        sampling_freq_hz=5e6,
        demodulation_freq_hz=5e6,
        center_freq_hz=5e6,
        line_pitch_m=3e-4,
    )
    iq = IqFrame(np.full((2, 3), 1 + 2j, np.complex64), iq_format, FrameStamp(frame_id=0))
    channels = ChannelFormat(
        n_acquisitions=1,
        n_channels=2,
        n_samples=3,
        sampling_freq_hz=20e6,
        center_freq_hz=5e6,
        element_pitch_m=3e-4,
    )
    channel = ChannelFrame(np.ones((1, 2, 3), np.int16), channels, FrameStamp(frame_id=1))
    with joined(publisher, policy="every") as receiver:
        publisher.send(encode_rf(iq, stream="s", seq=0))
        publisher.send(encode_rf(channel, stream="s", seq=1))
        for sent in (iq, channel):
            came = receiver.get(PATIENCE_S)
            assert came.format == sent.format
            assert came.frame_id == sent.frame_id
            np.testing.assert_array_equal(came.samples, sent.samples)


# --- senders that come and go


def test_a_message_that_is_too_large_costs_its_sender_the_connection(publisher):
    with joined(publisher, max_message_bytes=10_000) as receiver:
        publisher.send(parts(0))
        assert receiver.get(PATIENCE_S).frame_id == 0
        publisher.send(parts(1, samples=np.zeros((100, 100), np.int16)))
        assert receiver.counters.wait_for("disconnected", 1, PATIENCE_S)
        assert receiver.counters.wait_for("connected", 2, PATIENCE_S)
        seq = 1
        while (frame := receiver.get(0.05)) is None:
            seq += 1
            publisher.send(parts(seq))
        assert receiver.counters["gaps"] == frame.frame_id - 1


def start_sender(endpoint: str) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "helpers/sender_process.py"), endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_a_killed_sender_may_come_back():
    first, endpoint = start_sender(LOOPBACK)
    second = None
    try:
        with Receiver(endpoint) as receiver:
            stream = receiver.get(PATIENCE_S).stream
            end(first)
            assert receiver.counters.wait_for("disconnected", 1, PATIENCE_S)
            second, again = start_sender(endpoint)
            assert again == endpoint
            streams = {stream}
            while len(streams) == 1:
                streams.add(receiver.get(PATIENCE_S).stream)
            assert receiver.counters["restarts"] == 1
            assert receiver.counters["gaps"] == receiver.counters["lost_on_wire"] == 0
    finally:
        end(first)
        if second is not None:
            end(second)


@pytest.mark.skipif(os.name != "posix", reason="stopping a process needs POSIX signals")
def test_a_frozen_sender_goes_on_where_it_was():
    process, endpoint = start_sender(LOOPBACK)
    try:
        with Receiver(endpoint) as receiver:
            assert receiver.get(PATIENCE_S) is not None
            process.send_signal(signal.SIGSTOP)
            while receiver.get(0.5) is not None:
                pass
            received = receiver.counters["received"]
            process.send_signal(signal.SIGCONT)
            assert receiver.counters.wait_for("received", received + 10, PATIENCE_S)
            assert receiver.counters["restarts"] == receiver.counters["disconnected"] == 0
    finally:
        end(process)


def test_whoever_listens_there_may_be_no_sender_at_all():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        receiver = Receiver(f"tcp://127.0.0.1:{port}")
        connection, _ = listener.accept()
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" * 4)
        connection.close()
        assert receiver.counters.wait_for("disconnected", 1, PATIENCE_S)
    with receiver, RfSender(f"tcp://127.0.0.1:{port}") as sender:
        assert sender.wait_for_subscriber(PATIENCE_S)
        sender.send(SAMPLES, FORMAT)
        assert receiver.get(PATIENCE_S).stream == sender.stream


def test_the_peer_may_be_the_wrong_kind_of_socket():
    context = zmq.Context()
    wrong = context.socket(zmq.REP)
    port = wrong.bind_to_random_port("tcp://127.0.0.1")
    with Receiver(f"tcp://127.0.0.1:{port}") as receiver:
        assert receiver.counters.wait_for("disconnected", 3, PATIENCE_S)
        wrong.close(0)
        context.term()
        with RfSender(receiver.endpoint) as sender:
            assert sender.wait_for_subscriber(PATIENCE_S)
            sender.send(SAMPLES, FORMAT)
            assert receiver.get(PATIENCE_S).stream == sender.stream


def test_a_receiver_may_be_there_first():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    with Receiver(endpoint) as receiver:
        assert receiver.get(0.0) is None
        with RfSender(endpoint) as sender:
            assert sender.wait_for_subscriber(PATIENCE_S)
            sender.send(SAMPLES, FORMAT)
            assert receiver.get(PATIENCE_S).frame_id == 0


# --- stopping


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_stop_ends_whoever_waits(policy):
    receiver = Receiver("tcp://127.0.0.1:1", policy=policy)
    waiting = threading.Event()
    ended: list[object] = []

    def consume():
        waiting.set()
        ended.extend(receiver)
        ended.append("end")

    thread = threading.Thread(target=consume)
    thread.start()
    waiting.wait()
    receiver.close()
    receiver.close()
    thread.join(PATIENCE_S)
    assert ended == ["end"]
    assert receiver.get() is None


def test_stop_ends_a_reader_whose_queue_is_full(publisher):
    with joined(publisher, policy="every", queue_frames=2) as receiver:
        for seq in range(100):
            publisher.send(parts(seq))
        assert receiver.counters.wait_for("received", 2, PATIENCE_S)
    assert receiver.counters["unread"] == 2
    assert receiver.get(0.0) is None


def test_a_programming_error_in_the_reading_thread_reaches_the_consumer(publisher):
    def accept(message):
        raise ZeroDivisionError(len(message))

    subscription = Subscription(
        publisher.endpoint,
        (b"rf",),
        accept,
        Counters(),
        policy="latest",
        queue_items=1,
        receive_hwm=1,
    )
    try:
        assert publisher.subscribed(b"rf", PATIENCE_S)
        publisher.send(parts(0))
        with pytest.raises(RuntimeError, match=publisher.endpoint) as caught:
            subscription.get(PATIENCE_S)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    finally:
        subscription.stop()


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:5555", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:65536"]
)
def test_an_endpoint_that_is_none_is_named(endpoint):
    with pytest.raises(RtelastoError, match=repr(endpoint)):
        Receiver(endpoint)


def test_a_queue_of_no_frames_is_a_mistake():
    with pytest.raises(ValueError, match="queue"):
        Receiver("tcp://127.0.0.1:1", queue_frames=-1)


# --- order, without sockets


@given(
    st.integers(0, 1000),
    st.integers(0, 2**40),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), max_size=60),
)
def test_accepted_and_missing_frames_add_up(first_seq, first_id, steps):
    """A sender that skips ids, over a wire that loses and doubles messages."""
    counters = Counters()
    check = SequenceCheck(counters)
    assert check.accept("s", first_seq, first_id)
    seq, frame_id, accepted, lost, doubled = first_seq, first_id, 1, 0, 0
    newest_seq, newest_id = seq, frame_id
    for arrives, skipped, copies in steps:
        seq, frame_id = seq + 1, frame_id + 1 + skipped
        if not arrives:
            continue
        lost += seq - newest_seq - 1
        assert check.accept("s", seq, frame_id)
        accepted += 1
        newest_seq, newest_id = seq, frame_id
        for _ in range(copies):
            assert not check.accept("s", seq, frame_id)
            doubled += 1
    assert accepted + counters["gaps"] == newest_id - first_id + 1
    assert counters["lost_on_wire"] == lost
    assert counters["repeated"] == doubled
    assert counters["missed_at_join"] == first_seq
    assert counters["restarts"] == counters["out_of_order"] == 0


def test_a_sender_that_starts_over_under_the_same_name():
    counters = Counters()
    check = SequenceCheck(counters)
    for seq in range(REORDER_WINDOW + 2):
        assert check.accept("matlab", seq, seq)
    assert check.accept("matlab", 0, 0)
    assert counters["restarts"] == 1


def test_a_sender_that_numbers_its_frames_anew_in_every_loop():
    counters = Counters()
    check = SequenceCheck(counters)
    assert all(check.accept("loop", seq, seq % 6) for seq in range(18))
    assert counters.snapshot() == {"restarts": 2}


# --- counters


def test_counters_of_many_threads_add_up():
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.add("n") for _ in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert counters.wait_for("n", 8000, PATIENCE_S)
    assert counters.snapshot() == {"n": 8000}
    assert counters["never raised"] == 0
    assert not counters.wait_for("n", 8001, 0.0)
    with pytest.raises(ValueError, match="-1"):
        counters.add("n", -1)
