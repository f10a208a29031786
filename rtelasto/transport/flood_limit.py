"""Bounds the work that malformed messages cause: after a number of them in a second, only messages of the
size of a good one are decoded.

Malformed messages arrive at the same socket as good frames, so their number alone cannot decide which to
drop. Good frames of one scan have the same size, and comparing a size costs a hundredth of reading a header.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence, Sized
from typing import Final

MOST_MALFORMED_PER_S: Final = 1000


class FloodLimit:
    """Decides which messages to decode, given how many of those before were malformed.

    Parameters
    ----------
    most_per_s
        Malformed messages to decode within a second.
    clock
        Returns the time in s.

    Notes
    -----
    A frame of a new size, after a change of the scan, passes only if it comes early in one of the next
    seconds. Before the first good message, every message is decoded. Not for use from two threads at once.
    """

    def __init__(
        self,
        most_per_s: int = MOST_MALFORMED_PER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_per_s = most_per_s
        self._clock = clock
        self._good_bytes: int | None = None
        # Malformed messages within the second that began at _begun_s.
        self._malformed = 0
        self._begun_s = -math.inf

    def admits(self, parts: Sequence[Sized]) -> bool:
        """Whether to decode a message."""
        if self._malformed < self._most_per_s or self._good_bytes is None:
            return True
        if self._clock() >= self._begun_s + 1.0:
            self._malformed = 0
            return True
        return len(parts[-1]) == self._good_bytes

    def well_formed(self, parts: Sequence[Sized]) -> None:
        """Record a well-formed frame by the size of its last part."""
        self._good_bytes = len(parts[-1])

    def malformed(self) -> None:
        """Count a malformed message."""
        now_s = self._clock()
        if now_s >= self._begun_s + 1.0:
            self._begun_s, self._malformed = now_s, 0
        self._malformed += 1
