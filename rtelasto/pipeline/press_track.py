"""Tracks how far the tissue is compressed over time, and how certain that is, from measurements so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtelasto.pipeline.recent_frames import RecentFrame

UNTIMED_PERIOD_S = 0.05
"""Assumed frame period where frames have no stamps."""
# A press reverses within a few tenths of a second. The prediction beyond the last frames uses their speed and
# half of its change, which overshoots less at a reversal than all of it.
_ACCELERATION = 0.5
# The press by which doubts are judged: 1 % strain, once a second.
_PRESS_STRAIN, _PRESS_HZ = 0.01, 1.0
_FASTEST_PER_S = math.pi * _PRESS_HZ * _PRESS_STRAIN
_SHARPEST_PER_S2 = 2.0 * math.pi * _PRESS_HZ * _FASTEST_PER_S


def frame_times_s(frames: Sequence[RecentFrame]) -> tuple[NDArray[np.float64], bool]:
    """Return the times of frames in acquisition order, s before the last, and whether they come from stamps.

    If the stamps do not rise from frame to frame, acquisition counts and an assumed period are used instead.
    """
    stamps = np.array([frame.acquired_ns for frame in frames], np.int64)
    if stamps.size > 1 and bool((np.diff(stamps) > 0).all()):
        return 1e-9 * (stamps - stamps[-1]).astype(np.float64), True
    ids = np.array([frame.acquisition for frame in frames], np.int64)
    return UNTIMED_PERIOD_S * (ids - ids[-1]).astype(np.float64), False


class PressTrack:
    """The strain from each of some frames to the newest: measured, or predicted with a doubt.

    Between frames that were measured the strain is interpolated, before the first it is constant, and the
    newest frame is extrapolated. A doubt is how far a hand that presses once a second may have departed from
    that.

    Parameters
    ----------
    times_s
        Rising, (n,); the newest frame is the last.
    positions
        How far the tissue is compressed, (n,), NaN where not measured, as in the newest frame; at least one
        is known.

    Attributes
    ----------
    strain, doubt : ndarray
        (n,), dimensionless; of the newest frame 0.
    position : float
        Of the newest frame.
    measured : list
        Indices of the frames whose strain was measured directly.
    """

    def __init__(self, times_s: NDArray[np.float64], positions: NDArray[np.float64]) -> None:
        self.times_s = times_s
        known = np.isfinite(positions)
        # The strain from all frames measured earlier to the newest has this doubt in common.
        self.position, self._link = _extrapolate(times_s[known], positions[known], times_s[-1])
        self._earlier = known
        self._known_strain = self.position - positions
        self._known_strain[-1] = 0.0
        self.measured: list[int] = []
        self._interpolate()

    def measure(self, k: int, strain: float) -> None:
        """Take the strain that was measured directly from frame ``k`` to the newest."""
        alone = 0.0 if self._earlier[k] else float(self._bend[k])
        if alone < self._link:
            # The frame is more certain relative to the earlier ones than these are to the newest.
            off = strain - float(self.strain[k])
            self.position += off
            self._known_strain[self._earlier] += off
            self._link = alone
        self._known_strain[k] = strain
        self._earlier[k] = False
        self.measured.append(k)
        self._interpolate()

    def _interpolate(self) -> None:
        known = np.isfinite(self._known_strain)
        times, at = self.times_s[known], self.times_s
        self.strain = np.interp(at, times, self._known_strain[known])
        after = np.searchsorted(times, at).clip(1, None)
        left, right = times[after - 1], times[after]
        # The error of linear interpolation where the second derivative is limited.
        bend = 0.5 * _SHARPEST_PER_S2 * (at - left) * (right - at)
        self._bend = np.where(at < times[0], _FASTEST_PER_S * (times[0] - at), bend)
        shared = np.where(self._earlier[known], self._link, 0.0)
        self.doubt = np.interp(at, times, shared) + self._bend


def _extrapolate(
    times: NDArray[np.float64], positions: NDArray[np.float64], to_s: float
) -> tuple[float, float]:
    """Return the position at a time after the last frame, and its doubt."""
    ahead = float(to_s - times[-1])
    doubt = _FASTEST_PER_S * ahead
    if times.size < 2:
        return float(positions[-1]), doubt
    t, x = times[-3:], positions[-3:]
    speed = (x[-1] - x[-2]) / (t[-1] - t[-2])
    change = 0.0
    if times.size > 2:
        before = (x[-2] - x[-3]) / (t[-2] - t[-3])
        change = _ACCELERATION * 2.0 * (speed - before) / (t[-1] - t[-3])
    # The speed so far is that half-way between the last two frames.
    speed += 0.5 * change * (t[-1] - t[-2])
    position = x[-1] + speed * ahead + 0.5 * change * ahead**2
    bend = 0.5 * _SHARPEST_PER_S2 * ahead * float(to_s - t[-2])
    return float(position), min(doubt, bend)
