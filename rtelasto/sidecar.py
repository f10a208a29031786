"""Parts of a live run that work in processes of their own: viewer, recorder, output to other programs.

Each takes its data off the streams, as it would if somebody had started its command beside the run. So
none of them can hold up the pipeline, by its work, by a slow disk or by Python's lock, and one that
fails takes nothing else with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from rtelasto.child import Child
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
        self.name = name
        self.report: dict[str, int] = {}
        self._child = Child(name, _work, make, settings)
        answer = self._child.receive(_START_S)
        if answer is None or answer[0] != "ready":
            self.close()
            raise RtelastoError(answer[1] if answer else f"the {name} did not start")
        self.ready: str = answer[1]

    @property
    def is_alive(self) -> bool:
        """Whether its process still runs."""
        return self._child.is_alive

    def ask_to_stop(self) -> None:
        """Let it begin to stop, without waiting for it."""
        self._child.send("stop")

    def close(self) -> None:
        """Stop it. May be called twice."""
        self.ask_to_stop()
        answer = self._child.receive(_STOP_S)
        if answer is not None and answer[0] == "report":
            self.report = answer[1]
        if not self._child.end(_STOP_S):
            log.warning("the %s did not stop and was killed", self.name)


def _work(pipe: Connection, make: Callable[[Any], Part], settings: object) -> None:
    """What runs in the process."""
    try:
        part = make(settings)
    except RtelastoError as error:
        pipe.send(("failed", str(error)))
        return
    # Ends with the message, or when the other end is gone: its process was killed.
    with suppress(EOFError, OSError):
        pipe.send(("ready", part.ready))
        pipe.recv()
    part.close()
    with suppress(OSError):
        pipe.send(("report", part.report()))
