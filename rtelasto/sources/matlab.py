"""MATLAB recordings of version 5; those of version 7.3 are HDF5 files.

An own reader of numeric arrays, because SciPy's loads the whole variable, and a damaged file can end
the process in it: it is documented not to be hardened, and a type code out of range is used as a
pointer (https://github.com/scipy/scipy/pull/25349). Layout after MathWorks' "MAT-File Format",
section "Level 5 MAT-File Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources.contents import PHYSICS, Contents, Overrides, scalar_values, timestamps_from
from rtelasto.sources.spool import check_deflate_size, inflate, spool

Order = Literal["<", ">"]

_MATRIX, _COMPRESSED = 14, 15
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_NUMERIC = range(6, 16)
_COMPLEX_FLAG = 0x0800
_HEADER_BYTES = 128
_HEAD_BYTES = 4096  # flags, up to 32 dimensions and a name of 63 letters take far less
_MAX_SMALL_BYTES = 1 << 27
_MAX_ELEMENTS = 1 << 14


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable and where its real part lies.

    ``start`` and ``length`` span the element in the file, ``offset`` and ``n_bytes`` the real part in
    the element (once decompressed, where ``compressed``). MATLAB stores doubles that are whole numbers
    in a smaller ``stored`` type than their ``kind``.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    numeric: bool
    stored: np.dtype[Any]
    start: int
    length: int
    compressed: bool
    offset: int
    n_bytes: int

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.kind}"


def read_mat5(path: Path, overrides: Overrides) -> Contents:
    """Map a numeric variable of a MATLAB v5 file, through a temporary file if it is compressed."""
    try:
        variables = {variable.name: variable for variable in _variables(path)}
    except struct.error as error:
        raise RtelastoError("is damaged: a variable ends in its header") from error
    variable = _choose(variables, overrides.dataset)
    array, close = _open(path, variable)
    beside = {
        name: _load(path, variables[name])
        for name in (*PHYSICS, "timestamps_ns", "timestamps_s")
        if name in variables and variables[name].numeric
    }
    return Contents(
        array=array,
        dtype=np.dtype(variable.kind),
        matlab_order=True,
        values=scalar_values(beside),
        timestamps_ns=timestamps_from(beside),
        provenance={"source_dataset": variable.name},
        close=close,
    )


def _variables(path: Path) -> Iterator[Variable]:
    """Every variable of the file, without reading its data."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        order: Order = "<" if header[126:128] == b"IM" else ">"
        if header[126:128] not in (b"IM", b"MI"):
            raise RtelastoError("is truncated or damaged: its MATLAB header has no byte order")
        start = _HEADER_BYTES
        n_elements = 0
        while start + 8 <= size:
            n_elements += 1
            if n_elements > _MAX_ELEMENTS:
                raise RtelastoError(f"holds more than {_MAX_ELEMENTS} variables")
            file.seek(start)
            kind, length = struct.unpack(order + "II", file.read(8))
            start += 8
            if kind not in (_MATRIX, _COMPRESSED):
                raise RtelastoError(f"is damaged: an element of type {kind} at byte {start - 8}")
            if start + length > size:
                raise RtelastoError(f"is truncated: {size} of {start + length} bytes")
            if kind == _COMPRESSED:
                head = b"".join(inflate(path, start, length, at_most=_HEAD_BYTES))
                inner, unpacked = _tag(head, 0, order)[:2]
                if inner != _MATRIX:
                    raise RtelastoError(f"is damaged: a compressed element of type {inner}")
                yield _variable(head, 8, 8 + unpacked, order, start, length, compressed=True)
            elif length:
                head = file.read(min(length, _HEAD_BYTES))
                yield _variable(head, 0, length, order, start, length, compressed=False)
            start += length


def _tag(data: bytes, at: int, order: Order) -> tuple[int, int, int, int]:
    """Type and size of the element at a place, where its data start and where the next one does."""
    if at + 8 > len(data):
        raise RtelastoError("is damaged: a variable ends in its header")
    kind, length = struct.unpack_from(order + "II", data, at)
    if kind >> 16:  # up to 4 bytes are packed into the tag
        return kind & 0xFFFF, kind >> 16, at + 4, at + 8
    return kind, length, at + 8, at + 8 + (length + 7) // 8 * 8


