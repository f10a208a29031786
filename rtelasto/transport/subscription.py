"""A subscription read on its own thread, with a bounded queue and a prompt stop."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Generic, Literal, TypeVar

import zmq

from rtelasto.telemetry.counters import Counters
from rtelasto.telemetry.logs import RateLimit, more
from rtelasto.transport.flood_limit import MOST_MALFORMED_PER_S, FloodLimit
from rtelasto.transport.sockets import RECONNECT_IVL_MS, SubscribingSocket
from rtelasto.wire.message import MAX_PARTS, WireFault

Item = TypeVar("Item")
Policy = Literal["latest", "every"]

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# Messages to read in one go before the thread checks for a stop.
_BATCH = 64
# A refused subscriber tries again after RECONNECT_IVL_MS, then after twice that, up to this limit: strain has
# to flow within a second after a sender appears.
_REFUSED_IVL_MS = 400
_TOO_MANY = (
    f"over {MOST_MALFORMED_PER_S} bad ones in this second, and not of the size of a good one"
)
# get() wakes up this often while it waits without limit, so that Ctrl-C works on Windows too.
_WAKE_S = 0.5

log = logging.getLogger(__name__)


class Subscription(Generic[Item]):
    """Reads messages on its own thread and returns them in order.

    Parameters
    ----------
    endpoint, topics
        Where to connect and what to subscribe to.
    accept
        Called on the reading thread with each message's parts; returns the item for the consumer, or
        None. A WireFault that it raises is counted as ``malformed.<cause>`` and logged, one line
        per cause in ten seconds. Beyond the limit of `FloodLimit`, messages are counted as
        ``malformed.rate`` without being decoded.
    counters
        Where to count; see below.
    policy
        "latest": when the consumer is behind, the newest item replaces the oldest in the queue, which
        is counted as ``overflow``. "every": nothing is read from the socket while the queue is
        full, so that the sender's queues fill, and what the sender then drops appears as a gap.
    queue_items
        Items kept for the consumer.
    receive_hwm
        Messages kept by ZeroMQ.
    deliver
        Called on the reading thread with each item, in place of the queue. The callee then owns the items,
        and `get` returns none. It must not block.
    max_message_bytes
        A sender of a part larger than this is disconnected.
    keys
        Key folder (`rtelasto.transport.keys`); without one ``endpoint`` must be on this machine.

    Notes
    -----
    Counters: ``overflow``, ``unread`` (items in the queue when stopped), ``malformed.<cause>``,
    ``connected``, ``disconnected``, ``refused``.
    """

    def __init__(
        self,
        endpoint: str,
        topics: tuple[bytes, ...],
        accept: Callable[[list[zmq.Frame]], Item | None],
        counters: Counters,
        *,
        policy: Policy,
        queue_items: int,
        receive_hwm: int,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        keys: Path | None = None,
        deliver: Callable[[Item], None] | None = None,
    ) -> None:
        if queue_items < 1:
            raise ValueError(f"queue_items must be at least 1, got {queue_items}")
        self.endpoint = endpoint
        self._accept = accept
        self._deliver = deliver
        self._counters = counters
        self._policy = policy
        self._queue_items = queue_items
        self._queue: deque[Item] = deque()
        self._changed = threading.Condition()
        self._stop_lock = threading.Lock()
        self._stopping = False
        self._failure: BaseException | None = None
        self._log_limit = RateLimit()
        self._flood = FloodLimit()
        self._context = zmq.Context()
        self._open = partial(
            SubscribingSocket,
            self._context,
            endpoint,
            topics,
            receive_hwm=receive_hwm,
            max_message_bytes=max_message_bytes,
            keys=keys,
        )
        try:
            self._socket = self._open()
            self._wake = self._context.socket(zmq.PAIR)
            self._wake.bind("inproc://stop")
            self._waker = self._context.socket(zmq.PAIR)
            self._waker.connect("inproc://stop")
        except BaseException:
            self._context.destroy(0)
            raise
        self._thread = threading.Thread(
            target=self._run, name=f"subscription {endpoint}", daemon=True
        )
        self._thread.start()

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Return the next item, or None if none came within ``timeout_s`` or after `stop`."""
        with self._changed:
            if timeout_s is None:
                while not self._changed.wait_for(self._has_news, _WAKE_S):
                    pass
            else:
                self._changed.wait_for(self._has_news, timeout_s)
            self.check()
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._changed.notify_all()
            return item

    def check(self) -> None:
        """Raise RuntimeError if the reading thread has failed."""
        if self._failure is not None:
            raise RuntimeError(f"reading from {self.endpoint} failed") from self._failure

    @property
    def queued(self) -> int:
        """Number of items in the queue."""
        return len(self._queue)

    def __iter__(self) -> Iterator[Item]:
        """Yield items until the subscription is stopped."""
        while (item := self.get()) is not None:
            yield item

    def stop(self) -> None:
        """Disconnect, end the thread and every wait in `get`; may be called more than once."""
        with self._stop_lock:
            if self._waker.closed:
                return
            with self._changed:
                self._stopping = True
                if self._queue:
                    self._counters.add("unread", len(self._queue))
                    self._queue.clear()
                self._changed.notify_all()
            with suppress(zmq.Again):  # the thread may have seen _stopping and ended already
                self._waker.send(b"", zmq.DONTWAIT)
            self._thread.join()
            self._waker.close(0)
            self._context.term()

    def _has_news(self) -> bool:
        return bool(self._queue) or self._stopping or self._failure is not None

    def _has_room(self) -> bool:
        return self._policy == "latest" or len(self._queue) < self._queue_items or self._stopping

    def _run(self) -> None:
        try:
            wait_ms = RECONNECT_IVL_MS
            while (ended := self._read_until_disconnected()) != "stopped":
                self._socket.close()
                # After a refusal, retry less and less often: a person may have to allow this key first.
                wait_ms = (
                    min(2 * wait_ms, _REFUSED_IVL_MS) if ended == "refused" else RECONNECT_IVL_MS
                )
                if self._wake.poll(wait_ms):
                    return
                self._socket = self._open()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._socket.close()
            self._wake.close(0)

    def _read_until_disconnected(self) -> Literal["disconnected", "refused", "stopped"]:
        """Read on one socket until its connection is lost or refused, or until `stop`.

        libzmq gives up an endpoint for good after a peer has broken the protocol or sent a message
        that is too large (libzmq issue 4196), and does not report whether it will try again. Hence a
        new socket after every lost connection.
        """
        refused = False
        poller = zmq.Poller()
        for socket in (self._wake, self._socket.events, self._socket.messages):
            poller.register(socket, zmq.POLLIN)
        while True:
            with self._changed:
                self._changed.wait_for(self._has_room)
                if self._stopping:
                    return "stopped"
            ready = dict(poller.poll())
            if self._socket.messages in ready:
                self._drain()
            if self._socket.events in ready:
                event, detail = self._socket.read_event()
                self._note(event, detail)
                refused = refused or event == "refused"
                if event == "disconnected":
                    return "refused" if refused else "disconnected"

    def _drain(self) -> None:
        """Read all waiting messages before delivering any, so that the consumer does not get the oldest."""
        batch: deque[Item] = deque()
        limit = _BATCH
        if self._policy == "every":
            with self._changed:
                limit = self._queue_items - len(self._queue)
        for _ in range(limit):
            try:
                parts = self._receive()
            except zmq.Again:
                break
            if not self._flood.admits(parts):
                self._note_malformed("rate", _TOO_MANY)
                continue
            try:
                item = self._accept(parts)
            except WireFault as fault:
                self._flood.malformed()
                self._note_malformed(fault.cause, fault)
                continue
            if item is not None:
                self._flood.well_formed(parts)
                if self._deliver is not None:
                    self._deliver(item)
                    continue
                batch.append(item)
                if self._policy == "latest" and len(batch) > self._queue_items:
                    batch.popleft()
                    self._counters.add("overflow")
        if not batch:
            return
        with self._changed:
            if self._stopping:
                self._counters.add("unread", len(batch))
                return
            self._queue.extend(batch)
            while len(self._queue) > self._queue_items:
                self._queue.popleft()
                self._counters.add("overflow")
            self._changed.notify_all()

    def _receive(self) -> list[zmq.Frame]:
        """Read one message; keep only as many parts as show that there are too many."""
        frame = self._socket.messages.recv(zmq.DONTWAIT, copy=False)
        parts = [frame]
        while frame.more:
            frame = self._socket.messages.recv(copy=False)
            if len(parts) <= MAX_PARTS:
                parts.append(frame)
        return parts

    def _note_malformed(self, cause: str, what: object) -> None:
        name = f"malformed.{cause}"
        self._counters.add(name)
        # Checked here and not only in the log handler: a flood must not cost one log record per message.
        held = self._log_limit.take(name)
        if held is not None:
            log.warning(
                "dropped a message from %s: %s; counted as %s%s",
                self.endpoint,
                what,
                name,
                more(held),
                extra={"cause": (self.endpoint, name), "fields": {"counter": name}},
            )

    def _note(self, event: str, detail: str) -> None:
        self._counters.add(event)
        text = f"{event}: {detail}" if detail else event
        held = self._log_limit.take(text)
        if held is not None:
            log.log(
                logging.WARNING if event == "refused" else logging.INFO,
                "%s %s%s",
                self.endpoint,
                text,
                more(held),
                extra={"cause": (self.endpoint, text), "fields": {"counter": event}},
            )
