"""Parts of a live run that work in processes of their own: viewer, recorder, output to other programs.

Each reads its data from the streams, as if its command had been started beside the run. So none of them can
delay the pipeline by its work, by a slow disk or by Python's lock, and a failure of one affects nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.live.child_process import Child

# Includes compiling and importing on a slow machine.
_START_S = 60.0
_STOP_S = 5.0
_LOOK_S = 0.5

log = logging.getLogger(__name__)


class Part(Protocol):
    """The object in a sidecar; it works from its creation until it is closed.

    ``ready`` is a line for the user; ``report()`` returns its counts after `close`.
    """

    ready: str

    def report(self) -> dict[str, int]: ...

    def close(self) -> None: ...


class Sidecar(Closing):
    """A process that creates a `Part` and keeps it until this side closes or dies.

    The constructor does not wait: several sidecars start in parallel, and the run continues meanwhile.
    `look` reads the result of the start.

    Parameters
    ----------
    name
        Name of the part in messages.
    make
        Creates the part: a function that can be imported, not a lambda.
    settings
        Its one argument; must be picklable.

    Attributes
    ----------
    ready
        The part's line for the user; empty before it is ready.
    failure
        Why it could not be created; empty where it could.
    report
        Its counts; empty until it is closed, and where it had failed.
    """

    def __init__(self, name: str, make: Callable[[Any], Part], settings: object) -> None:
        self.name = name
        self.ready = ""
        self.failure = ""
        self.report: dict[str, int] = {}
        self._give_up_s = time.monotonic() + _START_S
        self._child = Child(name, _work, make, settings)

    @property
    def is_alive(self) -> bool:
        """Whether its process is running."""
        return self._child.is_alive

    def look(self, timeout_s: float = 0.0) -> bool:
        """Read its answer, waiting up to ``timeout_s`` for it; True if it arrived in this call.

        Then either ``ready`` or ``failure`` is set, and remains set.
        """
        if self.ready or self.failure:
            return False
        answer = self._child.receive(timeout_s)
        if answer is not None and answer[0] == "ready":
            self.ready = answer[1]
        elif answer is not None:
            self.failure = answer[1]
        elif self._child.ended:
            self.failure = "its process ended at its start"
        elif time.monotonic() > self._give_up_s:
            self.failure = f"it did not start within {_START_S:.0f} s"
        return bool(self.ready or self.failure)

    def wait_until_ready(self) -> None:
        """Wait until the part is ready.

        Raises
        ------
        RtelastoError
            If it could not be created; the message is its own.
        """
        while not (self.ready or self.failure):
            self.look(_LOOK_S)
        if self.failure:
            raise RtelastoError(f"the {self.name} could not start: {self.failure}")

    def ask_to_stop(self) -> None:
        """Ask it to stop, without waiting for it."""
        self._child.send("stop")

    def close(self) -> None:
        """Stop it. May be called twice."""
        self.ask_to_stop()
        deadline = time.monotonic() + _STOP_S
        while (answer := self._child.receive(deadline - time.monotonic())) is not None:
            # A part that was still starting first reports that it is ready.
            if answer[0] == "report":
                self.report = answer[1]
                break
        if not self._child.end(_STOP_S):
            log.warning("the %s did not stop and was killed", self.name)


def _work(pipe: Connection, make: Callable[[Any], Part], settings: object) -> None:
    """The main function of the process."""
    try:
        part = make(settings)
    except RtelastoError as error:
        pipe.send(("failed", str(error)))
        return
    # Returns at a message, or when the other end is closed because its process was killed.
    with suppress(EOFError, OSError):
        pipe.send(("ready", part.ready))
        pipe.recv()
    part.close()
    with suppress(OSError):
        pipe.send(("report", part.report()))