def _variable(
    head: bytes, at: int, end: int, order: Order, start: int, length: int, *, compressed: bool
) -> Variable:
    _, _, flags_at, at = _tag(head, at, order)
    flags = struct.unpack_from(order + "I", head, flags_at)[0]
    _, dims_bytes, dims_at, at = _tag(head, at, order)
    if not 8 <= dims_bytes <= 128 or dims_at + dims_bytes > len(head):
        raise RtelastoError(f"is damaged: a variable with {dims_bytes // 4} dimensions")
    shape = struct.unpack_from(f"{order}{dims_bytes // 4}i", head, dims_at)
    _, name_bytes, name_at, at = _tag(head, at, order)
    name = head[name_at : name_at + name_bytes].decode("ascii", errors="replace")
    kind = _CLASSES.get(flags & 0xFF, "unknown")
    numeric = (flags & 0xFF) in _NUMERIC
    stored, offset, n_bytes = np.dtype("u1"), 0, 0
    if numeric and flags & _COMPLEX_FLAG:
        kind, numeric = "complex (IQ)", False
    elif numeric:
        code, n_bytes, offset, _ = _tag(head, at, order)
        if code not in _STORED:
            raise RtelastoError(f"is damaged: variable {name!r} has data of type {code}")
        stored = np.dtype(_STORED[code]).newbyteorder(order)
        expected = int(np.prod(shape, dtype=np.float64)) * stored.itemsize
        if min(shape) < 0 or n_bytes != expected or offset + n_bytes > end:
            raise RtelastoError(
                f"is damaged: variable {name!r} of shape {shape} has {n_bytes} bytes, "
                f"expected {expected}"
            )
    return Variable(name, shape, kind, numeric, stored, start, length, compressed, offset, n_bytes)


def _open(path: Path, variable: Variable) -> tuple[NDArray[Any], Any]:
    """The variable with its axes reversed, which puts MATLAB's order in C order; and its closer."""
    shape = tuple(reversed(variable.shape))
    if variable.n_bytes == 0:
        return np.zeros(shape, variable.stored), None
    if not variable.compressed:
        place = variable.start + variable.offset
        return np.memmap(path, variable.stored, mode="r", offset=place, shape=shape), None
    check_deflate_size(variable.n_bytes, variable.length)
    flat, close = spool(_part(path, variable), variable.n_bytes)
    return flat.view(variable.stored).reshape(shape), close


def _load(path: Path, variable: Variable) -> NDArray[Any]:
    """A small variable in memory."""
    if variable.n_bytes > _MAX_SMALL_BYTES:
        raise RtelastoError(f"{variable.name} is {variable.n_bytes} bytes: too long for one value")
    array, close = _open(path, variable)
    values = np.array(array, np.dtype(variable.kind))
    if close is not None:
        close()
    return values


def _part(path: Path, variable: Variable) -> Iterator[bytes]:
    """The decompressed bytes of a variable's real part."""
    end = variable.offset + variable.n_bytes
    position = 0
    for piece in inflate(path, variable.start, variable.length, at_most=end):
        skipped = max(0, variable.offset - position)
        position += len(piece)
        if skipped < len(piece):
            yield piece[skipped:]


def _choose(variables: dict[str, Variable], dataset: str | None) -> Variable:
    listing = ", ".join(map(str, list(variables.values())[:8])) or "no variables"
    if dataset is not None:
        if dataset not in variables:
            raise RtelastoError(f"has no variable {dataset!r}: it holds {listing}")
        if not variables[dataset].numeric:
            raise RtelastoError(
                f"variable {dataset!r} is {variables[dataset].kind}: RF lines are real numbers"
            )
        return variables[dataset]
    candidates = [
        variable
        for variable in variables.values()
        if variable.numeric and 2 <= len(variable.shape) <= 4 and min(variable.shape) != 1
    ]
    if len(candidates) != 1:
        which = "several arrays that could be RF lines" if candidates else "no array of RF lines"
        raise RtelastoError(f"holds {which} ({listing}): name it with --dataset")
    return candidates[0]
