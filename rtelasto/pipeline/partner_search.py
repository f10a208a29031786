"""Searches recent frames for the partner of the newest: the one whose strain to it is nearest to the target.

The strain to each frame is predicted. If that is uncertain, quick looks measure it for some of them, each
where the partner may be, until no other frame can be much better than the best one found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.stretching.elongation import ElongationFit
from rtelasto.frames.rf import FramePair
from rtelasto.pipeline.press_track import PressTrack
from rtelasto.pipeline.recent_frames import RecentFrame

TRACKED_CORRELATION = 0.4
"""Block correlation below which a candidate is too far away: unrelated frames reach 0.2."""
# Most candidates to look at before the engine runs.
_MAX_LOOKS = 4
# Look at another candidate only if it may come nearer to the target by this fraction of it.
_LEAST_GAIN = 0.15
# A candidate that may reach the target within its doubt is preferred to one that is predicted nearer to it,
# but cannot; of those that may, the one that is predicted nearest.
_WEIGHT_OF_PREDICTION = 0.3


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a quick look at a pair: its applied strain, and the remaining correlation (0…1)."""

    applied_strain: float
    correlation: float

    @classmethod
    def of(cls, fit: ElongationFit) -> Look:
        """Return what the global elongation of a pair says."""
        return cls(fit.elongation.axial_slope, fit.correlation)

    @property
    def tracks(self) -> bool:
        """Whether the frames are near enough for their strain to be known."""
        return self.correlation >= TRACKED_CORRELATION


class Looks:
    """Looks at the candidates of one frame: takes each look once, counts them, and notes failures."""

    def __init__(self, look: Callable[[FramePair], Look], newest: RecentFrame) -> None:
        self._look = look
        self._newest = newest
        self._seen: dict[int, Look] = {}

    @property
    def count(self) -> int:
        return len(self._seen)

    @property
    def failed(self) -> bool:
        return any(not seen.tracks for seen in self._seen.values())

    def at(self, old: RecentFrame) -> Look:
        if id(old) not in self._seen:
            self._seen[id(old)] = self._look(pair_of(old, self._newest))
        return self._seen[id(old)]

    def tracks(self, old: RecentFrame) -> bool:
        return self.at(old).tracks


def search_partner(
    frames: Sequence[RecentFrame],
    track: PressTrack,
    looks: Looks | None,
    *,
    target_strain: float,
    penalty: NDArray[np.float64],
    usable: Callable[[RecentFrame], bool],
) -> int | None:
    """Return the index of the best partner of the last of ``frames``; None if none was found.

    Parameters
    ----------
    frames
        Candidates in acquisition order, then the newest frame.
    track
        The strain to the newest frame; it receives what looks measure.
    looks
        Looks at the candidates; with None the prediction alone decides.
    target_strain, penalty
        The strain to come near to, and what each candidate costs besides, in units of strain.
    usable
        Whether a frame holds an image.
    """
    left = np.ones(len(frames), bool)
    left[-1] = False
    best, best_miss = None, math.inf
    while left.any():
        miss = np.abs(np.abs(track.strain) - target_strain)
        hope = np.maximum(0.0, miss - track.doubt) + penalty
        rank = np.where(left, hope + _WEIGHT_OF_PREDICTION * miss, math.inf)
        k = int(np.argmin(rank))
        if best is not None and not hope[k] < best_miss - _LEAST_GAIN * target_strain:
            break
        left[k] = False
        if not usable(frames[k]):
            continue
        if looks is None:
            return k
        seen = looks.at(frames[k])
        if seen.tracks:
            track.measure(k, seen.applied_strain)
            found = abs(abs(seen.applied_strain) - target_strain) + float(penalty[k])
            if found < best_miss:
                best, best_miss = k, found
        else:
            # Too far apart: keep only nearer candidates, at most half as far away.
            left &= track.times_s >= 0.5 * track.times_s[k]
        if looks.count >= _MAX_LOOKS:
            break
    return best


def pair_of(pre: RecentFrame, post: RecentFrame) -> FramePair:
    """Return the pair of two frames that hold an image."""
    assert pre.lines is not None
    assert post.lines is not None
    return FramePair(pre.lines, post.lines, post.acquisition - pre.acquisition)
