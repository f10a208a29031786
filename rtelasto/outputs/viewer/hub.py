"""Hands the newest strain frame to every page that has asked for one.

A page sends a credit when it has drawn a frame. For a credit it gets the newest frame that it has not
had yet, at once or as soon as there is one. So at most one frame is on its way to a page. A slow page
gets fewer frames, never older ones, and does not slow down other pages or the pipeline.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from rtelasto.outputs.viewer.page_message import pack_frame, pack_images
from rtelasto.wire.strain import StrainMessage


class LiveFrame:
    """A strain frame as pages get it, its age counted from ``begun_ns``; packed on the first request."""

    def __init__(self, message: StrainMessage, number: int, begun_ns: int) -> None:
        self.number = number
        self._begun_ns = begun_ns
        self._message = message
        self._packed: tuple[dict[str, object], bytes] | None = None

    def packed(self, credit: Credit) -> bytes:
        """Return the message for the page that sent ``credit``, with the frame's present age."""
        if self._packed is None:
            self._packed = pack_images(self._message)
        header, images = self._packed
        now_ns = time.monotonic_ns()
        timing = {
            "age_ms": (now_ns - self._begun_ns) / 1e6,
            "credit_ms": credit.page_ms,
            "held_ms": (now_ns - credit.arrived_ns) / 1e6,
        }
        return pack_frame(header | timing, images)


@dataclass(frozen=True, slots=True)
class Credit:
    """A page's request: the page's clock when it sent the request, and ours when it arrived."""

    page_ms: float
    arrived_ns: int


class Hub:
    """The newest frame, and the pages that wait for it, on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._newest: LiveFrame | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    def publish(self, message: StrainMessage, begun_ns: int) -> None:
        """Take the newest frame, which ages since ``begun_ns`` (our monotonic clock); from any thread."""
        self._loop.call_soon_threadsafe(self._take, message, begun_ns)

    def close(self) -> None:
        """Release all waiting pages; from any thread, while the loop runs or after."""
        self._closed = True
        # Once the loop has ended, no page waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    async def newer_than(self, number: int) -> LiveFrame | None:
        """Return the newest frame as soon as its number is above ``number``; None once closed."""
        while not self._closed:
            if self._newest is not None and self._newest.number > number:
                return self._newest
            news = self._loop.create_future()
            self._waiting.add(news)
            try:
                await news
            finally:
                self._waiting.discard(news)
        return None

    def _take(self, message: StrainMessage, begun_ns: int) -> None:
        number = 0 if self._newest is None else self._newest.number + 1
        self._newest = LiveFrame(message, number, begun_ns)
        self._wake()

    def _wake(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)
