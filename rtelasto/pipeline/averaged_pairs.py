"""What is in the average: how many pairs and presses, over how many seconds, and how old."""

from __future__ import annotations

import math

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import PersistenceState

# Pairs with a smaller share of the heaviest weight, and presses with a smaller share of all, are not counted.
_COUNTED = 0.02
_MOST_PAIRS = 512


# A pair in the average: its time, its present weight, and its press.
_PAIR = np.dtype([("post_s", np.float64), ("weight", np.float64), ("press", np.int64)])


def check_persistence_s(persistence_s: float) -> None:
    """Raise RtelastoError unless ``persistence_s`` is a valid time constant, or 0."""
    if not (persistence_s == 0.0 or 0.05 <= persistence_s <= 60.0):
        raise RtelastoError(
            f"persistence_s must lie in 0.05…60 s, or be 0 for none, got {persistence_s:g}"
        )


class AveragedPairs:
    """The pairs in the average with their present weights."""

    def __init__(self) -> None:
        self._pairs = np.empty(0, _PAIR)
        self._press = 0
        self._pressing = False

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def newest_s(self) -> float:
        """When the newest pair was acquired; there must be one."""
        return float(self._pairs["post_s"][-1])

    def add(self, weight: float, applied_strain: float, forget: float, post_s: float) -> None:
        """Add a pair; the weights of those before it are multiplied by ``forget``."""
        pressing = applied_strain < 0.0
        if not self._press or (pressing and not self._pressing):
            self._press += 1
        self._pressing = pressing
        self._pairs["weight"] *= forget
        newest = np.array([(post_s, weight, self._press)], _PAIR)
        pairs = np.concatenate([self._pairs[1 - _MOST_PAIRS :], newest])
        counted = pairs["weight"] >= _COUNTED * pairs["weight"].max()
        self._pairs = pairs[counted.argmax() :]

    def clear(self) -> None:
        """Remove the pairs; the next one belongs to the same press or to a new one, as before."""
        self._pairs = self._pairs[:0]

    def state(self, now_s: float) -> PersistenceState:
        """Return the counts that a viewer shows."""
        if not len(self):
            return PersistenceState(0.0, 0, 0, math.nan)
        weights, presses = self._pairs["weight"], self._pairs["press"]
        by_press = np.bincount(presses - presses[0], weights)
        return PersistenceState(
            seconds=self.newest_s - float(self._pairs["post_s"][0]),
            frames=round(float(weights.sum() ** 2 / (weights**2).sum())),
            presses=int((by_press > _COUNTED * weights.sum()).sum()),
            age_s=max(0.0, now_s - self.newest_s),
        )
