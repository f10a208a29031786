"""What systemd is told about a service of ``Type=notify``: sd_notify(3), without its library."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

_BUSY_S = 0.5


class ServiceManager:
    """Tells whoever started this process how it is doing; does nothing where nobody asked for it.

    The environment says where to: ``NOTIFY_SOCKET``, and ``WATCHDOG_USEC`` how often it wants to hear that
    all is well. Both are taken out of it, so that no child answers in our name.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        watchdog_us = os.environ.pop("WATCHDOG_USEC", "")
        # Twice in the time after which it would restart us, as sd_watchdog_enabled(3) recommends.
        self._period_s = int(watchdog_us) / 2e6 if watchdog_us.isdecimal() else 0.0
        self._due_s = 0.0
        self._started = False

    def ready(self, status: str) -> None:
        """The start is over; from now on its watchdog may be fed."""
        self.tell("READY=1", f"STATUS={status}")
        self._started = True

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``; a manager that is gone, or busy for long, misses them."""
        if not self._address:
            return
        # A leading @ stands for the abstract namespace of Linux.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(_BUSY_S)
            manager.sendto("\n".join(assignments).encode(), address)

    def all_is_well(self) -> None:
        """Feed its watchdog, as often as it wants."""
        now = time.monotonic()
        if self._started and self._period_s and now >= self._due_s:
            self._due_s = now + self._period_s
            self.tell("WATCHDOG=1")
