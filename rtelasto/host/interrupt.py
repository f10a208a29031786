"""Ctrl-C: a command ends with exit code 130 and prints nothing, wherever it is.

Python raises KeyboardInterrupt on SIGINT. That is right where there is work to clean up. Where there is none
(while modules are imported, at exit) it prints a traceback. It is lost in code that must not raise, and
other code turns it into another exception. So this module has two modes, and a command chooses between them.

It imports almost nothing: an interrupt that arrives before it is loaded is not handled this way.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

# The value of ExitCode.INTERRUPTED, whose module is slow to import.
_EXIT_CODE = 130

_handles_sigint = False
_interrupted = False


def take_over() -> None:
    """Handle Ctrl-C in this process, as its main program; at first as `leave_at_once` does."""
    global _handles_sigint
    # If the parent ignores SIGINT (nohup, or a shell that runs this in the background), keep ignoring it.
    _handles_sigint = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    leave_at_once()


def leave_at_once() -> None:
    """From now on, end the process silently on Ctrl-C: there is nothing to clean up."""
    if _handles_sigint:
        signal.signal(signal.SIGINT, _leave)


def raise_interrupt() -> None:
    """From now on, raise KeyboardInterrupt on Ctrl-C: there may be something to clean up."""
    if _handles_sigint:
        sys.unraisablehook = _on_unraisable
        signal.signal(signal.SIGINT, _raise)


def was_interrupted() -> bool:
    """Whether KeyboardInterrupt was raised, even if another exception has replaced it."""
    return _interrupted


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(_EXIT_CODE)


def _raise(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def _on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Repeat an interrupt that arrived where nothing can be raised, as in a callback."""
    if unraisable.exc_type is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        sys.__unraisablehook__(unraisable)
