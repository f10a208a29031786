"""Latencies of the frames so far, and their summary for users."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Percentiles of a set of times, in ms; all NaN if the set is empty."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, times_ns: ArrayLike) -> LatencySummary:
        """Summarise times in ns."""
        times_ms = np.asarray(times_ns, np.float64) / 1e6
        if not times_ms.size:
            return cls(0, *[np.nan] * 5)
        percentiles = np.percentile(times_ms, (50, 90, 99, 99.9, 100))
        return cls(times_ms.size, *(float(value) for value in percentiles))

    def __str__(self) -> str:
        if not self.count:
            return "none measured"
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, max {self.max_ms:.1f} ms"


class Latencies:
    """Keeps the newest ``capacity`` times, so that memory stays constant however long a run is."""

    def __init__(self, capacity: int = 100_000) -> None:
        # Write all of it once, so that its memory is allocated from the start: zeros arrive page by page.
        self._times_ns = np.full(capacity, -1, np.int64)
        self._count = 0

    def add(self, time_ns: int) -> None:
        self._times_ns[self._count % self._times_ns.size] = time_ns
        self._count += 1

    def summary(self, newest: int | None = None) -> LatencySummary:
        """Summarise the ``newest`` times, or all that are kept; ``count`` is the number of all so far."""
        kept = min(self._count, self._times_ns.size)
        wanted = kept if newest is None else min(newest, kept)
        places = np.arange(self._count - wanted, self._count) % self._times_ns.size
        return replace(LatencySummary.of(self._times_ns[places]), count=self._count)
