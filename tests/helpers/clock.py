"""A clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Says ``now``, in s, whenever it is asked."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
