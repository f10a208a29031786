"""A process of our own at the other end of a pipe."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import process, resource_tracker
from typing import Any

from rtelasto.host.signal_mask import kept_from_children
from rtelasto.host.thread_failure import end_process_on_thread_failure
from rtelasto.host.transliterate import use_for_output
from rtelasto.telemetry import logs

# How long the kernel may take to end a process that was killed.
_KILLED_S = 2.0
_LOOK_S = 0.01

log = logging.getLogger(__name__)


class Child:
    """Starts a fresh interpreter that calls ``main(pipe, *arguments)`` and ends with it.

    Messages are pairs of a word and whatever belongs to it. Signals that a terminal sends to all of its
    processes are ignored there: when to stop is for this side to say.

    Parameters
    ----------
    name
        What to call it in messages.
    main
        A function that can be imported, not a lambda.
    arguments
        Must be picklable.
    """

    def __init__(self, name: str, main: Callable[..., None], *arguments: object) -> None:
        # Fresh: a fork would carry over sockets and threads of ours that no longer work.
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.ended = False
        """Whether it has closed its end of the pipe, which it does by ending."""
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_begin, args=(theirs, main, arguments), name=f"rtelasto {name}", daemon=True
        )
        # Starting it too, and it would end the mask.
        resource_tracker.ensure_running()
        # Until it has set its own signals, too, a Ctrl-C is for this side to answer.
        with kept_from_children():
            self._process.start()
        theirs.close()
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.is_alive()

    def send(self, word: str) -> None:
        """Tell it something; nothing happens if it is gone."""
        if not self._pipe.closed:
            with suppress(OSError):
                self._pipe.send(word)

    def receive(self, timeout_s: float) -> tuple[str, Any] | None:
        """Its next message; None if none came or it has ended."""
        if not self._pipe.closed:
            try:
                if self._pipe.poll(max(timeout_s, 0.0)):
                    return self._pipe.recv()
            except (EOFError, OSError):
                self.ended = True
        return None

    def end(self, timeout_s: float) -> bool:
        """Let go of it and wait until it is gone; False if it had to be killed."""
        self._pipe.close()
        alone = self._ends_within(timeout_s)
        if not alone and not self.kill():
            log.error(
                "the %s (process %d) cannot be killed and is left behind", self.name, self.pid
            )
        return alone

    def kill(self) -> bool:
        """Make it end, whatever it is at; False if it is still there after `_KILLED_S`.

        A process in an uninterruptible call of a driver cannot be killed until the call returns. Nothing
        waits for it any more then, not even Python's own clean-up at the end of this process.
        """
        self._process.kill()
        if self._ends_within(_KILLED_S):
            return True
        # `multiprocessing` joins its daemons at exit, without a limit; this is its list of them.
        process._children.discard(self._process)  # type: ignore[attr-defined]
        return False

    def _ends_within(self, timeout_s: float) -> bool:
        """Whether it ends in this time.

        `Process.join` with a limit waits without one for a process that has closed its files and cannot
        end, hence this loop.
        """
        deadline = time.monotonic() + timeout_s
        while self._process.is_alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    @property
    def exit_code(self) -> int | None:
        """As the operating system says it; −N for signal N, None while it runs."""
        return self._process.exitcode


def _begin(pipe: Any, main: Callable[..., None], arguments: tuple[object, ...]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    use_for_output()
    logs.set_up()
    end_process_on_thread_failure()
    main(pipe, *arguments)
