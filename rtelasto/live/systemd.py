"""Notifications to systemd from a service of ``Type=notify``: sd_notify(3), without its library."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

_BUSY_S = 0.5


class ServiceManager:
    """Reports the state of this process to its service manager; does nothing where there is none.

    The environment gives the socket, ``NOTIFY_SOCKET``, and the watchdog's time limit, ``WATCHDOG_USEC``.
    Both are removed from it, so that no child process reports in our name.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        watchdog_us = os.environ.pop("WATCHDOG_USEC", "")
        # Twice within the time limit of the watchdog, as sd_watchdog_enabled(3) recommends.
        self._period_s = int(watchdog_us) / 2e6 if watchdog_us.isdecimal() else 0.0
        self._due_s = 0.0
        self._started = False

    def ready(self, status: str) -> None:
        """Report that the start is complete; from now on the watchdog may be notified."""
        self.tell("READY=1", f"STATUS={status}")
        self._started = True

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``; a manager that has exited or is busy misses them."""
        if not self._address:
            return
        # A leading @ denotes Linux' abstract namespace.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(_BUSY_S)
            manager.sendto("\n".join(assignments).encode(), address)

    def all_is_well(self) -> None:
        """Notify the watchdog, no more often than it needs."""
        now = time.monotonic()
        if self._started and self._period_s and now >= self._due_s:
            self._due_s = now + self._period_s
            self.tell("WATCHDOG=1")
