"""Prometheus metrics of a live run, served for scraping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from rtelasto.closing import Closing
from rtelasto.counters import Counters, is_loss
from rtelasto.domain import StrainFrame
from rtelasto.errors import MissingExtraError, RtelastoError

# From what a GPU takes for a stage to a pipeline that hangs, in s.
_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# Counters with a metric of their own.
_FRAMES_IN, _STRAIN_OUT = "received", "strain.out"


class MetricsServer(Closing):
    """Serves ``/metrics`` from the moment it is made until it is closed.

    Frames are counted where they always are, in ``counters``, and read when somebody asks; only the
    histograms take part in the run, by `observe`.

    Parameters
    ----------
    port
        Port on loopback; 0 takes a free one.
    counters
        The run's.
    queued
        Says how many frames wait for the pipeline.
    info
        What the run is: engine, device.

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
        queued: Callable[[], int],
        info: dict[str, str],
    ) -> None:
        try:
            from prometheus_client import (
                CollectorRegistry,
                Gauge,
                Histogram,
                Info,
                start_http_server,
            )
        except ImportError:
            raise MissingExtraError("metrics", "metrics") from None
        registry = CollectorRegistry()
        registry.register(_CounterReader(counters))
        self._stages = Histogram(
            "rtelasto_stage_seconds",
            "Time of a strain frame in each stage; total is from the arrival of its second RF frame",
            ["stage"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._quality = Gauge(
            "rtelasto_quality", "Median correlation of the last pair", registry=registry
        )
        self._applied = Gauge(
            "rtelasto_applied_strain", "Median axial strain of the last pair", registry=registry
        )
        self._begun_ns: int | None = None
        Gauge(
            "rtelasto_newest_frame_age_seconds",
            "Time since the newest strain frame was acquired (or came, where its clock cannot tell)",
            registry=registry,
        ).set_function(self._age_s)
        Gauge(
            "rtelasto_queue_frames", "RF frames that wait for the pipeline", registry=registry
        ).set_function(queued)
        Info("rtelasto_run", "What runs", registry=registry).info(info)
        try:
            self._server, self._thread = start_http_server(port, "127.0.0.1", registry)
        except OSError as error:
            raise RtelastoError(
                f"cannot serve metrics on port {port} ({error.strerror or error}): give a free one"
            ) from error
        self.address = f"http://127.0.0.1:{self._server.server_port}/metrics"

    def observe(self, strain: StrainFrame) -> None:
        """Take notice of a published frame."""
        for stage, time_ns in strain.stage_ns.items():
            self._stages.labels(stage).observe(time_ns / 1e9)
        age_ns = strain.stage_ns.get("total", 0) if strain.age_ns is None else strain.age_ns
        self._begun_ns = time.monotonic_ns() - age_ns
        self._quality.set(strain.quality)
        self._applied.set(strain.applied_strain)

    def _age_s(self) -> float:
        begun_ns = self._begun_ns
        return math.nan if begun_ns is None else (time.monotonic_ns() - begun_ns) / 1e9

    def close(self) -> None:
        """Stop serving. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _CounterReader:
    """A Prometheus collector of `Counters`: losses by cause, everything else by name."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        counts = self._counters.snapshot()
        yield CounterMetricFamily(
            "rtelasto_rf_frames", "RF frames received", value=counts.pop(_FRAMES_IN, 0)
        )
        yield CounterMetricFamily(
            "rtelasto_strain_frames", "Strain frames made", value=counts.pop(_STRAIN_OUT, 0)
        )
        dropped = CounterMetricFamily(
            "rtelasto_dropped_frames", "RF frames lost, by cause", labels=["cause"]
        )
        events = CounterMetricFamily("rtelasto_events", "Everything else counted", labels=["event"])
        for name, count in counts.items():
            (dropped if is_loss(name) else events).add_metric([name], count)
        yield dropped
        yield events
