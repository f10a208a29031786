"""What is in the average: how many pairs and presses, over how many seconds, and how old."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import PersistenceState

# Pairs with a smaller share of the heaviest weight, and presses with a smaller share of all, are not counted.
_COUNTED = 0.02
_MOST_PAIRS = 512


@dataclass(slots=True)
class _Entered:
    """A pair in the average: its time, its present weight, and its press."""

    post_s: float
    weight: float
    press: int


def check_persistence_s(persistence_s: float) -> None:
    """Raise RtelastoError unless ``persistence_s`` is a valid time constant, or 0."""
    if not (persistence_s == 0.0 or 0.05 <= persistence_s <= 60.0):
        raise RtelastoError(
            f"persistence_s must lie in 0.05…60 s, or be 0 for none, got {persistence_s:g}"
        )


class AveragedPairs:
    """The pairs in the average with their present weights."""

    def __init__(self) -> None:
        self._entered: deque[_Entered] = deque(maxlen=_MOST_PAIRS)
        self._press = 0
        self._pressing = False

    def __len__(self) -> int:
        return len(self._entered)

    @property
    def newest_s(self) -> float:
        """When the newest pair was acquired; there must be one."""
        return self._entered[-1].post_s

    def add(self, weight: float, applied_strain: float, forget: float, post_s: float) -> None:
        """Add a pair; the weights of those before it are multiplied by ``forget``."""
        pressing = applied_strain < 0.0
        if not self._press or (pressing and not self._pressing):
            self._press += 1
        self._pressing = pressing
        for entered in self._entered:
            entered.weight *= forget
        self._entered.append(_Entered(post_s, weight, self._press))
        heaviest = max(entered.weight for entered in self._entered)
        while self._entered[0].weight < _COUNTED * heaviest:
            self._entered.popleft()

    def clear(self) -> None:
        """Remove the pairs; the next one belongs to the same press or to a new one, as before."""
        self._entered.clear()

    def state(self, now_s: float) -> PersistenceState:
        """Return the counts that a viewer shows."""
        if not self._entered:
            return PersistenceState(0.0, 0, 0, math.nan)
        weights = np.array([entered.weight for entered in self._entered])
        by_press = np.bincount([entered.press for entered in self._entered], weights)
        return PersistenceState(
            seconds=self.newest_s - self._entered[0].post_s,
            frames=round(float(weights.sum() ** 2 / (weights**2).sum())),
            presses=int((by_press > _COUNTED * weights.sum()).sum()),
            age_s=max(0.0, now_s - self.newest_s),
        )
