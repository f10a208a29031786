"""Supervises a live run: its pipeline works in a child process that is watched, and replaced when it fails.

A process can be replaced after any failure: code that hangs, a lost GPU, a crash in a library, a system
out of memory. The counters continue over the restart, exact to the frame (`rtelasto.live.shared_counters`).
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rtelasto.closing import Closing
from rtelasto.errors import KeepsFailingError, RtelastoError
from rtelasto.live.child_process import Child
from rtelasto.live.closing_report import LiveReport
from rtelasto.live.shared_counters import SharedState
from rtelasto.live.systemd import ServiceManager
from rtelasto.live.worker import Addresses, work
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import unaccounted
from rtelasto.telemetry.latency import LatencySummary
from rtelasto.telemetry.prometheus import MetricsServer

# The longest delay until a stop request, an exit or a message is noticed.
_LOOK_S = 0.05
# The longest time without a heartbeat while something is loaded, compiled or built; plan builds send them.
_LOADING_S = 300.0
_STOP_S = 5.0
# After so many failures in a minute, give up.
_MOST_FAILURES = 5
_MINUTE_S = 60.0
_FIRST_PAUSE_S = 0.5

log = logging.getLogger(__name__)


class Supervisor(Closing):
    """Starts the pipeline in a process of its own, and restarts it whenever it exits without a request.

    It serves the metrics itself, so that they stay available and continue while the pipeline is replaced.

    Counters, besides those of the run: ``worker.hung``, ``worker.crashed`` (ended by a signal, from a fault
    in a library or from the kernel when memory runs out), ``worker.failed`` (ended by an exception),
    ``worker.restarts``, and ``worker.lost``, the frames that were lost with it.

    Parameters
    ----------
    settings
        Settings of the run.
    stop
        Ends `wait_until_ready` and `run`.
    on_building
        Called with a description of the step while something is compiled, for a GPU or this processor.
    on_look
        Called about ten times a second while it runs, with the counters and applied strain and quality of
        the newest strain frame.
    """

    def __init__(
        self,
        settings: RunSettings,
        stop: threading.Event,
        *,
        on_building: Callable[[str], None] | None = None,
        on_look: Callable[[Mapping[str, int], float, float], None] | None = None,
    ) -> None:
        self.settings = settings
        self.addresses: Addresses | None = None
        """Its addresses; None before it was ready for the first time."""
        self._stop = stop
        self._on_building = on_building
        self._on_look = on_look
        self._shared = SharedState()
        self.counters, _, self._pulse = self._shared.open()
        self._manager = ServiceManager()
        self._report: LiveReport | None = None
        self._failures: deque[float] = deque()
        self._ready = False
        self._failure: tuple[str, str] | None = None
        self._started_s = time.monotonic()
        self._child: Child | None = None
        self.metrics: MetricsServer | None = None
        if settings.metrics is not None:
            self.metrics = MetricsServer(
                settings.metrics, self.counters, self._pulse.gauges, self._shared.stage_times.read
            )
        self._start()

    def wait_until_ready(self) -> bool:
        """Wait until `run` can begin at once; False if it was stopped meanwhile.

        Raises
        ------
        RtelastoError
            If it cannot run with these settings.
        KeepsFailingError
            If it failed repeatedly.
        """
        while self.addresses is None and not self._stop.is_set():
            self._look()
        self._started_s = time.monotonic()
        if self.addresses is None:
            return False
        self._manager.ready(f"strain on {self.addresses.strain}")
        return True

    def run(self) -> None:
        """Keep it running until it is stopped or has published ``settings.frames`` strain frames.

        Raises
        ------
        KeepsFailingError
            If it failed repeatedly.
        """
        if self._child is not None:
            self._child.send("go")
        while self._report is None and not self._stop.is_set():
            self._look()
            if self._on_look is not None:
                self._on_look(
                    self.counters.snapshot(), self._pulse.applied_strain, self._pulse.quality
                )

    def report(self) -> LiveReport:
        """The report of the run so far, over all restarts; latencies are those since the last restart."""
        newest = self._report or LiveReport({}, LatencySummary.of([]), "arrival", 0.0, 0.0)
        seconds = time.monotonic() - self._started_s
        return replace(newest, counters=self.counters.snapshot(), seconds=seconds)

    def close(self) -> None:
        """Stop it and wait until it has exited. May be called twice."""
        if self.metrics is not None:
            self.metrics.close()
        child, self._child = self._child, None
        if child is None:
            return
        self._manager.tell("STOPPING=1")
        child.send("stop")
        deadline = time.monotonic() + (_STOP_S if self._ready else 0.0)
        while self._report is None and not child.ended and time.monotonic() < deadline:
            self._take(child, child.receive(_LOOK_S))
        if self._report is None:
            if self._ready and not child.ended:
                log.warning("the pipeline did not stop and was killed")
            child.kill()
        child.end(_STOP_S)
        self._count_the_lost()

    def _start(self) -> None:
        settings = self.settings
        if self.addresses is not None:
            # The same addresses again, even where the first start took any free port.
            settings = replace(settings, strain=self.addresses.strain)
            self.counters.add("worker.restarts")
        self._ready, self._failure = False, None
        self._rounds, self._still_s, self._looked_s = self._pulse.rounds, 0.0, time.monotonic()
        self._pulse.loading = 1
        self._pulse.forget_pair()
        try:
            self._child = Child("pipeline", work, settings, self._shared)
        except OSError as error:
            # For example, no memory for another process.
            self._failed("crashed", f"could not be started: {error.strerror or error}")

    def _look(self) -> None:
        """Read the process's messages; replace it if it has exited or hangs."""
        if self._child is None:
            self._restart_when_due()
            return
        self._take(self._child, self._child.receive(_LOOK_S))
        if self._report is not None:
            return
        if self._child.ended:
            self._child.end(_STOP_S)
            self._failed(*self._cause_of_death(self._child))
        elif not self._moves():
            self._child.kill()
            self._failed("hung", f"hung: it has not moved for {self._still_s:.1f} s and was killed")
        elif self._pulse.loading or not self._still_s:
            self._manager.all_is_well()

    def _take(self, child: Child, message: tuple[str, Any] | None) -> None:
        if message is None:
            return
        word, what = message
        if word == "building":
            if self._on_building is not None:
                self._on_building(what)
        elif word == "ready":
            self._ready = True
            if self.metrics is not None:
                self.metrics.describe({"engine": self.settings.engine, "device": what.device})
            if self.addresses is None:
                self.addresses = what
            else:
                child.send("go")
                log.info("the pipeline works again")
        elif word == "report":
            self._report = what
        else:
            self._failure = message

    def _moves(self) -> bool:
        """Whether its last heartbeat is within the time that the current step may take.

        Time in which this process did not check either, because both were stopped or the machine slept, does
        not count.
        """
        now = time.monotonic()
        elapsed_s, self._looked_s = now - self._looked_s, now
        if self._pulse.rounds != self._rounds:
            self._rounds, self._still_s = self._pulse.rounds, 0.0
        else:
            self._still_s += min(elapsed_s, 4 * _LOOK_S)
        return self._still_s < (_LOADING_S if self._pulse.loading else self.settings.hang_s)

    def _cause_of_death(self, child: Child) -> tuple[str, str]:
        if self._failure is not None:
            return "failed", f"failed: {self._failure[1]}"
        code = child.exit_code or 0
        if code < 0:
            name = (
                signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
            )
            return "crashed", f"was ended by {name}"
        return "crashed", f"ended with exit code {code}"

    def _failed(self, cause: str, why: str) -> None:
        """Count a failure, and schedule a restart or give up."""
        if self._child is not None:
            self._child.end(0.0)
            self._child = None
        if self.addresses is None and self._failure is not None and self._failure[0] == "refused":
            raise RtelastoError(self._failure[1])
        self.counters.add(f"worker.{cause}")
        lost = self._count_the_lost()
        now = time.monotonic()
        self._failures.append(now)
        while now - self._failures[0] > _MINUTE_S:
            self._failures.popleft()
        count = len(self._failures)
        fields = {"fields": {"died": cause, "frames_lost": lost}, "cause": why}
        if count >= _MOST_FAILURES:
            raise KeepsFailingError(f"the pipeline {why}, for the {count}th time in a minute")
        # At once, then after ever longer pauses: a missing resource may come back.
        pause_s = 0.0 if count == 1 else _FIRST_PAUSE_S * 2 ** (count - 2)
        self._restart_s = now + pause_s
        after = f" in {pause_s:g} s" if pause_s else ""
        log.error(
            "the pipeline %s; %d frames lost; restarting it%s", why, lost, after, extra=fields
        )

    def _count_the_lost(self) -> int:
        """Count the frames that were lost with a process, and return their number."""
        lost = max(unaccounted(self.counters.snapshot()), 0)
        if lost:
            self.counters.add("worker.lost", lost)
        return lost

    def _restart_when_due(self) -> None:
        wait_s = self._restart_s - time.monotonic()
        if wait_s > 0.0:
            time.sleep(min(wait_s, _LOOK_S))
        else:
            self._start()
