"""The viewer's server: receives strain on one thread, serves the page on another."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.outputs.viewer.app import make_app
from rtelasto.outputs.viewer.hub import Hub
from rtelasto.outputs.viewer.page_message import pack_status
from rtelasto.outputs.viewer.settings import ViewSettings
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.clock_offset import StrainAges
from rtelasto.transport.endpoints import in_url, listen
from rtelasto.transport.receivers import StrainReceiver

_START_S = 10.0
_STOP_S = 1
_CLOSE_S = 0.4
# A page that does not answer for this long is disconnected.
_PING_S = 5.0


class ViewServer(Closing):
    """Serves the viewer from its creation until it is closed.

    Parameters
    ----------
    settings
        Address to bind, and who may connect.

    Attributes
    ----------
    address
        URL to open in a browser, with the token if there is one; ``ready`` is a line with it.
    counters
        Those of `StrainReceiver`, plus ``pages``, ``pages_refused``, ``frames_sent``.

    Raises
    ------
    RtelastoError
        If the address cannot be bound or the strain endpoint is invalid.
    """

    def __init__(self, settings: ViewSettings) -> None:
        self.counters = Counters()
        token = settings.token
        if token is None and not settings.is_loopback:
            token = secrets.token_urlsafe(16)
        self._socket = listen("the viewer", settings.host, settings.port)
        port = self._socket.getsockname()[1]
        self.address = _address(settings.host, port, token)
        self.ready = f"viewer at {self.address}"
        try:
            self._receiver = StrainReceiver(
                settings.strain, counters=self.counters, keys=settings.keys
            )
        except BaseException:
            self._socket.close()
            raise
        self._hub: Hub | None = None
        self._started = threading.Event()
        app = make_app(
            hub=self._get_hub,
            status=lambda: pack_status(
                self._receiver.status, self.counters.snapshot(), settings.stale_ms
            ),
            counters=self.counters,
            token=token,
            loopback=settings.is_loopback,
            lifespan=self._run_hub,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                log_level="warning",
                lifespan="on",
                # Without a limit uvicorn waits forever for open WebSockets.
                timeout_graceful_shutdown=_STOP_S,
                ws_ping_interval=_PING_S,
                ws_ping_timeout=_PING_S,
                ws_max_size=4096,
                # Images of speckle hardly compress, and deflate would take longer than everything else.
                ws_per_message_deflate=False,
            )
        )
        self._serving = threading.Thread(target=self._serve, name="viewer", daemon=True)
        self._serving.start()
        if not self._started.wait(_START_S):
            self.close()
            raise RtelastoError(f"the viewer did not start within {_START_S:.0f} s")

    def close(self) -> None:
        """Disconnect every page and stop. May be called twice."""
        self._receiver.close()
        if self._hub is not None:
            self._hub.close()
        self._server.should_exit = True
        self._serving.join(_CLOSE_S)
        # A page that hangs does not answer the close message, and uvicorn would keep waiting for it.
        self._server.force_exit = True
        self._serving.join(_STOP_S)
        self._socket.close()

    def report(self) -> dict[str, int]:
        """Return the counters."""
        return self.counters.snapshot()

    def _serve(self) -> None:
        try:
            self._server.run([self._socket])
        except SystemExit as error:
            # uvicorn raises this if it cannot start; in a thread it would pass unnoticed.
            raise RuntimeError("the viewer's server could not start") from error
        if not self._server.should_exit:
            raise RuntimeError("the viewer's server exited unexpectedly")

    def _get_hub(self) -> Hub:
        assert self._hub is not None, "pages are served only within the lifespan"
        return self._hub

    @asynccontextmanager
    async def _run_hub(self, app: Starlette) -> AsyncIterator[None]:
        self._hub = hub = Hub(asyncio.get_running_loop())
        feeder = threading.Thread(target=self._feed, args=(hub,), name="viewer feed", daemon=True)
        feeder.start()
        self._started.set()
        yield
        self._receiver.close()
        feeder.join(_STOP_S)

    def _feed(self, hub: Hub) -> None:
        ages = StrainAges(self._receiver.endpoint)
        for message in self._receiver:
            hub.publish(message, ages.begun_ns(message, time.monotonic_ns()))


def _address(host: str, port: int, token: str | None) -> str:
    if host in ("", "0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{in_url(host)}:{port}/" + (f"?token={quote(token)}" if token else "")
