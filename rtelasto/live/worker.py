"""The worker process of a live run, which the supervisor can replace."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from rtelasto.errors import ExitCode, RtelastoError
from rtelasto.frames.strain import StrainFrame
from rtelasto.live.shared_counters import SharedState
from rtelasto.settings import RunSettings

_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a run that is ready, and the device that it computes on."""

    strain: str
    device: str


def work(pipe: Connection, settings: RunSettings, shared: SharedState) -> None:
    """Run live from the message ``go`` until ``stop``, then end the process.

    Sends ``building`` (the current step), ``ready`` (`Addresses`) and at the end ``report``
    (`LiveReport`), ``refused`` (why it cannot run with the settings) or ``failed`` (the error in one line).
    """
    go, stop = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(pipe, go, stop), name="listen", daemon=True).start()
    _die_with_parent()
    code = ExitCode.DONE
    try:
        _run(pipe, settings, shared, go, stop)
    except RtelastoError as error:
        _send(pipe, "refused", str(error))
        code = ExitCode.BAD_INPUT
    except Exception as error:
        _send(pipe, "failed", f"{type(error).__name__}: {error}")
        # The traceback once per cause; the supervisor reports repetitions in one line.
        level = logging.DEBUG if shared.open()[0]["worker.failed"] else logging.ERROR
        log.log(level, "the pipeline failed", exc_info=True)
        code = ExitCode.INTERNAL
    # At once: releasing compiled code costs a third of a second of processor time, and the release of a
    # resource that has failed, such as a lost GPU, may never return.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _run(
    pipe: Connection,
    settings: RunSettings,
    shared: SharedState,
    go: threading.Event,
    stop: threading.Event,
) -> None:
    # Not at the top: the process that starts this one imports this module and does not need it.
    from rtelasto.host.compiled import on_compiling
    from rtelasto.live.run import LiveRun

    counters, position, pulse = shared.open()

    def on_strain(strain: StrainFrame) -> None:
        pulse.show(strain)
        shared.stage_times.add(strain.stage_ns)

    def on_build(done: float, phase: str) -> None:
        pulse.heartbeat(loading=True)
        _send(pipe, "building", f"compiling for the GPU, {100 * done:.0f} %: {phase}")

    def on_kernel(n_kernels: int) -> None:
        pulse.heartbeat(loading=True)
        _send(pipe, "building", f"compiling for this processor, {n_kernels} kernels")

    with (
        on_compiling(on_kernel),
        LiveRun(
            settings,
            on_strain,
            on_build,
            on_round=lambda slow, queued: pulse.heartbeat(loading=slow, queued=queued),
            counters=counters,
            position=position,
        ) as live,
    ):
        # Everything loaded so far stays, so the garbage collector need not scan it while frames arrive.
        gc.collect()
        gc.freeze()
        pipe.send(("ready", Addresses(live.strain_endpoint, live.device)))
        go.wait()
        report = live.run(stop)
    _send(pipe, "report", report)


def _send(pipe: Connection, word: str, what: object) -> None:
    with suppress(OSError):
        pipe.send((word, what))


def _listen(pipe: Connection, go: threading.Event, stop: threading.Event) -> None:
    """Follow the supervisor's messages; exit at once when it is gone."""
    with suppress(EOFError, OSError):
        while True:
            if pipe.recv() == "stop":
                stop.set()
            go.set()
    os._exit(ExitCode.INTERRUPTED)


def _die_with_parent() -> None:
    """Have Linux kill this process with the thread that started it, even in code that holds Python's lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
