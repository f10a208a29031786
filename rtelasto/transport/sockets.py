"""The sockets of rtelasto and their options. No other module opens one.

The options set here decide who may connect, how soon a dead peer is detected and how many messages may
be queued.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import monotonic

import zmq
from zmq.utils.monitor import recv_monitor_message

from rtelasto.errors import RtelastoError
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.allow_list import DOMAIN, AllowList
from rtelasto.transport.endpoints import UNSHARED, host_of, is_local
from rtelasto.transport.keys import KeyFolder
from rtelasto.wire.message import TOPIC_RF, TOPIC_STATUS, TOPIC_STRAIN

# A machine that has sent nothing for KEEPALIVE_IDLE_S gets one keep-alive probe; if it does not answer within
# KEEPALIVE_INTERVAL_S, the connection is opened again. TCP sends the probe, not ZeroMQ: ZeroMQ's heartbeats
# abort the whole process (libzmq 4.3.5: "Assertion failed: !_io_error", "_input_stopped") when a connection
# is lost while its queue is full, as after a process was stopped for a while (libzmq issues 3937, 4364 and
# 4767).
KEEPALIVE_IDLE_S = 1
KEEPALIVE_INTERVAL_S = 1
# A subscriber that has taken nothing for this long, stopped or gone, is disconnected; its queue is dropped.
UNTAKEN_MS = 30_000
RECONNECT_IVL_MS = 50
CONNECT_TIMEOUT_MS = 1000
HANDSHAKE_IVL_MS = 3000

# A subscriber sends only topics to a publisher; anything longer is not a subscription.
_MAX_SUBSCRIPTION_BYTES = 1024
# Subscriptions read per frame; unread ones accumulate in ZeroMQ. At 20 frames/s this reads 40,000 a second,
# in 1 or 2 ms per frame.
_SUBSCRIPTIONS_PER_LOOK = 2048
_TOPICS = (TOPIC_RF, TOPIC_STRAIN, TOPIC_STATUS)


def _check_port(endpoint: str) -> None:
    """Raise RtelastoError for a port out of range: libzmq would use it modulo 65536."""
    port = endpoint.rpartition(":")[2]
    if endpoint.startswith("tcp://") and port.isdecimal() and int(port) > 65535:
        raise RtelastoError(f"endpoint {endpoint!r} names port {port}: ports end at 65535")


def _keys_for(endpoint: str, folder: Path | None, open_to_whom: str) -> KeyFolder | None:
    """The keys to use at ``endpoint``; None where it may stay unencrypted.

    With a key folder, all TCP connections use it, loopback included; ipc is protected by the permissions of
    its file. Without one, nothing may be sent to or received from another machine. Other transports of
    ZeroMQ (multicast, for example) are refused because they do not support keys.
    """
    if endpoint.startswith(UNSHARED):
        return None
    if not all(host_of(endpoint)):
        raise RtelastoError(
            f"{endpoint!r} is no endpoint: give one such as tcp://127.0.0.1:5555 or ipc:///run/user/1000/rf"
        )
    if folder is not None:
        return KeyFolder.open(folder)
    if not is_local(endpoint):
        raise RtelastoError(
            f"{endpoint!r} without keys {open_to_whom}: make keys with `rtelasto keys FOLDER` and give "
            "--keys FOLDER, or stay on tcp://127.0.0.1 (docs/security.md)"
        )
    return None


def _common(socket: zmq.Socket, endpoint: str, linger_ms: int) -> None:
    socket.setsockopt(zmq.LINGER, linger_ms)
    # Without it libzmq accepts no IPv6 address; with it, 0.0.0.0 would include every IPv6 address.
    socket.setsockopt(zmq.IPV6, int(":" in host_of(endpoint)[0]))
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_IVL_MS)


class SubscribingSocket:
    """A SUB socket that connects to an endpoint, and the events of its connection.

    Poll ``messages`` for messages and ``events`` for `read_event`; the events show whether there is a
    publisher. ``keys`` is a folder of `rtelasto.transport.keys`.

    Raises
    ------
    RtelastoError
        If ZeroMQ cannot connect to ``endpoint``, or it is on another machine and there are no keys.
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
        keys: Path | None = None,
    ) -> None:
        _check_port(endpoint)
        # Errors in the keys are raised before there is a socket to close.
        own = _keys_for(endpoint, keys, "could receive data from any machine")
        server_key = None if own is None else own.server_key(endpoint)
        self._keyed = own is not None
        self.messages: zmq.Socket = context.socket(zmq.SUB)
        self.events: zmq.Socket | None = None
        try:
            _common(self.messages, endpoint, linger_ms=0)
            self.messages.setsockopt(zmq.RCVHWM, receive_hwm)
            self.messages.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
            self.messages.setsockopt(zmq.RECONNECT_IVL, RECONNECT_IVL_MS)
            self.messages.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
            if own is not None:
                self.messages.setsockopt(zmq.CURVE_PUBLICKEY, own.public)
                self.messages.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
                self.messages.setsockopt(zmq.CURVE_SERVERKEY, server_key)
            for topic in topics:
                self.messages.subscribe(topic)
            # Before connecting: earlier events would be lost.
            self.events = self.messages.get_monitor_socket(self._EVENTS)
            try:
                self.messages.connect(endpoint)
            except zmq.ZMQError as error:
                raise RtelastoError(
                    f"cannot connect to {endpoint!r} ({error.strerror}): "
                    "give an endpoint such as tcp://127.0.0.1:5555"
                ) from error
        except BaseException:
            # A socket that stays open would block the end of the context for ever.
            self.close()
            raise

    def read_event(self) -> tuple[str, str]:
        """Return the next event (connected, disconnected or refused) and its details."""
        assert self.events is not None, "there are events only while it is open"
        event = recv_monitor_message(self.events)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return "connected", "with keys" if self._keyed else ""
        if event == zmq.EVENT_DISCONNECTED:
            return "disconnected", ""
        return "refused", self._why_refused(event)

    def _why_refused(self, event: int) -> str:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return "this machine's key is not allowed there: `rtelasto keys FOLDER --allow` on that side"
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            return "only one of the two sides uses keys, or the other is not ZeroMQ"
        if self._keyed:
            return (
                "the other side does not have the key that is expected of it: `rtelasto keys FOLDER "
                "--server HOST FILE` with its own.key"
            )
        return "it ended the handshake: the other side uses keys, or is not ZeroMQ"

    def close(self) -> None:
        """Disconnect. May be called twice."""
        if not self.messages.closed:
            if self.events is not None:
                self.messages.disable_monitor()
                self.events.close(0)
            self.messages.close(0)


