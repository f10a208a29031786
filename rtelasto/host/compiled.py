"""Kernels that numba compiles for this processor when they are first called, and what is kept of that.

Compiled code is kept in the first of these folders that can be written: ``NUMBA_CACHE_DIR``, the
``__pycache__`` beside a kernel's source, numba's own under the user's cache folder. Where none can be (a
read-only installation in a container, say), or a disk is full, every process compiles anew: slower to
start, and nothing else. The log says so once, as it says why the first command after installing is slow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, NullCache

log = logging.getLogger(__name__)

_FIRST_TIME = (
    "compiling for this processor, as after every installation or update: up to half a minute; "
    "`rtelasto doctor --warm` does it ahead"
)
_NOT_KEPT = (
    "compiled code cannot be kept (%s), so that every start takes up to half a minute longer: "
    "set NUMBA_CACHE_DIR to a folder that can be written"
)
_NO_FOLDER = "neither the package's folder nor the user's cache folder can be written"

_listeners: list[Callable[[int], None]] = []
_logged: set[str] = set()
_n_compiled = 0


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function that numba is to compile when it is first called with arguments of a type.

    It runs without Python's lock. ``options`` are those of `numba.njit`, such as ``fastmath``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        # What `cache=True` sets too, but that raises where there is no folder to write to.
        try:
            dispatcher._cache = _Kept(function)
        except RuntimeError:
            dispatcher._cache = _NotKept()
        return dispatcher

    return decorate


def n_compiled() -> int:
    """How many kernels this process has compiled, each counted for every type of arguments."""
    return _n_compiled


def where_kept() -> str:
    """The folder that compiled code of this package is kept in, or that there is none."""
    try:
        return str(FunctionCache(where_kept).cache_path)
    except RuntimeError:
        return f"not kept: {_NO_FOLDER}"


@contextmanager
def on_compiling(listener: Callable[[int], None]) -> Iterator[None]:
    """Call ``listener`` before a kernel is compiled, with how many kernels this process has begun."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class _Kept(FunctionCache):
    """Numba's cache of one kernel; what cannot be read is compiled, what cannot be written is not kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:  # a damaged file: unpickling raises anything
            log.debug("%s: not readable as compiled code (%s)", self.cache_path, error)
            self._forget()
        if found is None:
            _begin_compiling(logging.INFO, _FIRST_TIME)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(logging.WARNING, _NOT_KEPT, f"{self.cache_path}: {error.strerror or error}")

    def _forget(self) -> None:
        # Saving reads the index first, which would fail on it once more.
        try:
            self.flush()
        except OSError as error:
            log.debug("%s: cannot be written (%s)", self.cache_path, error)
            self.disable()


class _NotKept(NullCache):
    def load_overload(self, sig: Any, target_context: Any) -> None:
        _begin_compiling(logging.WARNING, _NOT_KEPT, _NO_FOLDER)


def _begin_compiling(level: int, message: str, *arguments: object) -> None:
    """Called with numba's compiler lock held."""
    global _n_compiled
    _n_compiled += 1
    _say_once(level, message, *arguments)
    for listener in _listeners:
        listener(_n_compiled)


def _say_once(level: int, message: str, *arguments: object) -> None:
    if message not in _logged:
        _logged.add(message)
        log.log(level, message, *arguments)
