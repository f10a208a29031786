"""The variables of MATLAB files of versions 4 and 5, read with SciPy in the process that opens files first.

A file of version 5 is a header and a series of elements, one per variable. SciPy gets each of them as a file
of its own. So a variable that it cannot read (a newer class, damage) leaves the others readable, and the
size of a variable in the file is known before it is unpacked.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources.file_kinds import is_mat5
from rtelasto.sources.limits import MAX_MATLAB_BYTES, MAX_MATLAB_VARIABLES, one_line
from rtelasto.sources.spool import check_deflate_size

_HEADER_BYTES = 128
_COMPRESSED = 15
_NUMERIC = {
    "double": "f8",
    "single": "f4",
    **{
        f"{sign}int{8 * size}": f"{sign or 'i'}{size}"
        for sign in ("", "u")
        for size in (1, 2, 4, 8)
    },
}
# What SciPy raises for a variable that it cannot read; the asking process handles MemoryError.
_ODD = (ValueError, TypeError, KeyError, IndexError, OSError, ArithmeticError, NotImplementedError)
_UNREADABLE = (
    *_ODD,
    AttributeError,
    AssertionError,
    EOFError,
    zlib.error,
    struct.error,
    SystemError,
)


class _Part(io.RawIOBase):
    """A file's header and one of its elements, as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        self._file, self._shift = file, start - _HEADER_BYTES
        self._size, self._at = stop - self._shift, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        left = left if size is None or size < 0 else min(size, left)
        data = b""
        if self._at < _HEADER_BYTES:
            self._file.seek(self._at)
            data = self._file.read(min(left, _HEADER_BYTES - self._at))
        if len(data) < left:
            self._file.seek(self._at + len(data) + self._shift)
            rest = self._file.read(left - len(data))
            data = data + rest if data else rest
        self._at += len(data)
        return data


def listed(path: str | Path) -> list[dict[str, Any]]:
    """List every variable: ``name``, ``shape``, ``kind``; if numeric, also ``dtype``, size and place.

    A variable that SciPy cannot read has only ``name`` and ``odd``, which gives the reason in one line.

    Raises
    ------
    RtelastoError
        If no variable at all can be listed, or there are too many.
    """
    found: list[dict[str, Any]] = []
    size = os.path.getsize(path)
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start, stop, packed in _places(file, size):
            if len(found) >= MAX_MATLAB_VARIABLES:
                raise RtelastoError(f"holds more than {MAX_MATLAB_VARIABLES} variables")
            place = {"start": start, "stop": stop, "packed": packed}
            if stop > size:
                odd = f"truncated, the file has {size} of {stop} bytes"
                found.append({"name": "?", "odd": odd})
                break
            try:
                whole = scipy.io.whosmat(_opened(file, start, stop))
            except _UNREADABLE as error:
                found.append({"name": "?", "odd": one_line(error)})
                continue
            found += [_described(*item) | place for item in whole]
    if found and all("odd" in entry for entry in found):
        raise RtelastoError(f"is damaged: {found[0]['odd']}")
    return found


def loaded(path: str | Path, entry: dict[str, Any]) -> NDArray[Any]:
    """Load the values of a numeric variable, axes reversed, which turns MATLAB's order into C order.

    Raises
    ------
    RtelastoError
        If they are damaged, or more than the file can hold.
    """
    name = entry["name"]
    n_values, held = math.prod(entry["shape"]), entry["stop"] - entry["start"]
    if entry["packed"]:
        check_deflate_size(n_values, held)  # a value takes at least one byte
    elif n_values > held:
        raise RtelastoError(f"is damaged: variable {name!r} has {n_values} values in {held} bytes")
    if entry["n_bytes"] > MAX_MATLAB_BYTES:
        raise RtelastoError(
            f"variable {name!r} has {entry['n_bytes']} bytes, more than a file of this version can "
            "hold: save it with -v7.3"
        )
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            part = _opened(file, entry["start"], entry["stop"])
            value = scipy.io.loadmat(part, variable_names=[name])[name]
        except _UNREADABLE as error:
            raise RtelastoError(f"is damaged: variable {name!r}: {one_line(error)}") from error
    array = np.asarray(value)
    if array.dtype.kind not in "iufcb":
        raise RtelastoError(f"is damaged: variable {name!r} holds {array.dtype}")
    return np.ascontiguousarray(array.T)


def _places(file: IO[bytes], size: int) -> Iterator[tuple[int, int, bool]]:
    """Yield where each element of a file of version 5 starts and stops; for version 4, the whole file."""
    head = file.read(_HEADER_BYTES)
    if not is_mat5(head):
        yield 0, size, False
        return
    if head[126:128] not in (b"IM", b"MI"):
        raise RtelastoError("is truncated or damaged: its MATLAB header has no byte order")
    order = "<" if head[126:128] == b"IM" else ">"
    start = _HEADER_BYTES
    while start + 8 <= size:
        file.seek(start)
        kind, length = struct.unpack(order + "II", file.read(8))
        stop = start + 8 + length
        if length:  # empty where libmatio or MATLAB could not save a variable
            yield start, stop, kind == _COMPRESSED
        start = stop


def _opened(file: IO[bytes], start: int, stop: int) -> IO[bytes]:
    if start == 0:
        file.seek(0)
        return file
    return _Part(file, start, stop)  # type: ignore[return-value]


def _described(name: str, shape: tuple[int, ...], kind: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "shape": [int(n) for n in shape], "kind": kind}
    if kind in _NUMERIC and min(entry["shape"], default=0) >= 0:
        entry["dtype"] = _NUMERIC[kind]
        entry["n_bytes"] = math.prod(entry["shape"]) * np.dtype(_NUMERIC[kind]).itemsize
    return entry
