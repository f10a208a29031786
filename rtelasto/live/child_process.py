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
    """Starts a new interpreter that calls ``main(pipe, *arguments)`` and exits when it returns.

    Messages are pairs of a word and its value. The child ignores the signals that a terminal sends to all
    of its processes: this side decides when it stops.

    Parameters
    ----------
    name
        Name of the process in messages.
    main
        A function that can be imported, not a lambda.
    arguments
        Its further arguments; must be picklable.
    """

    def __init__(self, name: str, main: Callable[..., None], *arguments: object) -> None:
        # Spawned: a fork would inherit sockets and threads of ours that no longer work.
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.ended = False
        """Whether it has closed its end of the pipe, which it does when it exits."""
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_begin, args=(theirs, main, arguments), name=f"rtelasto {name}", daemon=True
        )
        # Started before the block: starting the tracker inside it would end the mask.
        resource_tracker.ensure_running()
        # A Ctrl-C before the child has set its own signal handlers must not end it either.
        with kept_from_children():
            self._process.start()
        theirs.close()
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._process.is_alive()

    def send(self, word: str) -> None:
        """Send a word; does nothing if the process has exited."""
        if not self._pipe.closed:
            with suppress(OSError):
                self._pipe.send(word)

    def receive(self, timeout_s: float) -> tuple[str, Any] | None:
        """Return its next message, or None if none came or it has exited."""
        if not self._pipe.closed:
            try:
                if self._pipe.poll(max(timeout_s, 0.0)):
                    return self._pipe.recv()
            except (EOFError, OSError):
                self.ended = True
        return None

    def end(self, timeout_s: float) -> bool:
        """Close the pipe and wait for the process to exit; False if it had to be killed."""
        self._pipe.close()
        alone = self._ends_within(timeout_s)
        if not alone and not self.kill():
            log.error(
                "the %s (process %d) cannot be killed and is left behind", self.name, self.pid
            )
        return alone

    def kill(self) -> bool:
        """Kill the process; False if it is still there after `_KILLED_S`.

        A process in an uninterruptible call of a driver cannot be killed until the call returns. After this
        call nothing waits for it, not even Python's own clean-up at the end of this process.
        """
        self._process.kill()
        if self._ends_within(_KILLED_S):
            return True
        # At exit, `multiprocessing` joins the daemons in this list without a time limit.
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
        """The exit code; −N for signal N, None while the process runs."""
        return self._process.exitcode


def _begin(pipe: Any, main: Callable[..., None], arguments: tuple[object, ...]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    use_for_output()
    logs.set_up()
    end_process_on_thread_failure()
    main(pipe, *arguments)
