"""What a live run says of itself in the end; apart from it, so that reading it loads no pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from rtelasto.telemetry.latency import LatencySummary


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What a live run did: every counter, and latency from arrival (or, where the sender stamps with this
    machine's monotonic clock, from acquisition) to publishing; ``strain_per_second`` from the
    first frame that
    came to the last strain frame."""

    counters: dict[str, int]
    latency: LatencySummary
    latency_from: str
    seconds: float
    strain_per_second: float
