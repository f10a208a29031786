"""Runs kernels over the lines of an image on all available cores (`rtelasto.host.threads`).

It uses plain threads around kernels that release the GIL, not numba's parallel loops: those take several
times as long to compile, and some of their threading layers abort the process when two threads enter them at
once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

from rtelasto.host.threads import kernel_threads


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="rtelasto-lines")


def run_side_by_side(*tasks: Callable[[], Any]) -> None:
    """Run tasks on the pool, wait for all of them, and raise the first error."""
    pool = _pool(kernel_threads())
    for done in [pool.submit(task) for task in tasks]:
        done.result()


def over_lines(kernel: Callable[..., Any], n_lines: int, *arguments: Any) -> None:
    """Call kernel(*arguments, begin, end) for ranges that together cover 0 … n_lines, one per core.

    A kernel or task on the pool must not call this: the pool would wait for itself.
    """
    n_parts = min(kernel_threads(), n_lines)
    edges = [n_lines * part // n_parts for part in range(n_parts + 1)]
    run_side_by_side(*(partial(kernel, *arguments, begin, end) for begin, end in pairwise(edges)))
