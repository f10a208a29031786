"""Named counters, shared by threads: what arrived, and every way in which data were lost.

Frames are conserved. In a live run, whenever no frame is in progress::

    received = strain.out                                       became strain
             + repeated + out_of_order                          not new
             + partner_only                                     only ever the older frame of pairs
             + overflow + unread                                never used, or not any more at the end
             + frame.* + rf_lines.*                             held no image
             + pair.first                                       had no partner
             + pair.decorrelated                                had a partner too far away
             + worker.lost                                      lost with the process that held them

For a sender, up to its newest message that was received, if nothing is repeated or reordered on the
way (a message that arrives malformed counts as lost on the wire, too)::

    sent = received + lost_on_wire + missed_at_join

`unaccounted` is the difference of the two sides of the first law; `losses` lists what was lost, each frame
once. All other counters (``pair.reset.*``, ``gaps``, ``published``, ``worker.restarts``, …) give reasons, or
count something other than frames that arrived.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from time import monotonic

from rtelasto.frames.stamp import MAX_COUNT

# Outcomes of a frame that was received; a name that ends in a dot stands for all names that begin with it.
_OUTCOMES = (
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
    """Named counters, each 0 until it is first increased. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: MutableMapping[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Increase counter ``name`` by ``amount`` (which is not negative), to `MAX_COUNT` at most.

        Values from a sender increase counters too: two jumps of its sequence numbers can add up to more
        than the wire format and the memory shared with the worker can hold.
        """
        if amount < 0:
            raise ValueError(f"counters only rise: {name} by {amount}")
        with self._changed:
            self._values[name] = min(self._values.get(name, 0) + amount, MAX_COUNT)
            self._changed.notify_all()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes in the block visible at once, when it ends. Must not be nested."""
        with self._changed:
            yield

    def __getitem__(self, name: str) -> int:
        with self._changed:
            return self._values.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """Return a copy of all counters at one moment, in the order in which they were first increased."""
        with self._changed:
            return dict(self._values)

    def wait_for(self, name: str, at_least: int, timeout_s: float | None = None) -> bool:
        """Wait until counter ``name`` is at least ``at_least``; return False after ``timeout_s``."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        with self._changed:
            while self._values.get(name, 0) < at_least:
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0.0:
                    return False
                self._changed.wait(left)
        return True


# Outcomes of frames that arrived and did not become strain, except those without a partner.
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
    """Return the frames that did not become strain because of a fault, each under one cause, without causes
    that count 0.

    Frames that arrived are under the counter of their outcome, and so are malformed messages. Frames that
    did not arrive are ``lost_on_wire`` (the sender counted them) or ``not_sent`` (only the scanner did).
    The counters of `rtelasto.transport.sequence` overlap, because a hole shows in ``seq`` and in
    ``frame_id``, and a malformed or late message leaves a hole too. What another counter already holds
    is subtracted here.
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
    """Whether ``name`` is among ``names``; a name that ends in a dot stands for all that begin with it."""
    return any(name == other or (other[-1] == "." and name.startswith(other)) for other in names)


def unaccounted(counters: Mapping[str, int]) -> int:
    """Return the number of frames that were received and have no outcome in any counter.

    In a live run these are the frames in progress; 0 once it has stopped. See the law at the top of this
    module.
    """
    known = sum(count for name, count in counters.items() if _is_one_of(name, _OUTCOMES))
    return counters.get("received", 0) - known
