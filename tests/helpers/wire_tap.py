"""Messages as they are on the wire, byte for byte, without any code of rtelasto in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import zmq
from waiting import WAIT_S

Message = list[bytes]


class Tap:
    """A subscriber that keeps the parts of every message of topic ``rf``."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def take(self, n_messages: int) -> list[Message]:
        """Return the next messages."""
        return [self._socket.recv_multipart() for _ in range(n_messages)]


@contextmanager
def tap(endpoint: str) -> Iterator[Tap]:
    """Subscribe to a sender, which may bind later."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.RCVTIMEO, round(1e3 * WAIT_S))
        socket.setsockopt(zmq.SUBSCRIBE, b"rf")
        socket.connect(endpoint)
        yield Tap(socket)


@contextmanager
def scanner() -> Iterator[tuple[str, Scanner]]:
    """Bind a sender of given messages: its endpoint, and the sender."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVTIMEO, round(1e3 * WAIT_S))
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        yield f"tcp://127.0.0.1:{port}", Scanner(socket)


class Scanner:
    """A sender of the messages that it is given."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def send(self, messages: Sequence[Message]) -> None:
        """Wait for a subscriber, and send."""
        assert self._socket.recv() == b"\x01rf"
        for parts in messages:
            self._socket.send_multipart(parts)
