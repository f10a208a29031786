"""How many cores a process uses: one number for its kernels and for the runtime of its network.

BLAS is not limited: the pipeline multiplies no matrix that is large enough for BLAS to use several threads.
"""

from __future__ import annotations

import os

from rtelasto.errors import RtelastoError

MAX_THREADS = 1024

_limit: int | None = None


def check_threads(threads: int | None) -> None:
    """Raise RtelastoError unless ``threads`` is None or a valid number of threads."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise RtelastoError(f"threads must lie in 1…{MAX_THREADS}, got {threads}")


def limit_threads(threads: int | None) -> None:
    """Limit the kernels of this process to this many cores from now on; None changes nothing.

    Raises
    ------
    RtelastoError
        If ``threads`` is not a valid number of threads.
    """
    global _limit
    check_threads(threads)
    if threads is not None:
        _limit = threads


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kernel_threads() -> int:
    """Number of threads that a kernel runs on."""
    return _limit or available_cores()
