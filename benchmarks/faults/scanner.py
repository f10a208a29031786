"""A scanner with faults on command: a separate process that sends RF frames at a steady rate.

    python -m benchmarks.faults.scanner OPTIONS

``OPTIONS`` is JSON: ``endpoint``, ``fps``, ``format`` (an `RfFormat` as a map), ``tally`` (a file of two
int64 that it keeps up to date: frames and malformed messages handed to ZeroMQ, so that they are known after a
kill), ``keys`` (a folder, or null). It prints a line with its endpoint once it is bound, and sends once there
is a subscriber. Commands are lines of JSON on its standard input, each a map with one entry, answered by a
line when done:

``{"send": true}``      start or stop sending
``{"fps": 40}``         send at another rate
``{"clock": ["unix", -10]}``  take timestamps from this clock plus this many seconds
``{"repeat": 5}``       send the next 5 frames twice
``{"swap": 5}``         send the next 5 pairs of frames in the wrong order
``{"skip": 5}``         acquire 5 frames and send none of them
``{"depth": 700}``      send frames with this many samples from now on
``{"blank": 3}``        the next 3 frames have no image: constant or NaN
``{"malformed": 20}``   send this many malformed messages, each malformed in another way
``{"oversize": 1}``     send a message that no receiver accepts
"""

from __future__ import annotations

import itertools
import json
import queue
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.malformed import MALFORMED
from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.transport.sockets import PublishingSocket
from rtelasto.transport.subscription import MAX_MESSAGE_BYTES
from rtelasto.wire.message import TOPIC_RF, Part
from rtelasto.wire.rf import encode_rf, wire_samples

# Back and forth over three frames, so that every pair has the same strain.
_ORDER = (0, 1, 2, 1)
_CLOCKS = {"monotonic": time.monotonic_ns, "unix": time.time_ns}
_MALFORMED_S = 0.005


class Scanner:
    """Sends frames at deadlines and executes commands between them."""

    def __init__(self, options: dict[str, Any]) -> None:
        # Before binding, so that subscribers get frames at once.
        self._format = RfFormat(**options["format"])
        self._frames = timing_frames(self._format)
        keys = Path(options["keys"]) if options["keys"] else None
        self._socket = PublishingSocket(options["endpoint"], send_hwm=16, linger_ms=1000, keys=keys)
        self.endpoint = self._socket.endpoint
        self._tally = np.memmap(Path(options["tally"]), np.int64, "r+", shape=2)
        self._fps = float(options["fps"])
        self._stream = uuid.uuid4().hex
        self._seq = self._frame_id = 0
        self._clock, self._ahead_ns = "monotonic", 0
        self._sending = self._begun = False
        self._repeats = self._swaps = self._blanks = 0
        self._to_answer: dict[str, Any] | None = None

    def run(self, commands: queue.Queue[dict[str, Any] | None]) -> None:
        """Execute commands until one is None."""
        due_ns = time.monotonic_ns()
        while True:
            left_s = (due_ns - time.monotonic_ns()) / 1e9
            try:
                command = commands.get(timeout=max(left_s, 0.0) if self._sending else None)
            except queue.Empty:
                # A scanner sends with or without subscribers; only the first frame waits for one.
                if self._begun or self._socket.subscribed(TOPIC_RF):
                    self._begun = True
                    self._send_next()
                    self._answer_if_done()
                due_ns = max(due_ns, time.monotonic_ns()) + round(1e9 / self._fps)
                continue
            if command is None:
                self._socket.close()
                return
            ((name, value),) = command.items()
            getattr(self, f"_on_{name}")(value)
            due_ns = time.monotonic_ns()
            self._to_answer = command
            self._answer_if_done()

    def _answer_if_done(self) -> None:
        if self._to_answer and not (self._repeats or self._swaps or self._blanks):
            print(json.dumps(self._to_answer), flush=True)
            self._to_answer = None

    def _on_send(self, sending: bool) -> None:
        self._sending = sending

    def _on_fps(self, fps: float) -> None:
        self._fps = fps

    def _on_clock(self, clock: tuple[str, float]) -> None:
        self._clock, self._ahead_ns = clock[0], round(clock[1] * 1e9)

    def _on_repeat(self, count: int) -> None:
        self._repeats = count

    def _on_swap(self, count: int) -> None:
        self._swaps = count

    def _on_skip(self, count: int) -> None:
        self._frame_id += count

    def _on_blank(self, count: int) -> None:
        self._blanks = count

    def _on_depth(self, n_samples: int) -> None:
        self._format = replace(self._format, n_samples=n_samples)
        self._frames = timing_frames(self._format)

    def _on_malformed(self, count: int) -> None:
        for damage in itertools.islice(_every_damage(), count):
            # No sequence number is used up, because a message that cannot be read cannot be missed.
            self._socket.send(damage(self._message(self._frame(), self._seq)))
            self._tally[1] += 1
            # Sent all at once, they would overflow the queue of the socket.
            time.sleep(_MALFORMED_S)

    def _on_oversize(self, count: int) -> None:
        for _ in range(count):
            self._socket.send([TOPIC_RF, b"", bytes(MAX_MESSAGE_BYTES + 1)])
            self._tally[1] += 1

    def _send_next(self) -> None:
        if self._swaps:
            self._swaps -= 1
            first, second = self._next_message(), self._next_message()
            self._hand_over(second)
            self._hand_over(first)
            return
        message = self._next_message()
        self._hand_over(message)
        if self._repeats:
            self._repeats -= 1
            self._hand_over(message)

    def _hand_over(self, message: list[Part]) -> None:
        self._socket.send(message)
        self._tally[0] += 1

    def _next_message(self) -> list[Part]:
        message = self._message(self._frame(), self._seq)
        self._seq += 1
        self._frame_id += 1
        return message

    def _message(self, frame: RfFrame, seq: int) -> list[Part]:
        return encode_rf(frame, stream=self._stream, seq=seq, clock=self._clock)

    def _frame(self) -> RfFrame:
        samples = self._frames[_ORDER[self._frame_id % len(_ORDER)]].samples
        if self._blanks:
            samples = samples.astype(np.float32)
            samples[:] = 7.0 if self._blanks % 2 else np.nan
            self._blanks -= 1
        acquired_ns = _CLOCKS[self._clock]() + self._ahead_ns
        return RfFrame(wire_samples(samples), self._format, FrameStamp(self._frame_id, acquired_ns))


def _every_damage() -> Iterator[Any]:
    return itertools.cycle(itertools.chain.from_iterable(MALFORMED.values()))


def main() -> None:
    scanner = Scanner(json.loads(sys.argv[1]))
    print(json.dumps({"endpoint": scanner.endpoint}), flush=True)
    commands: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            commands.put(json.loads(line))
        commands.put(None)

    threading.Thread(target=read, daemon=True).start()
    scanner.run(commands)


if __name__ == "__main__":
    main()
