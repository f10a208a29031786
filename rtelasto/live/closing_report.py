"""The final report of a live run, in a module of its own so that importing it loads no pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from rtelasto.telemetry.latency import LatencySummary


@dataclass(frozen=True, slots=True)
class LiveReport:
    """The results of a live run: every counter, and the latency from arrival to publication, or from
    acquisition where the sender stamps with this machine's monotonic clock. ``strain_per_second`` is the
    mean from the arrival of the first frame to the last strain frame."""

    counters: dict[str, int]
    latency: LatencySummary
    latency_from: str
    seconds: float
    strain_per_second: float
