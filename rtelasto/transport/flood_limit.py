"""What bounds the work that rubbish makes: after so many malformed messages in a second only those that are
as large as good ones are still looked into.

Rubbish comes out of the same socket as good frames, so that it cannot be shut out by its number alone. Good
frames of one scan are equally large, and to compare a size costs a hundredth of reading a header.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence, Sized
from typing import Final

MOST_MALFORMED_PER_S: Final = 1000


class RubbishLimit:
    """Which messages are worth looking into, given what came of those before.

    Parameters
    ----------
    most_per_s
        Malformed messages that are looked into within a second.
    clock
        In s.

    Notes
    -----
    The first frame of another size, because the scan was changed, has to come early in one of the next
    seconds. Before the first good one everything is looked into. Not for use from two threads at once.
    """

    def __init__(
        self,
        most_per_s: int = MOST_MALFORMED_PER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_per_s = most_per_s
        self._clock = clock
        self._good_bytes: int | None = None
        # How many there were in the second that began then.
        self._malformed = 0
        self._begun_s = -math.inf

    def admits(self, parts: Sequence[Sized]) -> bool:
        """Whether to look into a message."""
        if self._malformed < self._most_per_s or self._good_bytes is None:
            return True
        if self._clock() >= self._begun_s + 1.0:
            self._malformed = 0
            return True
        return len(parts[-1]) == self._good_bytes

    def well_formed(self, parts: Sequence[Sized]) -> None:
        """Take note of a frame that was good; its last part is the one whose size tells."""
        self._good_bytes = len(parts[-1])

    def malformed(self) -> None:
        """Take note of a message that was not."""
        now_s = self._clock()
        if now_s >= self._begun_s + 1.0:
            self._begun_s, self._malformed = now_s, 0
        self._malformed += 1
