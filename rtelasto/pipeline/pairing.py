"""Which two frames make a pair: consecutive ones, a fixed lag, or the lag that strains enough.

At 100 frames/s and freehand palpation neighbouring frames differ by about 0.05 % strain, too little to
see against the noise; frames further apart strain more but decorrelate. The adaptive policy looks for
the lag whose applied strain comes nearest to a target, from what the last pairs showed.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.telemetry.counters import Counters

# How much of a new strain-rate figure enters the running one: about three pairs of memory, so that the
# lag follows a press within a fraction of a second and one odd pair does not throw it.
_MEMORY = 0.3


@dataclass(frozen=True, slots=True)
class PairPolicy:
    """How frames are paired.

    Parameters
    ----------
    lag
        Acquisitions between pre- and post-compression frame; None lets the strain decide.
    target_strain
        For the adaptive policy: the applied strain (magnitude, dimensionless) to aim for.
    max_lag
        For the adaptive policy: the largest lag to try.
    min_quality
        For the adaptive policy: pairs whose median post-warp correlation is below are refused.
    """

    lag: int | None = 1
    target_strain: float = 0.007
    max_lag: int = 16
    min_quality: float = 0.5

    def __post_init__(self) -> None:
        if self.lag is not None and not 1 <= self.lag <= 256:
            raise RtelastoError(f"lag must lie in 1…256, got {self.lag}")
        if not 1 <= self.max_lag <= 256:
            raise RtelastoError(f"max_lag must lie in 1…256, got {self.max_lag}")
        if not 1e-4 <= self.target_strain <= 0.05:
            raise RtelastoError(
                f"target_strain must lie in 0.0001…0.05 (0.01 % to 5 %), got {self.target_strain:g}"
            )
        if not 0.0 <= self.min_quality < 1.0:
            raise RtelastoError(f"min_quality must lie in 0…1, got {self.min_quality:g}")

    @classmethod
    def parse(cls, text: str, **others: float) -> PairPolicy:
        """Read ``consecutive``, ``lag N`` (or ``lag=N``, ``N``) or ``adaptive``; ``others`` by name.

        Raises
        ------
        RtelastoError
            If the text is none of these or a value is out of range.
        """
        word = text.strip().lower()
        if word == "consecutive":
            return cls(lag=1, **others)  # type: ignore[arg-type]
        if word == "adaptive":
            return cls(lag=None, **others)  # type: ignore[arg-type]
        match = re.fullmatch(r"(?:lag[\s=:]*)?(\d+)", word)
        if match is None:
            raise RtelastoError(
                f"pairing must be 'consecutive', 'lag N' or 'adaptive', got {text!r}"
            )
        return cls(lag=int(match.group(1)), **others)  # type: ignore[arg-type]

    @property
    def history(self) -> int:
        """How many earlier frames have to be kept."""
        return self.max_lag if self.lag is None else self.lag


class Pairing:
    """Pairs frames in acquisition order and starts afresh where the sequence breaks.

    Counts into ``counters``: ``pair.first`` (frames that had no partner yet), ``pair.reset.gap``,
    ``pair.reset.stream``, ``pair.reset.format`` (why a sequence ended), ``pair.decorrelated`` (pairs
    that :meth:`observe` refused), ``repeated`` (frames that were passed over).
    """

    def __init__(self, policy: PairPolicy, counters: Counters | None = None) -> None:
        self.policy = policy
        self.counters = counters if counters is not None else Counters()
        self._frames: deque[RfFrame] = deque(maxlen=policy.history)
        self._newest: RfFrame | None = None
        self._strain_per_frame = math.nan
        self._largest_lag = policy.history

    def push(self, frame: RfFrame) -> FramePair | None:
        """Take the next frame; return the pair that it completes, if any."""
        if self._newest is not None:
            broken = _break(self._newest, frame)
            if broken:
                self.counters.add(f"pair.reset.{broken}")
                self._frames.clear()
        lag = min(self.lag, len(self._frames)) if self.policy.lag is None else self.lag
        pair = None
        if 1 <= lag <= len(self._frames):
            pair = FramePair(self._frames[-lag], frame, lag)
        else:
            self.counters.add("pair.first")
        self._frames.append(frame)
        self._newest = frame
        return pair

    def is_copy(self, frame: RfFrame) -> bool:
        """Whether the next frame has the samples, or the id, of the one before it in its stream."""
        last = self._newest
        if last is None or frame.stream != last.stream or frame.format != last.format:
            return False
        if frame.frame_id == last.frame_id:
            return True
        middle = frame.format.n_lines // 2
        # Other frames differ in any line.
        return _alike(last.samples[middle], frame.samples[middle]) and _alike(
            last.samples, frame.samples
        )

    def pass_over(self, frame: RfFrame) -> None:
        """Count the next frame as ``repeated``; the one after it goes on from here."""
        self.counters.add("repeated")
        self._newest = frame

    @property
    def lag(self) -> int:
        """The lag that the next pair should have."""
        if self.policy.lag is not None:
            return self.policy.lag
        if not self._strain_per_frame > 0.0:
            return self._largest_lag if self._strain_per_frame == 0.0 else 1
        wanted = round(self.policy.target_strain / self._strain_per_frame)
        return max(1, min(wanted, self._largest_lag))

    def observe(self, pair: FramePair, strain: StrainFrame) -> bool:
        """Learn from what a pair showed; False means that the adaptive policy refuses the pair."""
        if self.policy.lag is not None:
            return True
        if not strain.quality >= self.policy.min_quality:
            # Too far apart to track: come closer, and let the lag grow again pair by pair.
            self._largest_lag = max(1, pair.lag // 2)
            self.counters.add("pair.decorrelated")
            return False
        self._largest_lag = min(self._largest_lag + 1, self.policy.max_lag)
        rate = abs(strain.applied_strain) / pair.lag
        if math.isnan(self._strain_per_frame):
            self._strain_per_frame = rate
        else:
            self._strain_per_frame += _MEMORY * (rate - self._strain_per_frame)
        return True


def _alike(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _break(last: RfFrame, new: RfFrame) -> str:
    """Why ``new`` does not continue the sequence of ``last``; empty where it does."""
    if new.stream != last.stream:
        return "stream"
    if new.format != last.format:
        return "format"
    if new.frame_id != last.frame_id + 1:
        return "gap"
    return ""
