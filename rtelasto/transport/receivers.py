"""Receivers: RF frames for the pipeline, and strain frames for viewers and recorders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic_ns
from typing import Generic

import zmq

from rtelasto.closing import Closing
from rtelasto.frames.iq import ScannerFrame
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.sequence import Position, SequenceCheck
from rtelasto.transport.subscription import MAX_MESSAGE_BYTES, Item, Policy, Subscription
from rtelasto.wire.message import TOPIC_RF, TOPIC_STATUS, TOPIC_STRAIN
from rtelasto.wire.rf import RfMessage, decode_rf
from rtelasto.wire.strain import Status, StrainMessage, decode_status, decode_strain


class _Receiver(Closing, Generic[Item]):
    """Base of the receivers: yields items until it is closed."""

    counters: Counters
    _subscription: Subscription[Item]

    @property
    def endpoint(self) -> str:
        """The endpoint that it connects to."""
        return self._subscription.endpoint

    @property
    def queued(self) -> int:
        """Number of items that wait for `get`."""
        return self._subscription.queued

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Return the next item, or None if none came within ``timeout_s`` or the receiver was closed."""
        return self._subscription.get(timeout_s)

    def __iter__(self) -> Iterator[Item]:
        """Yield items as they arrive, until `close`."""
        return iter(self._subscription)

    def close(self) -> None:
        """Disconnect and end every wait for an item; may be called from any thread, more than once."""
        self._subscription.stop()


class _RfReceiver(_Receiver[Item]):
    """Base of the receivers of RF messages, which differ in what `_item_of` makes of a message."""

    def __init__(
        self,
        endpoint: str,
        *,
        policy: Policy = "latest",
        queue_frames: int | None = None,
        receive_hwm: int = 16,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        counters: Counters | None = None,
        keys: Path | None = None,
        position: Position | None = None,
        deliver: Callable[[Item], None] | None = None,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self._sequence = SequenceCheck(self.counters, position)
        self._subscription = Subscription(
            endpoint,
            (TOPIC_RF,),
            self._accept,
            self.counters,
            policy=policy,
            queue_items=queue_frames or (2 if policy == "latest" else 64),
            receive_hwm=receive_hwm,
            max_message_bytes=max_message_bytes,
            keys=keys,
            deliver=deliver,
        )

    def check(self) -> None:
        """Raise RuntimeError if the receiving thread has failed."""
        self._subscription.check()

    @abstractmethod
    def _item_of(self, message: RfMessage) -> Item:
        """Return what the receiver hands out for a message."""

    def _accept(self, parts: list[zmq.Frame]) -> Item | None:
        message = decode_rf(parts, received_ns=monotonic_ns())
        # One step, for the process that continues after this one died: either a message is counted, with
        # what was missing before it, and the position is after it, or it leaves no trace.
        with self.counters.together():
            self.counters.add("received")
            accepted = self._sequence.accept(message.stream, message.seq, message.frame_id)
        return self._item_of(message) if accepted else None


class Receiver(_RfReceiver[ScannerFrame]):
    """Frames from a sender, in acquisition order: RF lines, IQ pixels or channel data, as received.

    A sender may start later, pause, restart, change its format or send malformed messages. None of this
    ends the receiver, and all of it is counted.

    Parameters
    ----------
    endpoint
        Where the sender is bound.
    policy
        "latest", for live use, drops the oldest frame when the pipeline is behind (counted as
        ``overflow``); "every" keeps all frames and lets the sender's queue fill instead.
    queue_frames
        Frames kept for the pipeline: by default 2 for "latest" (one pair), 64 for "every". With a
        fixed lag of N frames, N + 1 let a pipeline that is behind still find pairs.
    receive_hwm
        Messages kept by ZeroMQ before the sender's queue fills. With fewer, its thread stops and restarts
        for every few messages, which would be the main cost of a flood of small ones.
    max_message_bytes
        A sender of a larger part is disconnected.
    counters
        Where to count; by default its own.
    keys
        Key folder (`rtelasto.transport.keys`); without one ``endpoint`` must be on this machine.
    position
        The last position of another receiver of the same sender; this one continues from there.
    deliver
        Called on the receiving thread with each frame, in place of the queue; it must not block. `get`
        then returns nothing, and `check` raises if the thread has failed.

    Notes
    -----
    Counters: ``received`` (well-formed RF messages), those of `SequenceCheck` and those of
    `Subscription`. ``received`` = frames handed out + ``overflow`` + ``unread`` + ``repeated`` +
    ``out_of_order`` + what is in the queue now.
    """

    def _item_of(self, message: RfMessage) -> ScannerFrame:
        return message.frame


class RfMessageReceiver(_RfReceiver[RfMessage]):
    """The messages of the frames that a `Receiver` gives, with their headers; its parameters are the same."""

    def _item_of(self, message: RfMessage) -> RfMessage:
        return message


class StrainReceiver(_Receiver[StrainMessage]):
    """Strain frames from a pipeline; ``status`` is the newest status message, or None.

    Parameters as for `Receiver`. Counters: ``received``, ``statuses``, those of `SequenceCheck`
    (without ``gaps``: ``lost_on_wire`` counts what was lost) and those of `Subscription`.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        policy: Policy = "latest",
        queue_frames: int | None = None,
        receive_hwm: int = 4,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        counters: Counters | None = None,
        keys: Path | None = None,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self.status: Status | None = None
        self._sequence = SequenceCheck(self.counters)
        self._subscription = Subscription(
            endpoint,
            (TOPIC_STRAIN, TOPIC_STATUS),
            self._accept,
            self.counters,
            policy=policy,
            queue_items=queue_frames or (1 if policy == "latest" else 64),
            receive_hwm=receive_hwm,
            max_message_bytes=max_message_bytes,
            keys=keys,
        )

    def _accept(self, parts: list[zmq.Frame]) -> StrainMessage | None:
        if parts[0].buffer == TOPIC_STATUS:
            self.status = decode_status(parts)
            self.counters.add("statuses")
            return None
        message = decode_strain(parts)
        # Pairs may share or skip frames, so only the pipeline's own count shows what is missing.
        accepted = self._sequence.accept(message.stream, message.seq, message.seq)
        self.counters.add("received")
        return message if accepted else None
