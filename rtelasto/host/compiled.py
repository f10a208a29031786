"""Kernels that numba compiles for this processor on their first call, and the cache of compiled code.

Compiled code is stored in the first of these folders that is writable: ``NUMBA_CACHE_DIR``, the
``__pycache__`` beside a kernel's source, numba's folder in the user's cache folder. If none is writable (a
read-only installation in a container, for example), or the disk is full, every process compiles again. It
starts more slowly, and there is no other effect. The log reports this once. It also reports once why the
first command after an installation is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, NullCache

log = logging.getLogger(__name__)

_COMPILING = (
    "compiling for this processor, as after every installation or update: takes about a minute; "
    "run `rtelasto doctor --warm` to do it in advance"
)
_NOT_CACHED = (
    "compiled code cannot be cached (%s), so every start takes about a minute longer: "
    "set NUMBA_CACHE_DIR to a writable folder"
)
_NO_FOLDER = "neither the package's folder nor the user's cache folder is writable"

_listeners: list[Callable[[int], None]] = []
_logged: set[str] = set()
_n_compiled = 0


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function that numba compiles on its first call with arguments of each type.

    It releases Python's lock while it runs. ``options`` are those of `numba.njit`, such as ``fastmath``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        # `cache=True` does the same, but raises if no folder is writable.
        try:
            dispatcher._cache = _KernelCache(function)
        except RuntimeError:
            dispatcher._cache = _NoCache()
        return dispatcher

    return decorate


def n_compiled() -> int:
    """Number of kernels that this process has compiled, once for each combination of argument types."""
    return _n_compiled


def where_kept() -> str:
    """Return the folder that holds this package's compiled code, or a text that says there is none."""
    try:
        return str(FunctionCache(where_kept).cache_path)
    except RuntimeError:
        return f"not cached: {_NO_FOLDER}"


@contextmanager
def on_compiling(listener: Callable[[int], None]) -> Iterator[None]:
    """Call ``listener`` before a kernel is compiled, with the number of kernels begun in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class _KernelCache(FunctionCache):
    """Numba's cache of one kernel. Unreadable entries are compiled again, failed writes are ignored."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:  # a damaged file: unpickling can raise anything
            log.debug("%s: not readable as compiled code (%s)", self.cache_path, error)
            self._forget()
        if found is None:
            _begin_compiling(logging.INFO, _COMPILING)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _log_once(logging.WARNING, _NOT_CACHED, f"{self.cache_path}: {error.strerror or error}")

    def _forget(self) -> None:
        # Saving reads the index first, and would fail on it again.
        try:
            self.flush()
        except OSError as error:
            log.debug("%s: cannot be written (%s)", self.cache_path, error)
            self.disable()


class _NoCache(NullCache):
    def load_overload(self, sig: Any, target_context: Any) -> None:
        _begin_compiling(logging.WARNING, _NOT_CACHED, _NO_FOLDER)


def _begin_compiling(level: int, message: str, *arguments: object) -> None:
    """Count, log and announce a compilation. Called with numba's compiler lock held."""
    global _n_compiled
    _n_compiled += 1
    _log_once(level, message, *arguments)
    for listener in _listeners:
        listener(_n_compiled)


def _log_once(level: int, message: str, *arguments: object) -> None:
    if message not in _logged:
        _logged.add(message)
        log.log(level, message, *arguments)
