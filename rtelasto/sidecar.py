"""Parts of a live run that work in processes of their own: viewer, recorder, output to other programs.

Each takes its data off the streams, as it would if somebody had started its command beside the run. So
none of them can hold up the pipeline, by its work, by a slow disk or by Python's lock, and one that
fails takes nothing else with it.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError

# Compiling and importing on a slow machine included.
_START_S = 60.0
_STOP_S = 5.0

log = logging.getLogger(__name__)


class Part(Protocol):
    """What works in a sidecar from the moment it is made until it is closed.

    ``ready`` is a line for the user; ``report()`` counts what it did, asked for after `close`.
    """

    ready: str

    def report(self) -> dict[str, int]: ...

    def close(self) -> None: ...


class Sidecar(Closing):
    """A process that makes a `Part` and keeps it until this side closes or dies.

    Parameters
    ----------
    name
        What to call it in messages.
    make
        Makes the part: a function that can be imported, not a lambda.
    settings
        Its one argument; must be picklable.

    Attributes
    ----------
    ready
        The part's line for the user.
    report
        What it counted; empty until it is closed, and where it had failed.

    Raises
    ------
    RtelastoError
        If the part could not be made; the message is its own.
    """

    def __init__(self, name: str, make: Callable[[Any], Part], settings: object) -> None:
        # A fresh interpreter: a fork would carry over sockets and threads of ours that no longer work.
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.report: dict[str, int] = {}
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, make, settings), name=f"rtelasto {name}", daemon=True
        )
        self._process.start()
        theirs.close()
        answer = self._receive(_START_S)
        if answer is None or answer[0] != "ready":
            self.close()
            raise RtelastoError(answer[1] if answer else f"the {name} did not start")
        self.ready: str = answer[1]

    @property
    def is_alive(self) -> bool:
        """Whether its process still runs."""
        return self._process.is_alive()

    def ask_to_stop(self) -> None:
        """Let it begin to stop, without waiting for it."""
        if not self._pipe.closed:
            with suppress(OSError):
                self._pipe.send("stop")

    def close(self) -> None:
        """Stop it. May be called twice."""
        self.ask_to_stop()
        if not self._pipe.closed:
            answer = self._receive(_STOP_S)
            if answer is not None and answer[0] == "report":
                self.report = answer[1]
            self._pipe.close()
            self._process.join(_STOP_S)
            if self._process.is_alive():
                log.warning("the %s did not stop and was killed", self.name)
                self._process.kill()
                self._process.join()

    def _receive(self, timeout_s: float) -> tuple[str, Any] | None:
        """The next answer; None if it did not come or the process has ended."""
        with suppress(EOFError, OSError):
            if self._pipe.poll(timeout_s):
                return self._pipe.recv()
        return None


def _work(pipe: Connection, make: Callable[[Any], Part], settings: object) -> None:
    """What runs in the process."""
    # Ctrl-C reaches every process of the terminal; when to stop is for the run to say.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        part = make(settings)
    except RtelastoError as error:
        pipe.send(("failed", str(error)))
        return
    pipe.send(("ready", part.ready))
    # Ends with the message, or when the other end is gone: its process was killed.
    with suppress(EOFError, OSError):
        pipe.recv()
    part.close()
    with suppress(OSError):
        pipe.send(("report", part.report()))
