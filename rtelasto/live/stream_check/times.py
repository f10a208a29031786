"""What the stamps of a stream say about its rate, its evenness and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rtelasto.frames.stamp import FrameStamp
from rtelasto.live.stream_check.finding import Finding
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.clock_offset import ClockOffset

# Older frames are marked stale by `run`, unless --stale-ms says otherwise.
_LATE_S: Final = 1e-3 * RunSettings.stale_ms
# Adaptive pairing reaches back half a second: with fewer frames it has hardly a choice.
_SLOW_HZ: Final = 5.0
# Nine of ten intervals of an even stream lie below this many medians.
_UNEVEN: Final = 1.5
_RATE_ERROR: Final = 0.2
# Fewer frames, or a shorter time, say nothing about a rate.
_FEWEST: Final = 5
_SHORTEST_S: Final = 0.3


def acquisition_rate_hz(stamps: Sequence[FrameStamp]) -> float:
    """Return acquisitions per second, skipped ones included, by arrival; NaN where it is unknown."""
    stamps = _newest_run(stamps)
    if len(stamps) < 2:
        return float("nan")
    passed_ns = stamps[-1].received_ns - stamps[0].received_ns
    n = stamps[-1].frame_id - stamps[0].frame_id
    return 1e9 * n / passed_ns if passed_ns > 0 else float("nan")


def judge_times(
    endpoint: str, stamps: Sequence[FrameStamp]
) -> tuple[dict[str, str], list[Finding]]:
    """Return what stamps say, and what is wrong with them.

    Parameters
    ----------
    endpoint
        Where they came from: on this machine, a clock named monotonic is ours.
    stamps
        Of all frames, in the order of their arrival.
    """
    if not stamps:
        return {}, []
    facts, found = _rate(stamps)
    clock_facts, clock_found = _clock(endpoint, stamps)
    return facts | clock_facts, found + clock_found


def _rate(stamps: Sequence[FrameStamp]) -> tuple[dict[str, str], list[Finding]]:
    run = _newest_run(stamps)
    rate_hz = acquisition_rate_hz(stamps)
    if len(run) < _FEWEST or not np.isfinite(rate_hz):
        return {"rate": f"unknown, {len(stamps)} frames"}, []
    ids = np.array([stamp.frame_id for stamp in run], float)
    acquired_s = 1e-9 * (np.array([s.acquired_ns - run[0].acquired_ns for s in run], float))
    arrived_s = 1e-9 * (np.array([s.received_ns - run[0].received_ns for s in run], float))
    steps = np.diff(ids)
    by_stamp = bool((np.diff(acquired_s) > 0.0).all())
    intervals_s = np.diff(acquired_s if by_stamp else arrived_s) / steps
    median_s, late_s = np.quantile(intervals_s, (0.5, 0.9))
    uneven = float(late_s / median_s) if median_s > 0.0 else np.inf
    facts = {
        "rate": f"{rate_hz:.1f} frames/s; nine of ten intervals within {uneven:.2f} × the median, "
        f"by {'acquisition' if by_stamp else 'arrival'}"
    }
    found = []
    if uneven > _UNEVEN:
        found.append(
            Finding(
                "uneven rate",
                f"a tenth of the frames come {uneven:.1f} times as late as usual",
                "the sender's loop is disturbed: leave it a core of its own, send from the acquisition's "
                "own callback, and stamp frames when they are acquired",
            )
        )
    if rate_hz < _SLOW_HZ and arrived_s[-1] >= _SHORTEST_S:
        found.append(
            Finding(
                "slow",
                f"{rate_hz:.1f} frames/s leave pairing hardly a choice of partners",
                f"raise the frame rate above {_SLOW_HZ:g}/s, or press slowly and use --pair consecutive",
            )
        )
    return facts, found


def _clock(endpoint: str, stamps: Sequence[FrameStamp]) -> tuple[dict[str, str], list[Finding]]:
    counters = Counters()
    offset = ClockOffset(endpoint, counters)
    ages_s = []
    for stamp in stamps:
        offset.observe(stamp.stream, stamp.clock, stamp.acquired_ns, stamp.received_ns)
        age_ns = offset.age_ns(stamp.stream, stamp.acquired_ns, stamp.received_ns)
        if age_ns is not None:
            ages_s.append(1e-9 * age_ns)
    clock = stamps[-1].clock
    found = []
    if n := counters["clock.steps"]:
        found.append(
            Finding(
                "clock steps back",
                f"acquired_ns went back {n} times within a stream (clock.steps)",
                "stamp frames with a clock that only rises (clock monotonic), when they are acquired",
            )
        )
    if clock == "unknown":
        found.append(
            Finding(
                "unknown clock",
                "the sender does not say which clock stamps its frames",
                "name it in `clock` (docs/wire.md): monotonic on this machine, unix or scanner elsewhere; "
                "without it, the age of a frame and delays in queues are unknown",
            )
        )
    found += _wrong_rate(stamps) if clock != "recording" and not counters["clock.steps"] else []
    if not ages_s:
        return {"clock": f"{clock}, no age"}, found
    median_s, late_s = (float(value) for value in np.quantile(ages_s, (0.5, 0.9)))
    since = "acquisition" if offset.exact else "the quickest frame"
    facts = {
        "clock": clock,
        "age": f"{1e3 * median_s:.0f} ms on arrival, nine of ten below {1e3 * late_s:.0f} ms, since {since}",
    }
    if late_s > _LATE_S:
        found.append(
            Finding(
                "old frames",
                f"frames arrive {1e3 * late_s:.0f} ms after {since}",
                "shorten the sender's queue (high-water mark), use a faster link or smaller frames; `run` "
                "marks frames older than --stale-ms as not live",
            )
        )
    return facts, found


def _wrong_rate(stamps: Sequence[FrameStamp]) -> list[Finding]:
    run = _newest_run(stamps)
    arrived_ns = run[-1].received_ns - run[0].received_ns
    if len(run) < _FEWEST or arrived_ns < 1e9 * _SHORTEST_S:
        return []
    ratio = (run[-1].acquired_ns - run[0].acquired_ns) / arrived_ns
    if abs(ratio - 1.0) <= _RATE_ERROR:
        return []
    return [
        Finding(
            "clock rate",
            f"between frames acquired_ns passes {ratio:.3g} times as fast as time",
            "give acquired_ns in nanoseconds, read anew for each frame",
        )
    ]


def _newest_run(stamps: Sequence[FrameStamp]) -> Sequence[FrameStamp]:
    """Return the stamps since the last new stream or number that went back."""
    first = 0
    for k in range(1, len(stamps)):
        last, new = stamps[k - 1], stamps[k]
        if new.stream != last.stream or new.frame_id <= last.frame_id:
            first = k
    return stamps[first:]
