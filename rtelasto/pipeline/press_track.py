"""Tracks how far the tissue is compressed over time, from the pairs measured so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtelasto.pipeline.recent_frames import RecentFrame

# A press reverses within a few tenths of a second. The prediction beyond the last frames uses their speed and
# half of its change, which overshoots less at a reversal than all of it.
_ACCELERATION = 0.5


def frame_times(frames: Sequence[RecentFrame]) -> tuple[NDArray[np.float64], bool]:
    """Return the times of frames in acquisition order, and whether they are in s.

    If the stamps do not rise from frame to frame, acquisition counts are used instead.
    """
    stamps = np.array([frame.acquired_ns for frame in frames], np.int64)
    if stamps.size > 1 and bool((np.diff(stamps) > 0).all()):
        return 1e-9 * (stamps - stamps[-1]).astype(np.float64), True
    ids = np.array([frame.acquisition for frame in frames], np.int64)
    return (ids - ids[-1]).astype(np.float64), False


def predict_positions(
    times: NDArray[np.float64], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Predict the positions of all frames from those that were measured.

    Positions are interpolated between measured frames, constant before the first and extrapolated after the
    last.

    Parameters
    ----------
    times
        Rising, (n,).
    positions
        (n,), NaN where not measured; at least one is known.
    """
    known = np.flatnonzero(np.isfinite(positions))
    predicted = np.interp(times, times[known], positions[known])
    if known.size < 2:
        return predicted
    beyond = times > times[known[-1]]
    if beyond.any():
        t, x = times[known[-3:]], positions[known[-3:]]
        speed = (x[-1] - x[-2]) / (t[-1] - t[-2])
        change = 0.0
        if known.size > 2:
            before = (x[-2] - x[-3]) / (t[-2] - t[-3])
            change = _ACCELERATION * 2.0 * (speed - before) / (t[-1] - t[-3])
        ahead = times[beyond] - t[-1]
        # This is the speed half-way between the last two frames.
        speed += 0.5 * change * (t[-1] - t[-2])
        predicted[beyond] = x[-1] + speed * ahead + 0.5 * change * ahead**2
    return predicted
