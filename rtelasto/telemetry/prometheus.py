"""Serves Prometheus metrics of a live run."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rtelasto.closing import Closing
from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.telemetry.counters import Counters, losses

# From a fast stage on a GPU to a pipeline that hangs, in s.
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# The time from arrival to the end, which the other stages are parts of.
TOTAL = "total"
# Counters with a metric of their own.
_FRAMES_IN, _STRAIN_OUT = "received", "strain.out"
_GAUGES = {
    "quality": "Median correlation of the last pair; NaN before the first",
    "poor_share": "Share of the pixels of the last pair with poor correlation; NaN before the first",
    "applied_strain": "Median axial strain of the last pair; NaN before the first",
    "newest_frame_age_seconds": "Time since the newest strain frame was acquired (or arrived, if its "
    "clock cannot tell)",
    "queue_frames": "RF frames that wait for the pipeline",
    "persistence_frames": "Pairs in the averaged picture",
    "persistence_presses": "Presses in the averaged picture",
    "persistence_age_seconds": "Time since a pair entered the averaged picture; NaN before the first",
    "relative_strain_std": "Median standard deviation of the relative strain; NaN if there is none",
}


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How often a stage took up to each of `BUCKETS_S`, how often it took longer, and the sum of its times
    in s."""

    counts: tuple[int, ...]
    sum_s: float


def bucket_of(time_s: float) -> int:
    """Return the index of the bucket of a time, ``len(BUCKETS_S)`` for times beyond the last."""
    return bisect_left(BUCKETS_S, time_s)


class MetricsServer(Closing):
    """Serves ``/metrics`` from its creation until it is closed.

    It counts nothing itself: everything is read on each request. So it can run in another process than the
    pipeline, and answers while the pipeline is replaced.

    Parameters
    ----------
    port
        Port on loopback; 0 takes a free one.
    counters
        Those of the run.
    gauges
        Returns the current values of the gauges, by their names in `_GAUGES`.
    stage_times
        Returns the times of strain frames in each stage so far.

    Raises
    ------
    MissingExtraError
        If prometheus-client is not installed.
    RtelastoError
        If the port cannot be bound.
    """

    def __init__(
        self,
        port: int,
        counters: Counters,
        gauges: Callable[[], Mapping[str, float]],
        stage_times: Callable[[], Mapping[str, StageTimes]],
    ) -> None:
        try:
            from prometheus_client import CollectorRegistry, Info, start_http_server
        except ImportError:
            raise MissingExtraError("metrics", "metrics") from None
        registry = CollectorRegistry()
        registry.register(_Reader(counters, gauges, stage_times))
        self._info = Info("rtelasto_run", "What runs", registry=registry)
        try:
            self._server, self._thread = start_http_server(port, "127.0.0.1", registry)
        except OSError as error:
            raise RtelastoError(
                f"cannot serve metrics on port {port} ({error.strerror or error}): give a free one"
            ) from error
        self.address = f"http://127.0.0.1:{self._server.server_port}/metrics"

    def describe(self, info: dict[str, str]) -> None:
        """Set the labels of the run: engine, device."""
        self._info.info(info)

    def close(self) -> None:
        """Stop serving. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Reader:
    """A Prometheus collector of a run: losses by cause, each frame once, other counters by name, times."""

    def __init__(
        self,
        counters: Counters,
        gauges: Callable[[], Mapping[str, float]],
        stage_times: Callable[[], Mapping[str, StageTimes]],
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._stage_times = stage_times
        self._lost: dict[str, int] = {}

    def collect(self) -> Iterator[Any]:
        yield from self._counts()
        yield from self._histograms()
        from prometheus_client.core import GaugeMetricFamily

        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"rtelasto_{name}", _GAUGES[name], value=value)

    def _counts(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        counts = self._counters.snapshot()
        # A missing frame that arrives late changes its cause, but a Prometheus counter must never decrease.
        for name, count in losses(counts).items():
            self._lost[name] = max(count, self._lost.get(name, 0))
        yield CounterMetricFamily(
            "rtelasto_rf_frames", "RF frames received", value=counts.pop(_FRAMES_IN, 0)
        )
        yield CounterMetricFamily(
            "rtelasto_strain_frames", "Strain frames made", value=counts.pop(_STRAIN_OUT, 0)
        )
        dropped = CounterMetricFamily(
            "rtelasto_dropped_frames", "RF frames lost, by cause", labels=["cause"]
        )
        for name, count in self._lost.items():
            dropped.add_metric([name], count)
        events = CounterMetricFamily("rtelasto_events", "Everything else counted", labels=["event"])
        for name, count in counts.items():
            if name not in self._lost:
                events.add_metric([name], count)
        yield dropped
        yield events

    def _histograms(self) -> Iterator[Any]:
        from prometheus_client.core import HistogramMetricFamily

        stages = HistogramMetricFamily(
            "rtelasto_stage_seconds", "Time of a strain frame in each stage", labels=["stage"]
        )
        total = HistogramMetricFamily(
            "rtelasto_frame_seconds",
            "Time from the arrival of a strain frame's second RF frame to its end",
        )
        for stage, times in self._stage_times().items():
            buckets, below = [], 0
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), times.counts, strict=True):
                below += count
                buckets.append((bound, float(below)))
            if stage == TOTAL:
                total.add_metric([], buckets, times.sum_s)
            else:
                stages.add_metric([stage], buckets, times.sum_s)
        yield stages
        yield total
