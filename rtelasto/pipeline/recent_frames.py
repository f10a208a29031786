"""The frames of the last moments, including those that the pipeline had no time to process.

The receiving thread adds frames; the pipeline takes one after another and finds its partner among those
before it. A frame waits for at most `MAX_WAIT_S`: at 1,000 frames/s none is lost while the pipeline's thread
is kept from running for some milliseconds; at 100 frames/s the newest is taken.
Every frame is counted once: by the outcome of the pair of which it is the newer frame, as ``partner_only`` if
it only served other frames as a partner, as ``overflow`` if it was never used.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.iq import ScannerFormat, ScannerFrame
from rtelasto.frames.rf import RfFrame
from rtelasto.telemetry.counters import Counters

MAX_BYTES = 256 * 1024 * 1024
# A frame that has waited for longer is passed over if there is a newer one. Where the pipeline is slower than
# the scanner, this is also what waiting may add to the latency.
MAX_WAIT_S = 0.01
# After this long without a frame, those that were passed over are of no more use.
IDLE_S = 1.0


class _Fate(Enum):
    """What is known about the use of a frame."""

    WAITING = auto()
    PASSED_OVER = auto()
    """A newer frame was taken instead; it may still become a partner."""
    COUNTED = auto()
    """Taken, and counted by the outcome of its pair, or counted in another way."""


@dataclass(slots=True, eq=False)
class RecentFrame:
    """A frame and what the pipeline has found out about it.

    Attributes
    ----------
    scanned
        The frame as it was received; its RF lines once it has been converted.
    copies
        Copies of other frames before it in its stream, which have ids and were passed over.
    lines
        Its RF lines; None before `usable` is decided, and if it has none.
    usable
        Whether it holds an image; None before it has been checked.
    rf_lines_ns
        Time taken to convert it to RF lines.
    position
        How far the tissue is compressed, as strain from any start; NaN if not measured.
    """

    scanned: ScannerFrame
    copies: int = 0
    lines: RfFrame | None = None
    usable: bool | None = None
    rf_lines_ns: int = 0
    position: float = math.nan
    fate: _Fate = _Fate.WAITING

    @property
    def frame_id(self) -> int:
        return self.scanned.frame_id

    @property
    def acquisition(self) -> int:
        """The frame's id minus the copies before it: the unit of lags."""
        return self.scanned.frame_id - self.copies

    @property
    def acquired_ns(self) -> int:
        return self.scanned.acquired_ns

    @property
    def converted(self) -> bool:
        """Whether its RF lines are there without further work."""
        return self.lines is not None or isinstance(self.scanned, RfFrame)


