"""Times on the device: many launches between two events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_LAUNCHES = 20
_REPEATS = 10


def device_time_ms(launch: Callable[[], object], stream: Any) -> float:
    """Return the time of a launch: the median of ten runs of 20 launches between two events.

    One launch between two events would measure the events, too, and the gap before the launch.
    """
    import cupy as cp

    launch()
    begin, end = cp.cuda.Event(), cp.cuda.Event()
    times = []
    for _ in range(_REPEATS):
        begin.record(stream)
        for _ in range(_LAUNCHES):
            launch()
        end.record(stream)
        end.synchronize()
        times.append(cp.cuda.get_elapsed_time(begin, end) / _LAUNCHES)
    return float(np.median(times))


def restored_time_ms(launch: Callable[[], object], state: Any, stream: Any) -> float:
    """Return the time of a launch that changes ``state``, which is restored before every launch.

    The median of ten single launches, with the few microseconds that the events and the launch take.
    """
    import cupy as cp

    begin, end = cp.cuda.Event(), cp.cuda.Event()
    times = []
    with stream:
        saved = state.copy()
        for _ in range(_REPEATS):
            state[...] = saved
            begin.record(stream)
            launch()
            end.record(stream)
            end.synchronize()
            times.append(cp.cuda.get_elapsed_time(begin, end))
    return float(np.median(times))
