"""A link between two TCP ports that can be cut, held, delayed and throttled.

It replaces a cable, a switch or a wireless bridge. A cut closes every connection and refuses new ones; a hold
keeps them open and forwards nothing, like a cable that was pulled.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress

from rtelasto.closing import Closing

_CHUNK = 65536
_LOOK_S = 0.02


class Link(Closing):
    """Forwards connections from its own port to ``target``; the attributes may be set at any time.

    Attributes
    ----------
    endpoint
        Endpoint of the link, for the client.
    held
        Keep connections and forward nothing.
    delay_s
        Delay of all data, in both directions.
    bytes_per_s
        Rate limit towards the client; None is no limit.
    """

    def __init__(self, target: str) -> None:
        self._target = ("127.0.0.1", int(target.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK_S)
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.held = False
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self._cut = False
        self._closing = False
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Close every connection and refuse new ones until `mend`."""
        self._cut = True
        with self._lock:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Undo everything."""
        self._cut = self.held = False
        self.delay_s, self.bytes_per_s = 0.0, None

    def close(self) -> None:
        """Close the link. May be called twice."""
        self._closing = True
        self.cut()
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            near.settimeout(None)
            try:
                if self._cut:
                    raise ConnectionRefusedError
                far = socket.create_connection(self._target, timeout=1.0)
                far.settimeout(None)
                # Large kernel buffers would hide the effect of the link.
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._ends |= {near, far}
            for source, target, throttled in ((near, far, False), (far, near, True)):
                threading.Thread(
                    target=self._forward, args=(source, target, throttled), daemon=True
                ).start()

    def _forward(self, source: socket.socket, target: socket.socket, throttled: bool) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        with suppress(OSError, ValueError):  # closed in between
            while True:
                if self.held:
                    time.sleep(_LOOK_S)
                    continue
                # Data in transit fills the link: nothing more is accepted meanwhile.
                if len(waiting) < 1024 and (data := self._read(source)) is not None:
                    if not data:
                        break
                    waiting.append((time.monotonic() + self.delay_s, data))
                while waiting and waiting[0][0] <= time.monotonic() and not self.held:
                    data = waiting.popleft()[1]
                    target.sendall(data)
                    if throttled and self.bytes_per_s:
                        time.sleep(len(data) / self.bytes_per_s)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._ends -= {source, target}
        source.close()

    def _read(self, source: socket.socket) -> bytes | None:
        """Return received data: empty at the end of the connection, None if nothing came for a moment."""
        # A socket timeout would also apply to the other direction, which writes to this socket.
        ready, _, _ = select.select([source], [], [], _LOOK_S)
        return source.recv(_CHUNK) if ready else None