class RecentFrames:
    """A ring of frames in acquisition order, bounded by acquisitions, by time and by size.

    Frames that are missing leave a gap and nothing else. A new stream, another format, and frame ids or
    stamps that go back empty the ring, counted as ``pair.reset.stream``, ``.format`` and ``.back``. The frame
    before the newest stays however old or large it is. All methods may be called from any thread.

    The bounds by acquisitions and by time count from the frame that is taken next.

    Parameters
    ----------
    max_lag
        Acquisitions that it reaches back, by ``frame_id``.
    max_lag_s
        Time that it reaches back, by ``acquired_ns``; None for no limit in time. If stamps do not rise,
        only the other bounds apply.
    max_bytes
        Largest size of the samples that it holds, in bytes.
    counters
        Where to count.
    """

    def __init__(
        self,
        max_lag: int,
        max_lag_s: float | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        counters: Counters | None = None,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self._max_lag = max_lag
        self._max_lag_ns = None if max_lag_s is None else round(1e9 * max_lag_s)
        self._max_bytes = max_bytes
        self._frames: deque[RecentFrame] = deque()
        self._format: ScannerFormat | None = None
        self._copies = 0
        self._changed = threading.Condition()

    def add(self, frame: ScannerFrame) -> None:
        """Add a frame that is newer than those before it."""
        with self._changed:
            broken = self._break(self._frames[-1].scanned, frame) if self._frames else ""
            if broken:
                self._copies = 0
                self.counters.add(f"pair.reset.{broken}")
                while self._frames:
                    self._release(self._frames.popleft())
            self._format = frame.format
            self._frames.append(RecentFrame(frame, self._copies))
            following = self._next()
            while len(self._frames) > 2 and self._is_beyond(self._frames[0], following):
                self._release(self._frames.popleft())
            self._changed.notify_all()

    def is_copy(self, frame: ScannerFrame) -> bool:
        """Whether a frame has the same samples as the newest one, in the same stream and format."""
        with self._changed:
            if not self._frames or self._break(self._frames[-1].scanned, frame):
                return False
            samples, last = frame.samples, self._frames[-1].scanned.samples
        middle = len(samples) // 2
        # Compare one line first: frames that differ do so in any line.
        return _alike(last[middle], samples[middle]) and _alike(last, samples)

    def pass_over_copy(self) -> None:
        """Count a copy of the newest frame as ``repeated``; lags continue as if it did not exist."""
        with self._changed:
            self._copies += 1
            self.counters.add("repeated")

    def take(self, timeout_s: float = 0.0) -> RecentFrame | None:
        """Return the next frame, once; None if no new one arrived within ``timeout_s``.

        It is the first of those that arrived within the last `MAX_WAIT_S`, or the newest if that is older.
        The waiting frames before it are passed over.
        """
        with self._changed:
            if not self._changed.wait_for(self._has_new, timeout_s):
                return None
            following = self._next()
            for recent in self._frames:
                if recent is following:
                    break
                if recent.fate is _Fate.WAITING:
                    recent.fate = _Fate.PASSED_OVER
            following.fate = _Fate.COUNTED
            return following

    def before(self, taken: RecentFrame) -> list[RecentFrame]:
        """Return the frames before a frame of this ring, the nearest first."""
        with self._changed:
            frames = list(self._frames)
        if taken not in frames:  # a new stream has begun since, or the frame has left the ring
            return []
        return frames[: frames.index(taken)][::-1]

    def count_partner(self, partner: RecentFrame) -> None:
        """Count a frame that is used as a partner."""
        self._count_passed_over(partner, "partner_only")

    def settle(self, recent: RecentFrame) -> None:
        """Mark a frame that was counted elsewhere because it holds no image."""
        with self._changed:
            recent.fate = _Fate.COUNTED

    def release_unused(self) -> None:
        """Release the frames that were passed over, if no frame has arrived for `IDLE_S`."""
        with self._changed:
            if not self._frames:
                return
            since_ns = time.monotonic_ns() - self._frames[-1].scanned.received_ns
            if since_ns < 1e9 * IDLE_S:
                return
            for recent in [f for f in self._frames if f.fate is _Fate.PASSED_OVER]:
                self._frames.remove(recent)
                self._release(recent)

    def close(self) -> None:
        """Release all frames; those that wait are counted as ``unread``."""
        with self._changed:
            while self._frames:
                recent = self._frames.popleft()
                if recent.fate is _Fate.WAITING:
                    self.counters.add("unread")
                else:
                    self._release(recent)

    @property
    def waiting(self) -> int:
        """Number of frames that arrived after the last one that was taken."""
        with self._changed:
            return sum(recent.fate is _Fate.WAITING for recent in self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def nbytes(self) -> int:
        """Size of the samples in the ring, in bytes."""
        with self._changed:
            return self._size()

    def _size(self) -> int:
        return sum(recent.scanned.samples.nbytes for recent in self._frames)

    def _has_new(self) -> bool:
        return bool(self._frames) and self._frames[-1].fate is _Fate.WAITING

    def _next(self) -> RecentFrame:
        """Return the frame to take next; the newest must be waiting."""
        earliest_ns = time.monotonic_ns() - round(1e9 * MAX_WAIT_S)
        following = self._frames[-1]
        for recent in reversed(self._frames):
            if recent.fate is not _Fate.WAITING or recent.scanned.received_ns < earliest_ns:
                break
            following = recent
        return following

    def _is_beyond(self, oldest: RecentFrame, following: RecentFrame) -> bool:
        if following.acquisition - oldest.acquisition > self._max_lag:
            return True
        age_ns = following.acquired_ns - oldest.acquired_ns
        if self._max_lag_ns is not None and age_ns > self._max_lag_ns:
            return True
        return self._size() > self._max_bytes

    def _release(self, recent: RecentFrame) -> None:
        if recent.fate is not _Fate.COUNTED:
            recent.fate = _Fate.COUNTED
            self.counters.add("overflow")

    def _count_passed_over(self, recent: RecentFrame, name: str) -> None:
        with self._changed:
            if recent.fate is _Fate.PASSED_OVER:
                recent.fate = _Fate.COUNTED
                self.counters.add(name)

    def _break(self, last: ScannerFrame, new: ScannerFrame) -> str:
        """Return why ``new`` does not continue the sequence of ``last``; empty if it does."""
        if new.stream != last.stream:
            return "stream"
        # Compare the format as received: frames that were used have been converted to RF lines.
        if new.format != self._format:
            return "format"
        if new.frame_id <= last.frame_id or new.acquired_ns < last.acquired_ns:
            return "back"
        return ""


def _alike(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
