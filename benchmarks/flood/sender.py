"""A sender in a separate process: good frames at their times and, between them, malformed messages.

    python -m benchmarks.flood.sender

It prints the endpoint to which it is bound. For every line ``KIND RATE FPS SECONDS`` on its standard input it
sends accordingly and prints the counts as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import msgpack
import numpy as np

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.stamp import FrameStamp
from rtelasto.transport.sockets import PublishingSocket
from rtelasto.wire.message import TOPIC_RF
from rtelasto.wire.rf import encode_rf

SUBSCRIBER_S = 120.0
# Kinds of messages on the RF stream. The last kind does not leave the sender: it has no subscribers.
KINDS = (
    "random bytes",
    "too few and too many parts",
    "oversize headers",
    "other topics that begin with rf",
    "no such schema",
    "wrong fields",
    "wrong size",
    "all of these",
    "topics without a subscriber",
)


def malformed_messages(kind: str, good: list[bytes | memoryview]) -> list[list[bytes | memoryview]]:
    """Return messages of that kind, to be sent repeatedly; ``good`` is a well-formed message."""
    rng = np.random.default_rng(0)
    header = msgpack.unpackb(bytes(good[1]))
    body = rng.bytes(1000)

    def with_header(**wrong: object) -> list[bytes | memoryview]:
        return [TOPIC_RF, msgpack.packb(header | wrong), body]

    made: dict[str, list[list[bytes | memoryview]]] = {
        "random bytes": [
            [TOPIC_RF, rng.bytes(int(size)), body] for size in rng.integers(1, 400, 64)
        ],
        "too few and too many parts": [[TOPIC_RF], [TOPIC_RF, bytes(good[1])], [TOPIC_RF] * 20],
        "oversize headers": [[TOPIC_RF, bytes(20_000), body], [TOPIC_RF, rng.bytes(17_000), body]],
        "other topics that begin with rf": [[b"rfx", bytes(good[1]), body]],
        "no such schema": [with_header(schema="rtelasto/2"), with_header(type="strain")],
        "wrong fields": [
            with_header(shape=[2608]),
            with_header(dtype="<f8"),
            with_header(kind="doppler"),
            with_header(seq=-1),
            with_header(stream=""),
        ],
        "wrong size": [with_header()],
        "topics without a subscriber": [[b"strain", bytes(good[1]), body], [b"x", body]],
    }
    if kind == "all of these":
        return [message for name in KINDS[:7] for message in made[name]]
    return made.get(kind, [])


def good_frames() -> Iterator[list[bytes | memoryview]]:
    """Yield RF messages without end, with the current time as timestamp."""
    frames = timing_frames(None)
    for number, index in enumerate(cycle((0, 1, 2, 1))):
        frame = replace(frames[index], stamp=FrameStamp(number, time.monotonic_ns()))
        yield encode_rf(frame, stream="flood", seq=number, clock="monotonic")


def send(
    socket: PublishingSocket,
    frames: Iterator[list[bytes | memoryview]],
    messages: list[list[bytes | memoryview]],
    rate: float,
    fps: float,
    seconds: float,
) -> dict[str, float]:
    """Send both at absolute deadlines; malformed messages that are late are sent at once."""
    begin, sent, malformed = time.monotonic(), 0, 0
    while (passed := time.monotonic() - begin) < seconds:
        if sent <= passed * fps:
            socket.send(next(frames))
            sent += 1
        due = int(passed * rate) if messages else 0
        # Limited, so that malformed messages do not delay the good frames.
        for _ in range(min(due - malformed, 200)):
            socket.send(messages[malformed % len(messages)])
            malformed += 1
        time.sleep(0.001)
    return {"good": sent, "malformed": malformed, "seconds": time.monotonic() - begin}


def main() -> None:
    socket = PublishingSocket("tcp://127.0.0.1:0", send_hwm=1000, linger_ms=0)
    print(socket.endpoint, flush=True)
    frames = good_frames()
    example = next(good_frames())
    for line in sys.stdin:
        kind, rate, fps, seconds = json.loads(line)
        if not socket.subscribed(TOPIC_RF, SUBSCRIBER_S):
            sys.exit(f"no subscriber within {SUBSCRIBER_S:g} s")
        print(
            json.dumps(send(socket, frames, malformed_messages(kind, example), rate, fps, seconds)),
            flush=True,
        )
    socket.close()


if __name__ == "__main__":
    main()
