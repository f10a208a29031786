"""Named counters that several threads may raise: what arrived, and every way data was lost."""

from __future__ import annotations

import threading
from time import monotonic


class Counters:
    """Named counters, each 0 until first raised. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Raise counter ``name`` by ``amount`` (which is not negative)."""
        if amount < 0:
            raise ValueError(f"counters only rise: {name} by {amount}")
        with self._changed:
            self._values[name] = self._values.get(name, 0) + amount
            self._changed.notify_all()

    def __getitem__(self, name: str) -> int:
        with self._changed:
            return self._values.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """A copy of all counters at one moment, in the order in which they were first raised."""
        with self._changed:
            return dict(self._values)

    def wait_for(self, name: str, at_least: int, timeout_s: float | None = None) -> bool:
        """Wait until counter ``name`` is ``at_least`` so high; False if not in ``timeout_s``."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        with self._changed:
            while self._values.get(name, 0) < at_least:
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0.0:
                    return False
                self._changed.wait(left)
        return True


def is_loss(counter: str) -> bool:
    """Whether a counter counts frames that did not become strain through some fault."""
    causes = (
        "malformed",
        "gaps",
        "lost_on_wire",
        "overflow",
        "repeated",
        "out_of_order",
        "rf_lines",
    )
    return counter.split(".")[0] in causes or counter.startswith(("frame.", "pair.decorrelated"))
