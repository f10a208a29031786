"""Measurements of a run: counters, latency, logs, Prometheus metrics."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.telemetry.counters import Counters as Counters
    from rtelasto.telemetry.counters import losses as losses
    from rtelasto.telemetry.counters import unaccounted as unaccounted
    from rtelasto.telemetry.latency import Latencies as Latencies
    from rtelasto.telemetry.latency import LatencySummary as LatencySummary
    from rtelasto.telemetry.prometheus import MetricsServer as MetricsServer

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "counters": (
            "Counters",
            "losses",
            "unaccounted",
        ),
        "latency": (
            "Latencies",
            "LatencySummary",
        ),
        "prometheus": ("MetricsServer",),
    },
)
