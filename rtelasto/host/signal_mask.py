"""Processes that a Ctrl-C in their terminal does not reach: when they end is for their parent to say."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started in the block are not ended by a Ctrl-C in their terminal.

    They inherit a signal mask, which Windows lacks. A Ctrl-C that comes meanwhile is answered after the
    block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
