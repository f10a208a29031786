"""Where the tissue was at the times of recent frames, relative to where the average is stored."""

from __future__ import annotations

from collections import deque

import numpy as np

from rtelasto.cpu.averaging.measurement import Measurement
from rtelasto.cpu.pattern_average import TissuePosition

_MOST_POSITIONS = 256


class TissueTrack:
    """Adds up the motion that pairs measured."""

    def __init__(self) -> None:
        self._positions: deque[TissuePosition] = deque(maxlen=_MOST_POSITIONS)

    def follow(
        self, pair: Measurement, pre_s: float, post_s: float
    ) -> tuple[TissuePosition, TissuePosition]:
        """Return the positions at the times of both frames of a pair, and keep the second."""
        before = self._at(pre_s, pair)
        after = TissuePosition(
            post_s, before.axial_m + pair.motion_m, before.lateral_m + pair.lateral_m
        )
        self._positions.append(after)
        return before, after

    def start_at(self, start: TissuePosition) -> None:
        """Express all positions relative to ``start``."""
        moved = [
            TissuePosition(p.time_s, p.axial_m - start.axial_m, p.lateral_m - start.lateral_m)
            for p in self._positions
        ]
        self._positions = deque(moved, maxlen=_MOST_POSITIONS)

    def _at(self, time_s: float, pair: Measurement) -> TissuePosition:
        """Return the tissue's position at a time, interpolated between the pairs so far."""
        known = self._positions
        if not known:
            first = TissuePosition(time_s, np.zeros_like(pair.motion_m), 0.0)
            known.append(first)
            return first
        later = next((p for p in known if p.time_s >= time_s), known[-1])
        earlier = next((p for p in reversed(known) if p.time_s <= time_s), known[0])
        span_s = later.time_s - earlier.time_s
        if span_s <= 0.0:
            return TissuePosition(time_s, earlier.axial_m, earlier.lateral_m)
        share = (time_s - earlier.time_s) / span_s
        return TissuePosition(
            time_s,
            earlier.axial_m + np.float32(share) * (later.axial_m - earlier.axial_m),
            earlier.lateral_m + share * (later.lateral_m - earlier.lateral_m),
        )
