"""The sockets of rtelasto and their options: the only place where one is opened.

Everything that decides who may connect, how soon a dead peer is noticed and how much may pile up is
set here.
"""

from __future__ import annotations

from time import monotonic

import zmq
from zmq.utils.monitor import recv_monitor_message

from rtelasto.errors import RtelastoError

# A peer that sends nothing for HEARTBEAT_TIMEOUT_MS, not even an answer to a ping, is taken for
# dead and its connection is made anew: soon enough for an operator, and long enough for one frame
# on a slow link (0.7 MB at 3 Mbit/s).
HEARTBEAT_IVL_MS = 500
HEARTBEAT_TIMEOUT_MS = 2000
RECONNECT_IVL_MS = 50
CONNECT_TIMEOUT_MS = 1000
HANDSHAKE_IVL_MS = 3000

# What a subscriber sends to a publisher is a topic; anything longer is not meant for us.
_MAX_SUBSCRIPTION_BYTES = 1024
_SUBSCRIPTIONS_PER_LOOK = 64


def _check_port(endpoint: str) -> None:
    """Raise RtelastoError for a port that does not exist: libzmq would take it modulo 65536."""
    port = endpoint.rpartition(":")[2]
    if endpoint.startswith("tcp://") and port.isdecimal() and int(port) > 65535:
        raise RtelastoError(f"endpoint {endpoint!r} names port {port}: ports end at 65535")


def _common(socket: zmq.Socket, linger_ms: int) -> None:
    socket.setsockopt(zmq.LINGER, linger_ms)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_IVL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_IVL_MS)


class SubscribingSocket:
    """A SUB socket connecting to an endpoint, and what becomes of its connection.

    Poll ``messages`` for messages and ``events`` for `read_event`. Whether anybody is there to
    connect to shows by the events.

    Raises
    ------
    RtelastoError
        If ``endpoint`` is not one that ZeroMQ can connect to.
    """

    _EVENTS = (
        zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_DISCONNECTED
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    )

    def __init__(
        self,
        context: zmq.Context,
        endpoint: str,
        topics: tuple[bytes, ...],
        *,
        receive_hwm: int,
        max_message_bytes: int,
    ) -> None:
        _check_port(endpoint)
        self.messages: zmq.Socket = context.socket(zmq.SUB)
        _common(self.messages, linger_ms=0)
        self.messages.setsockopt(zmq.RCVHWM, receive_hwm)
        self.messages.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
        self.messages.setsockopt(zmq.RECONNECT_IVL, RECONNECT_IVL_MS)
        self.messages.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
        for topic in topics:
            self.messages.subscribe(topic)
        # Before connecting: events that nobody watches are lost.
        self.events: zmq.Socket = self.messages.get_monitor_socket(self._EVENTS)
        try:
            self.messages.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise RtelastoError(
                f"cannot connect to {endpoint!r} ({error.strerror}): "
                "give an endpoint such as tcp://127.0.0.1:5555"
            ) from error

    def read_event(self) -> str:
        """The next event: connected, disconnected or refused (no ZeroMQ there, or wrong key)."""
        event = recv_monitor_message(self.events)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return "connected"
        return "disconnected" if event == zmq.EVENT_DISCONNECTED else "refused"

    def close(self) -> None:
        """Disconnect. May be called twice."""
        if not self.messages.closed:
            self.messages.disable_monitor()
            self.events.close(0)
            self.messages.close(0)


class PublishingSocket:
    """A bound socket that sends to all subscribers, never blocks, and knows whether there are any.

    Not safe for use from two threads at once.

    Parameters
    ----------
    endpoint
        Where to bind; port 0 takes a free one (``endpoint`` then says which).
    send_hwm
        Messages kept for each subscriber that does not keep up; what exceeds them is lost to that
        subscriber, which sees it by ``seq``.
    linger_ms
        How long closing waits for what is still to be sent.

    Raises
    ------
    RtelastoError
        If ``endpoint`` is taken or is none.
    """

    def __init__(self, endpoint: str, *, send_hwm: int, linger_ms: int) -> None:
        _check_port(endpoint)
        self._context = zmq.Context()
        self._socket: zmq.Socket = self._context.socket(zmq.XPUB)
        _common(self._socket, linger_ms)
        self._socket.setsockopt(zmq.SNDHWM, send_hwm)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION_BYTES)
        self._topics: set[bytes] = set()
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self._socket.close(0)
            self._context.term()
            why = "the address is in use" if error.errno == zmq.EADDRINUSE else error.strerror
            raise RtelastoError(
                f"cannot bind {endpoint!r} ({why}): give a free endpoint such as "
                "tcp://127.0.0.1:5556, or stop the program that holds it"
            ) from error
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def subscribed(self, topic: bytes, timeout_s: float = 0.0) -> bool:
        """True if anybody subscribes to ``topic``, waiting up to ``timeout_s`` for it."""
        deadline = monotonic() + timeout_s
        self._read_subscriptions()
        while not self._heard(topic):
            left_ms = int((deadline - monotonic()) * 1e3)
            if left_ms <= 0:
                return False
            if self._socket.poll(left_ms):
                self._read_subscriptions()
        return True

    def send(self, parts: list[bytes | memoryview], *, copy: bool = True) -> bool:
        """Hand over a message; False if it was dropped. ``copy=False``: buffers must not change."""
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT, copy=copy)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Send what is left, for as long as ``linger_ms`` at most, and unbind."""
        if not self._socket.closed:
            self._socket.close()
            self._context.term()

    def _heard(self, topic: bytes) -> bool:
        return any(topic.startswith(prefix) for prefix in self._topics)

    def _read_subscriptions(self) -> None:
        # XPUB reports the first subscription to a prefix as 1 + prefix, the end of the last as
        # 0 + prefix. Bounded, so that a peer that subscribes in a loop cannot hold up a frame.
        for _ in range(_SUBSCRIPTIONS_PER_LOOK):
            try:
                message = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            if message[:1] == b"\x01":
                self._topics.add(message[1:])
            elif message[:1] == b"\x00":
                self._topics.discard(message[1:])
