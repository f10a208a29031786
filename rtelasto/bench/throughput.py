"""The highest frame rate that a live run processes without a dropped frame, found by bisection."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from rtelasto.bench.rig import Burst, Rig
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat

_WARM_UP_FRAMES = 20
_WARM_UP_FPS = 10.0
# Rates below this are not real time, and each trial there would take minutes.
_LEAST_FPS = 1.0
_MIN_FRAMES = 10
# Start of the search: the rate cannot exceed that of the slowest stage by more than this.
_HEADROOM = 1.3
# More than the delay that a late wake-up can cause for the last frame of a burst.
_SLACK_S = 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial of one rate: frames sent and lost, and the time that sending took."""

    fps: float
    frames: int
    lost: int
    seconds: float

    @property
    def sustained(self) -> bool:
        """Whether no frame was lost and the sender reached this rate.

        Deadlines are absolute, so that single late frames do not delay the others.
        """
        return self.lost == 0 and self.seconds <= self.frames / self.fps + _SLACK_S


@dataclass(frozen=True, slots=True)
class ThroughputReport:
    """The highest sustained rate, the time that the pipeline spent per frame, and all rates tried."""

    engine: str
    fps: float
    busy_ms: float
    trials: tuple[Trial, ...]


def measure_throughput(
    engine: str,
    *,
    seconds: float = 5.0,
    tolerance: float = 0.03,
    options: tuple[str, ...] = (),
    rf_format: RfFormat | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> ThroughputReport:
    """Bisect the frame rate on one running pipeline, then confirm it over a burst twice as long.

    Parameters
    ----------
    engine, options, rf_format
        As for `Rig`.
    seconds
        Duration of the trial of each rate.
    tolerance
        The search ends when the relative difference of a sustained rate and one not sustained is this small.
    on_trial
        Called after every rate.

    Raises
    ------
    RtelastoError
        If a parameter is invalid, the pipeline does not start or no rate is sustained.
    """
    if not 0.1 <= seconds <= 3600.0:
        raise RtelastoError(f"seconds must lie in 0.1…3600, got {seconds:g}")
    if not 0.002 <= tolerance <= 0.5:
        raise RtelastoError(f"tolerance must lie in 0.002…0.5, got {tolerance:g}")
    trials: list[Trial] = []

    def sustains(fps: float, seconds: float) -> bool:
        burst = rig.burst(fps, max(_MIN_FRAMES, round(fps * seconds)))
        trial = Trial(fps, burst.sent.frames, burst.lost, burst.sent.seconds)
        trials.append(trial)
        if on_trial is not None:
            on_trial(trial)
        return trial.sustained

    with Rig(engine, options, rf_format) as rig:
        busy_ms = _busy_ms(rig.burst(_WARM_UP_FPS, _WARM_UP_FRAMES))
        low, high = 0.0, _HEADROOM * 1e3 / busy_ms
        while sustains(high, seconds):
            low, high = high, _HEADROOM * high
        while not low and high > _LEAST_FPS:
            low, high = (high / 2.0, high) if sustains(high / 2.0, seconds) else (0.0, high / 2.0)
        while low and high - low > tolerance * high:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if sustains(middle, seconds) else (low, middle)
        while low > _LEAST_FPS and not sustains(low, 2.0 * seconds):
            low *= 1.0 - tolerance
    if low <= _LEAST_FPS:
        raise RtelastoError(f"{engine} sustains no rate above {_LEAST_FPS:g} frame/s here")
    return ThroughputReport(engine, low, busy_ms, tuple(trials))


def _busy_ms(warm_up: Burst) -> float:
    """Return the median time from taking a frame off the queue to publishing its strain, without load."""
    stages = [arrival.stage_ns for arrival in warm_up.arrivals[len(warm_up.arrivals) // 2 :]]
    if not stages:
        raise RtelastoError(f"no strain arrived for {warm_up.sent.frames} frames")
    return statistics.median(s["total"] - s["decode"] - s["queue"] for s in stages) / 1e6
