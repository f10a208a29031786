"""Chooses the two frames of a pair: the newest, and the one whose strain to it is nearest to the target.

At 100 frames/s and freehand palpation neighbouring frames differ by about 0.05 % strain, too little to
see against the noise; frames further apart strain more but decorrelate. The adaptive policy predicts from
the pairs so far how much the tissue has been compressed between each of the recent frames and the newest.
Where the prediction is unsure, it looks at some of them (`rtelasto.pipeline.partner_search`). Consecutive
pairs and a fixed lag are provided for comparison.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.partner_search import Look, Looks, pair_of, search_partner
from rtelasto.pipeline.press_track import UNTIMED_PERIOD_S, PressTrack, frame_times_s
from rtelasto.pipeline.recent_frames import RecentFrame, RecentFrames
from rtelasto.telemetry.counters import Counters

# Of two candidates with equal strain the nearer one is chosen: reaching back as far as possible costs as much
# as missing the target by this fraction of it.
_COST_OF_REACH = 0.02
# Converting channel data or IQ takes about as long as the engine, so a frame that was converted for an
# earlier pair is preferred: converting another costs as much as missing the target by this fraction of it.
_COST_OF_CONVERSION = 0.15
# If a look is not free: the prediction is trusted if its last error was below this fraction of the target,
# and it is based on at least this many frames.
_TRUSTED_ERROR = 0.25
_TRUSTED_FRAMES = 3


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
        newest = self.recent.take()
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
        return pair_of(partner, newest)

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
        times_s, stamped = frame_times_s(frames)
        if not any(math.isfinite(old.position) for old in candidates):
            candidates[0].position = 0.0
        positions = np.array([frame.position for frame in frames[:-1]] + [math.nan])
        known = np.flatnonzero(np.isfinite(positions))
        track = PressTrack(times_s, positions)
        expected = track.position
        target = self.policy.target_strain
        reach_s = self.policy.max_lag_s if stamped else UNTIMED_PERIOD_S * self.policy.max_lag
        penalty = -_COST_OF_REACH * target / reach_s * times_s
        penalty += _COST_OF_CONVERSION * target * np.array([not f.converted for f in frames])
        looks = self._looks(newest, known.size)
        best = search_partner(
            frames,
            track,
            looks,
            target_strain=target,
            penalty=penalty,
            usable=self._usable,
        )
        strain = math.nan if best is None else float(track.strain[best])
        if best is None:
            best = self._nearest_usable(frames)
            if best is None:
                return None
        partner = frames[best]
        follows = True
        if looks is not None and best > known[-1] and (looks.failed or self._refused):
            follows = self._usable(frames[known[-1]]) and looks.tracks(frames[known[-1]])
        if follows:
            # Frames that were looked at serve the next predictions, too.
            for k in (*track.measured, best):
                frames[k].position = track.position - float(track.strain[k])
        else:
            self._begin_scene(partner, candidates)
        newest.position = partner.position + strain
        self._chosen.append((partner, newest, expected))
        return partner

    def _nearest_usable(self, frames: Sequence[RecentFrame]) -> int | None:
        """Return the index of the nearest frame that holds an image; None if there is none."""
        nearest = (k for k in range(len(frames) - 2, -1, -1) if self._usable(frames[k]))
        return next(nearest, None)

    def _begin_scene(self, first: RecentFrame, candidates: Sequence[RecentFrame]) -> None:
        """Begin a new scene: no measurement so far connects to the frames from ``first`` on."""
        self.scene += 1
        self._barrier = first
        for old in candidates:
            old.position = math.nan
        first.position = 0.0

    def _looks(self, newest: RecentFrame, n_known: int) -> Looks | None:
        """Return looks at candidates if they are free or the prediction is unsure, else None."""
        if self._look is None:
            return None
        wrong = self._last_error > _TRUSTED_ERROR * self.policy.target_strain
        if self._look_is_free or wrong or n_known < _TRUSTED_FRAMES:
            return Looks(self._look, newest)
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
