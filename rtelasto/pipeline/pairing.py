"""Chooses the two frames of a pair: the newest, and the one whose strain to it is nearest to the target.

At 100 frames/s and freehand palpation neighbouring frames differ by about 0.05 % strain, too little to
see against the noise; frames further apart strain more but decorrelate. The adaptive policy predicts from
the pairs so far how much the tissue has been compressed between each of the recent frames and the newest.
Where the prediction is unsure, it looks at two or three candidates. Consecutive pairs and a fixed lag are
provided for comparison.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rtelasto.cpu.stretching.elongation import ElongationFit
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.press_track import frame_times, predict_positions
from rtelasto.pipeline.recent_frames import RecentFrame, RecentFrames
from rtelasto.telemetry.counters import Counters

# Most candidates to look at before the engine runs.
_MAX_LOOKS = 3
# Look at another candidate only if it comes nearer to the target by this fraction of it.
_LEAST_GAIN = 0.15
# Of two candidates with equal strain the nearer one is chosen: reaching back as far as possible costs as much
# as missing the target by this fraction of it.
_COST_OF_REACH = 0.02
# Converting channel data or IQ takes about as long as the engine, so a frame that was converted for an
# earlier pair is preferred: converting another costs as much as missing the target by this fraction of it.
_COST_OF_CONVERSION = 0.15
TRACKED_CORRELATION = 0.4
"""Block correlation below which a candidate is too far away: unrelated frames reach 0.2."""
# If a look is not free: the prediction is trusted if its last error was below this fraction of the target,
# and it is based on at least this many frames.
_TRUSTED_ERROR = 0.25
_TRUSTED_FRAMES = 3


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


class _Looks:
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
            self._seen[id(old)] = self._look(_pair_of(old, self._newest))
        return self._seen[id(old)]

    def tracks(self, old: RecentFrame) -> bool:
        return self.at(old).tracks


class Pairing:
    """Finds partners for frames of a ring.

    Counts into ``counters``: ``pair.first`` (frames without a partner in the ring: the first of a stream,
    and with a fixed lag those whose partner is missing), ``partner_only`` (frames that were a partner but
    never the newer frame of a pair), ``pair.decorrelated`` (pairs that :meth:`observe` refused).

    Parameters
    ----------
    policy
        How to pair.
    counters
        Where to count.
    recent
        The ring; by default a new one.
    usable
        Turns a frame of the ring into RF lines, once, and returns whether it holds an image.
    look
        Takes a quick look at a pair, some milliseconds long, before the engine runs; without it, partners are
        chosen by the prediction alone.
    look_is_free
        The engine reuses the look at its pair, so that only further candidates cost time.
    """

    def __init__(
        self,
        policy: PairPolicy,
        counters: Counters | None = None,
        *,
        recent: RecentFrames | None = None,
        usable: Callable[[RecentFrame], bool] | None = None,
        look: Callable[[FramePair], Look] | None = None,
        look_is_free: bool = True,
    ) -> None:
        self.policy = policy
        self.counters = counters if counters is not None else Counters()
        self.recent = recent if recent is not None else policy.recent_frames(self.counters)
        self.scene = 0
        """Increases when the newest frames cannot be followed back to those before them."""
        self._usable = usable or _use_unchanged
        self._look = look
        self._look_is_free = look_is_free
        self._barrier: RecentFrame | None = None
        self._last_error = math.inf
        self._refused = False
        self._chosen: deque[tuple[RecentFrame, RecentFrame, float]] = deque(maxlen=8)

    def push(self, frame: ScannerFrame) -> FramePair | None:
        """Add a frame to the ring and pair it."""
        self.recent.add(frame)
        newest = self.recent.take_newest()
        return self.pair(newest) if newest is not None and self._usable(newest) else None

    def pair(self, newest: RecentFrame) -> FramePair | None:
        """Return the pair of a usable frame of the ring with its best partner, if any."""
        earlier = self.recent.before(newest)
        if self.policy.lag is None:
            partner = self._best(newest, earlier)
        else:
            wanted = newest.acquisition - self.policy.lag
            partner = next(
                (old for old in earlier if old.acquisition == wanted and self._usable(old)), None
            )
        if partner is None:
            if not earlier:
                self.scene += 1
            self.counters.add("pair.first")
            return None
        self.recent.count_partner(partner)
        return _pair_of(partner, newest)

    def observe(self, pair: FramePair, strain: StrainFrame) -> bool:
        """Learn from the strain of a pair; return False if the adaptive policy refuses the pair."""
        if self.policy.lag is not None:
            return True
        chosen = None
        while self._chosen and chosen is None:
            pre, post, predicted = self._chosen.popleft()
            if post.lines is pair.post:
                chosen = pre, post, predicted
        if not strain.quality >= self.policy.min_quality:
            self.counters.add("pair.decorrelated")
            if chosen is not None:
                # Too far apart to track: use nearer frames, and reach further again frame by frame.
                between = self.recent.before(chosen[1])
                nearer = [old for old in between if old.acquisition > chosen[0].acquisition]
                self._barrier = nearer[len(nearer) // 2] if nearer else chosen[0]
                chosen[1].position = math.nan
            self._last_error = math.inf
            self._refused = True
            return False
        if chosen is not None and math.isfinite(strain.applied_strain):
            pre, post, predicted = chosen
            post.position = pre.position + strain.applied_strain
            self._last_error = abs(post.position - predicted)
            self._refused = False
        return True

    def _best(self, newest: RecentFrame, earlier: list[RecentFrame]) -> RecentFrame | None:
        """Return the partner whose strain is nearest to the target; set the positions of both."""
        candidates = self._within_reach(newest, earlier)
        if not candidates:
            return None
        frames = [*reversed(candidates), newest]
        times, in_s = frame_times(frames)
        if not any(math.isfinite(old.position) for old in candidates):
            candidates[0].position = 0.0
        positions = np.array([frame.position for frame in frames[:-1]] + [math.nan])
        known = np.flatnonzero(np.isfinite(positions))
        predicted = predict_positions(times, positions)
        here = float(predicted[-1])
        target = self.policy.target_strain
        reach = self.policy.max_lag_s if in_s else float(self.policy.max_lag)
        penalty = _COST_OF_REACH * target / reach * (times[-1] - times[:-1])
        penalty += _COST_OF_CONVERSION * target * np.array([not f.converted for f in frames[:-1]])
        left = np.ones(len(candidates), bool)
        best, best_miss, best_strain = -1, math.inf, math.nan
        looks = self._looks(newest, known.size)
        while left.any():
            miss = np.where(left, abs(abs(here - predicted[:-1]) - target) + penalty, math.inf)
            k = int(np.argmin(miss))
            if best >= 0 and not miss[k] < best_miss - _LEAST_GAIN * target:
                break
            left[k] = False
            if not self._usable(frames[k]):
                continue
            if looks is None:
                best, best_strain = k, here - float(predicted[k])
                break
            seen = looks.at(frames[k])
            if seen.tracks:
                here = float(predicted[k]) + seen.applied_strain
                found = abs(abs(seen.applied_strain) - target) + penalty[k]
                if found < best_miss:
                    best, best_miss, best_strain = k, float(found), seen.applied_strain
            else:
                # Too far apart: keep only nearer candidates, at most half as far away.
                left &= times[:-1] >= 0.5 * (times[k] + times[-1])
            if looks.count >= _MAX_LOOKS:
                break
        if best < 0:
            best = self._nearest_usable(frames)
            if best < 0:
                return None
            best_strain = math.nan
        if looks is not None and best > known[-1] and (looks.failed or self._refused):
            follows = self._usable(frames[known[-1]]) and looks.tracks(frames[known[-1]])
            if not follows:
                self._begin_scene(frames[best], candidates)
                predicted[best] = 0.0
        partner = frames[best]
        partner.position = float(predicted[best])
        newest.position = partner.position + best_strain
        self._chosen.append((partner, newest, float(predicted[-1])))
        return partner

    def _nearest_usable(self, frames: Sequence[RecentFrame]) -> int:
        """Return the index of the nearest frame that holds an image; −1 if there is none."""
        nearest = (k for k in range(len(frames) - 2, -1, -1) if self._usable(frames[k]))
        return next(nearest, -1)

    def _begin_scene(self, first: RecentFrame, candidates: Sequence[RecentFrame]) -> None:
        """Begin a new scene: no measurement so far connects to the frames from ``first`` on."""
        self.scene += 1
        self._barrier = first
        for old in candidates:
            old.position = math.nan

    def _looks(self, newest: RecentFrame, n_known: int) -> _Looks | None:
        """Return looks at candidates if they are free or the prediction is unsure, else None."""
        if self._look is None:
            return None
        wrong = self._last_error > _TRUSTED_ERROR * self.policy.target_strain
        if self._look_is_free or wrong or n_known < _TRUSTED_FRAMES:
            return _Looks(self._look, newest)
        return None

    def _within_reach(self, newest: RecentFrame, earlier: list[RecentFrame]) -> list[RecentFrame]:
        """Return candidates, the nearest first: not before the barrier, and within the policy's reach."""
        reach_ns = 1e9 * self.policy.max_lag_s
        within: list[RecentFrame] = []
        for old in earlier:
            near = not within or newest.acquired_ns - old.acquired_ns <= reach_ns
            if not near or newest.acquisition - old.acquisition > self.policy.max_lag:
                break
            if old.usable is not False:
                within.append(old)
            if old is self._barrier:
                break
        return within


def _use_unchanged(recent: RecentFrame) -> bool:
    assert isinstance(recent.scanned, RfFrame)
    recent.lines, recent.usable = recent.scanned, True
    return True


def _pair_of(pre: RecentFrame, post: RecentFrame) -> FramePair:
    assert pre.lines is not None
    assert post.lines is not None
    return FramePair(pre.lines, post.lines, post.acquisition - pre.acquisition)
