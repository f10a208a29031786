"""A live run: the pipeline between a receiver and a publisher, with its status once a second."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from rtelasto.closing import Closing
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.live.closing_report import LiveReport
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.pipeline.recent_frames import RecentFrame
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import Counters
from rtelasto.telemetry.latency import Latencies
from rtelasto.transport.clock_offset import MAX_AGE_NS, ClockOffset
from rtelasto.transport.receivers import Receiver
from rtelasto.transport.sequence import Position
from rtelasto.transport.sockets import check_subscription
from rtelasto.transport.strain_publisher import StrainPublisher

STATUS_PERIOD_NS = 1_000_000_000
# The latency in a status is that of so many newest frames.
_STATUS_FRAMES = 1000
# Messages: those of 64 ms at 1,000 frames/s, while the receiving thread is kept from running.
_RECEIVE_HWM = 64
# How soon a request to stop is noticed while no frames come.
_LOOK_S = 0.1


class LiveRun(Closing):
    """Receives, estimates and publishes until it is stopped.

    Parameters
    ----------
    settings
        Settings of the run.
    on_strain
        Called after every published frame, in the pipeline's thread.
    on_build
        Called with the fraction done and a phase while an engine is compiled for a GPU.
    on_round
        Called in every iteration of the loop, with whether the next step may take minutes (the first pair of
        a format, for which code may have to be compiled) and how many frames wait for the pipeline.
    counters, position
        Those of an earlier run to continue.

    Raises
    ------
    RtelastoError
        If the engine cannot be opened or an endpoint cannot be used.
    """

    def __init__(
        self,
        settings: RunSettings,
        on_strain: Callable[[StrainFrame], None] | None = None,
        on_build: Callable[[float, str], None] | None = None,
        *,
        on_round: Callable[[bool, int], None] | None = None,
        counters: Counters | None = None,
        position: Position | None = None,
    ) -> None:
        self.settings = settings
        self.counters = Counters() if counters is None else counters
        self._on_strain = on_strain
        self._on_round = on_round
        # The format of the last strain frame, and that of the pair being processed.
        self._proven: object = None
        self._format: object = None
        self._latencies = Latencies()
        # Times of the first frame's arrival and of the last strain frame, and the number of strain frames.
        self._first_ns = self._last_ns = self._strain_frames = 0
        self._offset = ClockOffset(settings.rf, self.counters)
        policy = settings.policy()
        # Endpoints first: what is wrong with them shows at once, not after the engine has loaded. The
        # receiver last: frames that arrive while the engine loads would only age.
        check_subscription(settings.rf, settings.keys)
        self._publisher = StrainPublisher(
            settings.strain, counters=self.counters, keys=settings.keys
        )
        try:
            estimator = settings.open_estimator(on_build)
            estimator.warm_up()
            self._pipeline = Pipeline(
                estimator,
                policy,
                self.counters,
                settings.beamform(),
                bmode=settings.wants_bmode,
                persistence_s=settings.persistence_s,
            )
            self._pipeline.warm_up()
            self._receiver = Receiver(
                settings.rf,
                policy="every" if settings.every else "latest",
                deliver=None if settings.every else self._pipeline.recent.add,
                receive_hwm=_RECEIVE_HWM,
                counters=self.counters,
                keys=settings.keys,
                position=position,
            )
        except BaseException:
            self._publisher.close()
            raise
        self.device = estimator.device
        self.strain_endpoint = self._publisher.endpoint

    def run(self, stop: threading.Event | None = None) -> LiveReport:
        """Run until ``stop`` is set or ``settings.frames`` strain frames are published."""
        stop = threading.Event() if stop is None else stop
        started = status_due = time.monotonic_ns()
        last = self.counters.snapshot()
        # Checked before the first frame, too: an earlier run may have published all frames.
        while not stop.is_set() and not self._finished():
            # A pair in progress is published as soon as no further frame waits to be started.
            newest = self._next(0.0 if self._pipeline.pending else _LOOK_S)
            frame = None if newest is None else newest.scanned
            self._heartbeat(frame)
            if newest is not None and frame is not None:
                if not self._first_ns:
                    self._first_ns = time.monotonic_ns()
                self._offset.observe(
                    frame.stream, frame.clock, frame.acquired_ns, frame.received_ns
                )
                self._pipeline.start_newest(newest)
            if self._pipeline.pending and (frame is None or not self._pipeline.room):
                self._collect()
            now = time.monotonic_ns()
            if now >= status_due:
                last = self._publish_status(last, now - status_due + STATUS_PERIOD_NS)
                status_due = now + STATUS_PERIOD_NS
        while self._pipeline.pending and not self._finished():
            self._heartbeat(None)
            self._collect()
        if self._pipeline.pending:
            self.counters.add("unread", self._pipeline.pending)
        # Closed here and not at the end, because frames left unread have to be in the report.
        self._receiver.close()
        self._pipeline.recent.close()
        return LiveReport(
            self.counters.snapshot(),
            self._latencies.summary(),
            "acquisition" if self._offset.exact else "arrival",
            (time.monotonic_ns() - started) / 1e9,
            self._strain_per_second(),
        )

    def _strain_per_second(self) -> float:
        """The rate from the first frame's arrival to the last strain frame, without the wait before."""
        if self._last_ns <= self._first_ns or not self._first_ns:
            return 0.0
        return 1e9 * self._strain_frames / (self._last_ns - self._first_ns)

    def _next(self, timeout_s: float) -> RecentFrame | None:
        """The next frame to process; None if none came within ``timeout_s``."""
        recent = self._pipeline.recent
        if self.settings.every:
            frame = self._receiver.get(timeout_s)
            if frame is not None:
                recent.add(frame)
            return recent.take()
        self._receiver.check()
        newest = recent.take(timeout_s)
        if newest is None:
            recent.release_unused()
        return newest

    def _heartbeat(self, frame: ScannerFrame | None) -> None:
        if frame is not None:
            self._format = frame.format, frame.samples.dtype
        if self._on_round is not None:
            waiting = self._receiver.queued + self._pipeline.recent.waiting
            self._on_round(self._format != self._proven, waiting)

    def _finished(self) -> bool:
        frames = self.settings.frames
        return frames is not None and self.counters["strain.out"] >= frames

    def _collect(self) -> None:
        strain = self._pipeline.collect()
        # The first echo may change the grid, for which an engine may have to be built.
        self._proven = self._format if self._pipeline.format_decided else None
        if strain is None:
            return
        collected_ns = time.monotonic_ns()
        strain = self._aged(strain, collected_ns)
        self._publisher.write(strain)
        self._strain_frames += 1
        self._last_ns = collected_ns
        aged_ns = strain.age_ns if self._offset.exact else None
        if aged_ns is None:
            aged_ns = strain.stage_ns["total"]
        self._latencies.add(min(aged_ns + time.monotonic_ns() - collected_ns, MAX_AGE_NS))
        if self._on_strain is not None:
            self._on_strain(strain)

    def _aged(self, strain: StrainFrame, now_ns: int) -> StrainFrame:
        """The frame with its age, marked stale if it is too old to be called live."""
        age_ns = self._offset.age_ns(strain.stream, strain.acquired_ns, now_ns)
        # It is at least as old as its arrival, even if its stamp says otherwise.
        since_ns = max(age_ns or 0, strain.stage_ns["total"])
        stale = since_ns > 1e6 * self.settings.stale_ms
        if stale:
            self.counters.add("strain.stale")
        return strain.replace(age_ns=None if age_ns is None else since_ns, stale=stale)

    def _publish_status(self, last: dict[str, int], elapsed_ns: int) -> dict[str, int]:
        counts = self.counters.snapshot()
        rates = {
            name: 1e9 * (counts.get(name, 0) - last.get(name, 0)) / elapsed_ns
            for name in ("received", "strain.out")
        }
        # Over all frames, the summary would take ever longer and describe the present ever less.
        latency = self._latencies.summary(_STATUS_FRAMES)
        if latency.count:
            rates |= {"latency_p50_ms": latency.p50_ms, "latency_p99_ms": latency.p99_ms}
        estimator = self._pipeline.estimator
        info = {
            "engine": self.settings.engine,
            "device": estimator.device,
            "process": str(os.getpid()),
        }
        self._publisher.write_status(rates, counts, info)
        return counts

    def close(self) -> None:
        """Stop receiving and publishing. May be called twice."""
        self._receiver.close()
        self._pipeline.recent.close()
        self._publisher.close()