def check_subscription(endpoint: str, keys: Path | None = None) -> None:
    """Raise RtelastoError if no `SubscribingSocket` can be made for ``endpoint`` with the key folder."""
    with zmq.Context() as context:
        SubscribingSocket(
            context, endpoint, (), receive_hwm=1, max_message_bytes=1, keys=keys
        ).close()


class PublishingSocket:
    """A bound socket that sends to all subscribers, never blocks, and knows whether there are any.

    Not safe for use from two threads at once.

    Parameters
    ----------
    endpoint
        Where to bind. Port 0 takes a free port; ``endpoint`` then holds it.
    send_hwm
        Messages kept for each subscriber that does not keep up. It loses the messages beyond them, which
        it detects by ``seq``.
    linger_ms
        How long closing waits for messages that are still to be sent.
    keys
        Key folder: only holders of a key in it may connect over TCP, and messages to them are encrypted.
    counters
        Where ``clients_allowed`` and ``clients_refused`` are counted, by connection.

    Raises
    ------
    RtelastoError
        If ``endpoint`` is in use, is invalid, or other machines can reach it and there are no keys.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        send_hwm: int,
        linger_ms: int,
        keys: Path | None = None,
        counters: Counters | None = None,
    ) -> None:
        _check_port(endpoint)
        own = _keys_for(endpoint, keys, "would be open to every machine that reaches it")
        self._topics: set[bytes] = set()
        self._allow_list: AllowList | None = None
        self._context = zmq.Context()
        self._socket: zmq.Socket = self._context.socket(zmq.XPUB)
        try:
            _common(self._socket, endpoint, linger_ms)
            self._socket.setsockopt(zmq.SNDHWM, send_hwm)
            self._socket.setsockopt(zmq.TCP_MAXRT, UNTAKEN_MS)
            self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION_BYTES)
            if own is not None:
                self._allow_list = self._guard(own, counters)
            try:
                self._socket.bind(endpoint)
            except zmq.ZMQError as error:
                why = "the address is in use" if error.errno == zmq.EADDRINUSE else error.strerror
                raise RtelastoError(
                    f"cannot bind {endpoint!r} ({why}): give a free endpoint such as "
                    "tcp://127.0.0.1:5556, or stop the program that holds it"
                ) from error
        except BaseException:
            self._socket.close(0)
            self._close_context()
            raise
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def subscribed(self, topic: bytes, timeout_s: float = 0.0) -> bool:
        """Return whether there is a subscriber to ``topic``; wait up to ``timeout_s`` for one."""
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
        """Queue a message; False if it was dropped. With ``copy=False``, its buffers must not change."""
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT, copy=copy)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Send the remaining messages, for at most ``linger_ms``, and unbind."""
        if not self._socket.closed:
            self._socket.close()
            self._close_context()

    def _guard(self, own: KeyFolder, counters: Counters | None) -> AllowList:
        """Encrypt, and accept only clients that ``own`` allows."""
        self._socket.setsockopt(zmq.CURVE_SERVER, 1)
        self._socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public)
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
        # With a domain, ZeroMQ asks the allow-list about every client. With ZAP_ENFORCE_DOMAIN it also
        # refuses all clients if no list answers, instead of accepting every client that can encrypt. Builds
        # without it rely on the list, which keeps its socket open as long as the publisher's.
        self._socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
        with suppress(zmq.ZMQError):
            self._socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

        def count(allowed: bool) -> None:
            if counters is not None:
                counters.add("clients_allowed" if allowed else "clients_refused")

        return AllowList(self._context, own, count)

    def _close_context(self) -> None:
        if self._allow_list is not None:
            self._allow_list.close()
        self._context.term()

    def _heard(self, topic: bytes) -> bool:
        return any(topic.startswith(prefix) for prefix in self._topics)

    def _read_subscriptions(self) -> None:
        # XPUB reports the first subscription to a prefix as 1 + prefix, and the end of the last as
        # 0 + prefix. Bounded, so that a peer that subscribes in a loop cannot delay a frame.
        for _ in range(_SUBSCRIPTIONS_PER_LOOK):
            try:
                message = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            if not any(topic.startswith(message[1:]) for topic in _TOPICS):
                continue  # matches no topic of ours, and there may be any number of them
            if message[:1] == b"\x01":
                self._topics.add(message[1:])
            elif message[:1] == b"\x00":
                self._topics.discard(message[1:])
