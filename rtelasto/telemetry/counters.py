"""Named counters that several threads may raise: what arrived, and every way data was lost.

Frames are conserved. Of a live run, whenever nothing is on its way through it::

    received = strain.out                                       became strain
             + repeated + out_of_order                          not new
             + partner_only                                     only ever the older frame of pairs
             + overflow + unread                                never used, or not any more at the end
             + frame.* + rf_lines.*                             held no image
             + pair.first                                       had no partner
             + pair.decorrelated                                had one too far away
             + worker.lost                                      died with the process that had them

and of a sender, up to its newest message that was received, where nothing is repeated or reordered on the
way (a message that arrives malformed is lost on the wire, too)::

    sent = received + lost_on_wire + missed_at_join

`unaccounted` is the first law as a number; `losses` says for people what was lost, each frame
once. What else is counted (``pair.reset.*``, ``gaps``, ``published``,
``worker.restarts``, …) says why, or counts something other than frames that arrived.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from time import monotonic

from rtelasto.frames.stamp import MAX_COUNT

# What becomes of a frame that was received; those that end in a dot stand for all that begin so.
_FATES = (
    "strain.out",
    "repeated",
    "out_of_order",
    "partner_only",
    "overflow",
    "unread",
    "frame.",
    "rf_lines.",
    "pair.first",
    "pair.decorrelated",
    "worker.lost",
)


class Counters:
    """Named counters, each 0 until first raised. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: MutableMapping[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Raise counter ``name`` by ``amount`` (which is not negative), to `MAX_COUNT` at most.

        What a sender says of itself raises counters too: two jumps of its sequence numbers can add up to
        more than the wire format and the memory shared with the worker hold.
        """
        if amount < 0:
            raise ValueError(f"counters only rise: {name} by {amount}")
        with self._changed:
            self._values[name] = min(self._values.get(name, 0) + amount, MAX_COUNT)
            self._changed.notify_all()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes in the block visible at once, at its end. Must not be nested."""
        with self._changed:
            yield

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


# Frames that did arrive and did not become strain, apart from those without a partner.
_DROPPED = (
    "overflow",
    "repeated",
    "out_of_order",
    "frame.",
    "rf_lines.",
    "pair.decorrelated",
    "worker.lost",
)


def losses(counters: Mapping[str, int]) -> dict[str, int]:
    """Frames that did not become strain through some fault, each under one cause; causes of none
    are left out.

    What arrived is under the counter that says what became of it, and so are messages that were malformed.
    What did not arrive is ``lost_on_wire`` (the sender counted it) or ``not_sent`` (only the scanner did).
    The counters of `rtelasto.transport.sequence` overlap, since a hole shows in ``seq`` and in
    ``frame_id``, and a
    message that is malformed or late leaves a hole behind it too: what is counted elsewhere is
    taken off here.
    """
    found = {
        name: count
        for name, count in counters.items()
        if count and (_is_one_of(name, _DROPPED) or name.startswith("malformed."))
    }
    explained = sum(n for name, n in found.items() if name.startswith("malformed."))
    explained += counters.get("out_of_order", 0)
    missing = counters.get("lost_on_wire", 0)
    rest = {
        "lost_on_wire": missing - explained,
        "not_sent": counters.get("gaps", 0) - missing,
    }
    return found | {name: count for name, count in rest.items() if count > 0}


def _is_one_of(name: str, names: Iterable[str]) -> bool:
    """Whether ``name`` is among ``names``, of which those that end in a dot stand for all that begin so."""
    return any(name == other or (other[-1] == "." and name.startswith(other)) for other in names)


def unaccounted(counters: Mapping[str, int]) -> int:
    """Frames that were received and of which no counter says what became of them.

    In a live run, those in progress; 0 once it has stopped. The law is at the top of this module.
    """
    known = sum(count for name, count in counters.items() if _is_one_of(name, _FATES))
    return counters.get("received", 0) - known
