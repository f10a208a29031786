"""Kernels run over the lines of an image on all the cores that they may use (`rtelasto.host.threads`).

Plain threads around kernels that release the GIL rather than numba's parallel loops: these compile
several times as long, and some of their threading layers end the process when two threads of a
program enter them at once.
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
    """Run tasks on the pool, return when all are done; the first error is raised."""
    pool = _pool(kernel_threads())
    for done in [pool.submit(task) for task in tasks]:
        done.result()


def over_lines(kernel: Callable[..., Any], n_lines: int, *arguments: Any) -> None:
    """kernel(*arguments, begin, end) for ranges that make up 0 … n_lines, one to a core.

    Must not be called from a kernel or task of its own: the pool would wait for itself.
    """
    n_parts = min(kernel_threads(), n_lines)
    edges = [n_lines * part // n_parts for part in range(n_parts + 1)]
    run_side_by_side(*(partial(kernel, *arguments, begin, end) for begin, end in pairwise(edges)))
