"""The web application: static files of the page, and a WebSocket that sends frames to it."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from rtelasto.outputs.viewer.access import refusal
from rtelasto.outputs.viewer.hub import Credit, Hub
from rtelasto.telemetry.counters import Counters

STATUS_PERIOD_S = 1.0
_GOING_AWAY = 1001
_REFUSED = 1008
_BAD_MESSAGE = 1003
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)

log = logging.getLogger(__name__)


def make_app(
    *,
    hub: Callable[[], Hub],
    status: Callable[[], str],
    counters: Counters,
    token: str | None,
    loopback: bool,
    lifespan: Lifespan[Starlette],
) -> ASGIApp:
    """Build the application.

    Parameters
    ----------
    hub
        Returns the source of frames; called only after ``lifespan`` has begun.
    status
        Returns the text message that is sent once a second.
    counters
        Counts ``pages`` (connections made), ``pages_refused`` and ``frames_sent``.
    token, loopback
        As for `refusal`.
    lifespan
        Runs around the application on its event loop.
    """

    def refused(connection: HTTPConnection) -> str:
        given = connection.query_params.get("token", "")
        return refusal(connection.headers, given, token=token, loopback=loopback)

    async def access(request: Request) -> PlainTextResponse:
        # A browser does not give a page the reason for a refused WebSocket; the page asks here.
        why = refused(request)
        return PlainTextResponse(why, 403 if why else 200)

    async def feed(socket: WebSocket) -> None:
        why = refused(socket)
        if why:
            counters.add("pages_refused")
            # The other side chooses the origin: log a short piece of it, and one line per cause.
            log.warning(
                "refused a page from %.80r: %s",
                socket.headers.get("origin"),
                why,
                extra={"cause": ("page", why)},
            )
            await socket.close(_REFUSED)
            return
        await socket.accept()
        counters.add("pages")
        await Page(socket, hub(), status, counters).serve()

    app = Starlette(
        routes=[
            WebSocketRoute("/stream", feed),
            Route("/access", access),
            Mount("/", StaticFiles(directory=Path(__file__).parent / "static", html=True)),
        ],
        lifespan=lifespan,
    )
    return _with_headers(app)


class Page:
    """One connected page: frames for its credits, a status every second, until either side disconnects."""

    def __init__(
        self, socket: WebSocket, hub: Hub, status: Callable[[], str], counters: Counters
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._status = status
        self._counters = counters
        # More than one credit at a time has no effect.
        self._credits: asyncio.Queue[Credit] = asyncio.Queue(maxsize=1)

    async def serve(self) -> None:
        jobs = [
            asyncio.create_task(job())
            for job in (self._read_credits, self._send_frames, self._send_status)
        ]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                try:
                    job.result()
                except WebSocketDisconnect:
                    pass
                except RuntimeError:
                    # Of two tasks that send to a closed page, the second gets another exception.
                    if self._socket.application_state is not WebSocketState.DISCONNECTED:
                        raise
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _read_credits(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            page_ms = _clock_of(message.get("text"))
            if not math.isfinite(page_ms):
                await self._socket.close(_BAD_MESSAGE)
                return
            with suppress(asyncio.QueueFull):
                self._credits.put_nowait(Credit(page_ms, time.monotonic_ns()))

    async def _send_frames(self) -> None:
        number = -1
        while True:
            credit = await self._credits.get()
            frame = await self._hub.newer_than(number)
            if frame is None:
                await self._socket.close(_GOING_AWAY)
                return
            number = frame.number
            await self._socket.send_bytes(frame.packed(credit))
            self._counters.add("frames_sent")

    async def _send_status(self) -> None:
        while True:
            await self._socket.send_text(self._status())
            await asyncio.sleep(STATUS_PERIOD_S)


def _clock_of(text: str | None) -> float:
    """Return the page's clock in a credit, ms; NaN for anything else: bytes, other JSON, no JSON at all."""
    if text is None:
        return math.nan
    try:
        return float(json.loads(text)["now_ms"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return math.nan


def _with_headers(app: ASGIApp) -> ASGIApp:
    """Add security headers to every HTTP response."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers if scope["type"] == "http" else send)

    return wrapped
