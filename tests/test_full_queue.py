"""A receiver whose queues are full when its sender goes: it lives on, and goes on with the next sender.

With ZeroMQ's own heartbeats libzmq 4.3.5 ends the whole process then, within two of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.transport.rf_sender import RfSender
from rtelasto.wire.rf import encode_rf

PATIENCE_S = 60.0
# Time for two heartbeats and more: what is waited for is that nothing happens.
BORNE_S = 2.5
FORMAT = RfFormat(
    n_lines=16, n_samples=2048, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
SAMPLES = np.ones((16, 2048), np.int16)

# Takes nothing until it is told to, then all that comes, until it comes from another stream.
STALLED = """
import sys
from rtelasto.transport.receivers import Receiver

with Receiver(sys.argv[1], policy="every", queue_frames=1, receive_hwm=1) as receiver:
    sys.stdin.readline()
    first = receiver.get(60.0)
    frames = 1
    while (frame := receiver.get(60.0)) is not None and frame.stream == first.stream:
        frames += 1
    print(frames, frame.stream, receiver.counters["disconnected"], flush=True)
"""


@contextmanager
def stalled(endpoint: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED, endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def fill(publisher: zmq.Socket) -> int:
    """Send until nothing is taken any more: how many were."""
    publisher.setsockopt(zmq.SNDTIMEO, 500)
    for seq in range(100_000):
        frame = RfFrame(SAMPLES, FORMAT, FrameStamp(seq))
        try:
            publisher.send_multipart(encode_rf(frame, stream="first", seq=seq))
        except zmq.Again:
            return seq
    raise AssertionError("the receiver takes whatever comes")


@pytest.mark.slow
def test_a_full_receiver_outlives_its_sender():
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    # Says so when a subscriber's queue is full, instead of dropping the message.
    publisher.setsockopt(zmq.XPUB_NODROP, 1)
    publisher.setsockopt(zmq.SNDHWM, 1)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    endpoint = f"tcp://127.0.0.1:{port}"
    with stalled(endpoint) as process:
        assert publisher.poll(1e3 * PATIENCE_S), "nobody subscribes"
        publisher.recv()
        sent = fill(publisher)
        publisher.close(0)
        context.term()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(BORNE_S)
        with RfSender(endpoint) as sender:
            print("go", file=process.stdin, flush=True)
            assert sender.wait_for_subscriber(PATIENCE_S)
            # ZeroMQ connects again by itself, and the receiver by a fresh socket: a frame may be lost.
            while process.poll() is None:
                sender.send(SAMPLES, FORMAT)
            frames, stream, disconnected = process.stdout.readline().split()
        assert 1 <= int(frames) <= sent
        assert stream == sender.stream
        assert int(disconnected) >= 1
