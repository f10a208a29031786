"""Publishes strain frames and the pipeline's status to all subscribers, and waits for none."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from time import monotonic_ns

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.strain import StrainFrame
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.publishing import Publisher
from rtelasto.wire.message import TOPIC_STATUS, TOPIC_STRAIN, Part
from rtelasto.wire.strain import Status, encode_status, encode_strain


class StrainPublisher(Publisher):
    """Sends strain frames and the pipeline's status to all subscribers. May be used from several threads.

    Parameters
    ----------
    endpoint
        Where to bind. Port 0 takes a free port; `endpoint` then holds it.
    clock
        The clock of ``acquired_ns`` for frames that do not name one themselves.
    send_hwm
        Messages kept for each subscriber that does not keep up. It loses the messages beyond them, which
        it detects by ``seq``; neither the pipeline nor other subscribers are delayed.
    counters
        Where to count; by default its own.
    keys
        Key folder (`rtelasto.transport.keys`); without one ``endpoint`` must be on this machine.

    Raises
    ------
    RtelastoError
        If ``endpoint`` is in use, is invalid, or is open to other machines without keys.

    Notes
    -----
    Counters: ``published``, ``unheard`` (frames without a subscriber, which are not encoded),
    ``publish_dropped`` (refused by ZeroMQ); with keys ``clients_allowed`` and ``clients_refused``.
    """

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:5556",
        *,
        clock: str = "unknown",
        send_hwm: int = 8,
        counters: Counters | None = None,
        keys: Path | None = None,
    ) -> None:
        super().__init__(
            TOPIC_STRAIN,
            endpoint,
            clock=clock,
            send_hwm=send_hwm,
            linger_s=0.25,
            keys=keys,
            counters=counters,
        )
        self._lock = threading.Lock()
        self._statuses = 0

    def write(
        self,
        frame: StrainFrame,
        arrays: Mapping[str, tuple[NDArray[np.generic], str]] | None = None,
    ) -> None:
        """Publish a frame, stamped with the time of this call; never blocks.

        The images are sent without a copy, so they must not be changed afterwards. ``arrays`` holds
        further images by name with their unit, see `encode_strain`.
        """
        with self._lock:
            seq, self._seq = self._seq, self._seq + 1
            if not self._socket.subscribed(TOPIC_STRAIN):
                self.counters.add("unheard")
                return
            stamped = frame.replace(published_ns=monotonic_ns())
            clock = self.clock if frame.clock == "unknown" else frame.clock
            parts = encode_strain(stamped, stream=self.stream, seq=seq, clock=clock, arrays=arrays)
            self._send(parts, "published")

    def write_status(
        self,
        rates: Mapping[str, float],
        counters: Mapping[str, int],
        info: Mapping[str, str] | None = None,
    ) -> None:
        """Publish the state of the pipeline: rates per second, counters so far, and texts on it."""
        with self._lock:
            status = Status(
                self.stream, self._statuses, monotonic_ns(), rates, counters, info or {}
            )
            self._statuses += 1
            if self._socket.subscribed(TOPIC_STATUS):
                self._send(encode_status(status), "statuses_published")

    def wait_for_subscriber(self, timeout_s: float) -> bool:
        """Wait for a subscriber to strain; False if there is none after ``timeout_s``.

        Intended for use before the first frame: `write` blocks meanwhile.
        """
        with self._lock:
            return super().wait_for_subscriber(timeout_s)

    def close(self) -> None:
        """Unbind; subscribers that keep up still receive what was written. May be called twice."""
        with self._lock:
            super().close()

    def _send(self, parts: list[Part], counter: str) -> None:
        sent = self._socket.send(parts, copy=False)
        self.counters.add(counter if sent else "publish_dropped")
