"""What publishing frames and publishing strain have in common: a socket, a stream and its subscribers."""

from __future__ import annotations

import uuid
from pathlib import Path

from rtelasto.closing import Closing
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.sockets import PublishingSocket


class Publisher(Closing):
    """One stream of messages, bound to an endpoint from the moment it is made until it is closed.

    Attributes
    ----------
    counters
        What became of the messages.
    stream
        Id of this stream, new for each publisher.
    endpoint
        Where it is bound, with the port that was taken.
    clock
        What ``acquired_ns`` is read from, see docs/wire.md.
    """

    def __init__(
        self,
        topic: bytes,
        endpoint: str,
        *,
        clock: str,
        send_hwm: int,
        linger_s: float,
        keys: Path | None,
        counters: Counters | None = None,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self._topic = topic
        self._socket = PublishingSocket(
            endpoint,
            send_hwm=send_hwm,
            linger_ms=round(linger_s * 1e3),
            keys=keys,
            counters=self.counters,
        )
        self._seq = 0
        self.clock = clock
        self.stream = uuid.uuid4().hex
        self.endpoint = self._socket.endpoint

    def wait_for_subscriber(self, timeout_s: float) -> bool:
        """Wait for a subscriber to the stream; False if there is none after ``timeout_s``."""
        return self._socket.subscribed(self._topic, timeout_s)

    def close(self) -> None:
        """Send the remaining messages and unbind. May be called twice."""
        self._socket.close()
