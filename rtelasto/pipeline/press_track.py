"""How far the tissue is compressed over time, from the pairs measured so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtelasto.pipeline.recent_frames import RecentFrame

# A press turns round within a few tenths of a second: what is predicted beyond the last frames follows
# their speed and half of its change, which overshoots less at a turn than all of it.
_ACCELERATION = 0.5


def frame_times(frames: Sequence[RecentFrame]) -> tuple[NDArray[np.float64], bool]:
    """Times of frames in acquisition order, and whether these are s.

    Where the stamps do not rise from frame to frame, acquisitions count instead.
    """
    stamps = np.array([frame.acquired_ns for frame in frames], np.int64)
    if stamps.size > 1 and bool((np.diff(stamps) > 0).all()):
        return 1e-9 * (stamps - stamps[-1]).astype(np.float64), True
    ids = np.array([frame.acquisition for frame in frames], np.int64)
    return (ids - ids[-1]).astype(np.float64), False


def predict_positions(
    times: NDArray[np.float64], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Positions of all frames, from those that were measured.

    Between measured frames it is interpolated, before the first it stays, after the last it goes on.

    Parameters
    ----------
    times
        Rising, (n,).
    positions
        (n,), NaN where nothing was measured; at least one is known.
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
        # The speed is that half-way between the last two frames.
        speed += 0.5 * change * (t[-1] - t[-2])
        predicted[beyond] = x[-1] + speed * ahead + 0.5 * change * ahead**2
    return predicted
