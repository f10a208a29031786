"""A thread that fails ends its process: no process goes on with a part of it missing."""

from __future__ import annotations

import logging
import os
import sys
import threading

from rtelasto.errors import ExitCode

log = logging.getLogger("rtelasto")


def end_process_on_thread_failure() -> None:
    """From now on, an exception that ends a thread also ends the process, with exit code 70.

    Every command, and every process that a command starts, calls this once. Python's own
    `threading.excepthook` prints the exception and lets the other threads go on. A recorder whose writer has
    failed would still appear to work.
    """
    threading.excepthook = _end_process


def _end_process(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is SystemExit:
        return
    name = failure.thread.name if failure.thread is not None else "unknown"
    log.critical(
        "the thread %r failed, so this process ends: %s: %s",
        name,
        failure.exc_type.__name__,
        failure.exc_value,
        exc_info=failure.exc_value,
        extra={"fields": {"exit_code": int(ExitCode.INTERNAL)}},
    )
    logging.shutdown()
    sys.stderr.flush()
    # The main thread may wait forever for something that the failed thread held.
    os._exit(ExitCode.INTERNAL)
