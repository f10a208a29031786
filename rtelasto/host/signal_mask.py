"""Processes that a Ctrl-C in their terminal does not reach: their parent decides when they end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Start processes in this block that a Ctrl-C in their terminal does not end.

    They inherit a signal mask, which Windows does not have. A Ctrl-C during the block is handled after it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
