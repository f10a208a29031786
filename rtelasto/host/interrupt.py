"""Ctrl-C: a command ends with exit code 130 and nothing else, wherever it is.

Python answers SIGINT by raising KeyboardInterrupt, which is right where there is work to clean up after. It
prints a traceback where there is none (while modules are loaded, at the end), and is lost in code that may
not raise, or turned into another exception. So there are two ways here, and a command says which holds.

Imports next to nothing: what comes before it is loaded cannot be answered so.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

# ExitCode.INTERRUPTED, whose module takes a while to load.
_EXIT_CODE = 130

_ours = False
_interrupted = False


def take_over() -> None:
    """Answer Ctrl-C in this process, as its main program; at first as `leave_at_once` does."""
    global _ours
    # Ignored by what started it (nohup, or a shell that put it in the background): it stays so.
    _ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    leave_at_once()


def leave_at_once() -> None:
    """From here on end the process on Ctrl-C without a word: nothing is begun yet, or all is done."""
    if _ours:
        signal.signal(signal.SIGINT, _leave)


def raise_interrupt() -> None:
    """From here on raise KeyboardInterrupt on Ctrl-C: there may be something to clean up."""
    if _ours:
        sys.unraisablehook = _on_unraisable
        signal.signal(signal.SIGINT, _raise)


def was_interrupted() -> bool:
    """Whether KeyboardInterrupt was raised, whatever exception has become of it."""
    return _interrupted


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(_EXIT_CODE)


def _raise(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def _on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """An interrupt that came where nothing may be raised, as in a callback, comes again."""
    if unraisable.exc_type is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        sys.__unraisablehook__(unraisable)
