"""MetaImage sequences (``.mhd`` + ``.raw``, ``.mha``), with PlusLib's fields for each frame.

An own reader because the libraries that read MetaImage (ITK, SimpleITK) are over 50 MB, load the
whole sequence and know nothing of ``Seq_Frame…_Timestamp``. Tags after the MetaIO documentation
(https://itk.org/Wiki/MetaIO/Documentation) and PlusLib's page on sequence files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources.contents import Contents, Overrides, fingerprint
from rtelasto.sources.spool import check_deflate_size, inflate, spool

_ELEMENT_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # MetaIO stores a long in 4 bytes on every platform
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MAX_HEADER_BYTES = 64 << 20
_TIMESTAMP = re.compile(r"Seq_Frame(\d+)_Timestamp")
_LATEST_S = 10**10  # the year 2286
_LATERAL, _AXIAL = "MU", "FN"  # marked/unmarked side and far/near end in PlusLib's orientations


@dataclass(frozen=True, slots=True)
class Header:
    """The tags of a MetaImage header, and where it ends in its file."""

    tags: dict[str, str]
    end: int

    def flag(self, *names: str) -> bool:
        return any(self.tags.get(name, "").lower() in ("true", "1") for name in names)

    def numbers(self, name: str, kind: type[int] | type[float]) -> list[Any]:
        try:
            return [kind(word) for word in self.tags.get(name, "").split()]
        except ValueError:
            raise RtelastoError(f"{name} must be numbers, got {self.tags[name]!r}") from None


def read_metaimage(path: Path, overrides: Overrides) -> Contents:
    """Map the RF lines of a MetaImage sequence; compressed ones through a temporary file."""
    if overrides.dataset is not None:
        raise RtelastoError(f"is one array without a name: leave out dataset {overrides.dataset!r}")
    header = read_header(path)
    shape = _shape(header)
    dtype = _dtype(header)
    data_path, start = _data_place(path, header)
    n_bytes = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    close = None
    if header.flag("CompressedData"):
        packed = data_path.stat().st_size - start
        check_deflate_size(n_bytes, packed)
        flat, close = spool(inflate(data_path, start, packed), n_bytes)
        array: NDArray[Any] = flat.view(dtype).reshape(shape)
    else:
        held = data_path.stat().st_size - start
        if "HeaderSize" in header.tags and header.numbers("HeaderSize", int) == [-1]:
            start, held = start + held - n_bytes, min(held, n_bytes)
        if held < n_bytes:
            raise RtelastoError(
                f"{data_path.name} is truncated: {held} of the {n_bytes} bytes the header promises"
            )
        array = np.memmap(data_path, dtype=dtype, mode="r", offset=start, shape=shape)
    contents = Contents(array=array, close=close)
    if data_path != path:
        contents.provenance = fingerprint(data_path, prefix="source_data")
        contents.files = (data_path,)
    _orient(contents, header)
    contents.timestamps_ns = _timestamps(header, shape[0] if len(shape) == 3 else 1)
    return contents


def read_header(path: Path) -> Header:
    """The tags up to ``ElementDataFile``, which is always the last."""
    tags: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in tags:
            line = file.readline(1 << 16)
            if not line or file.tell() > _MAX_HEADER_BYTES:
                raise RtelastoError("is truncated: its MetaImage header has no ElementDataFile")
            name, equals, value = line.decode("utf-8", errors="replace").partition("=")
            if equals:
                tags[name.strip()] = value.strip()
        return Header(tags, file.tell())


def _shape(header: Header) -> tuple[int, ...]:
    """DimSize in C order."""
    sizes = header.numbers("DimSize", int)
    if len(sizes) not in (2, 3) or header.numbers("NDims", int) not in ([], [len(sizes)]):
        raise RtelastoError(f"DimSize must be 2 or 3 sizes, as NDims says, got {sizes}")
    if min(sizes) < 1:
        raise RtelastoError(f"DimSize {' '.join(map(str, sizes))} holds no RF lines")
    if header.numbers("ElementNumberOfChannels", int) not in ([], [1]):
        raise RtelastoError(
            f"ElementNumberOfChannels is {header.tags['ElementNumberOfChannels']}: RF lines have 1"
        )
    return tuple(reversed(sizes))


def _dtype(header: Header) -> np.dtype[Any]:
    kind = header.tags.get("ElementType", "")
    if kind not in _ELEMENT_TYPES:
        raise RtelastoError(f"ElementType is {kind!r}: expected one of {', '.join(_ELEMENT_TYPES)}")
    if header.tags.get("BinaryData", "True").lower() == "false":
        raise RtelastoError("BinaryData is False: RF lines written as text are not read")
    big_endian = header.flag("ElementByteOrderMSB", "BinaryDataByteOrderMSB")
    return np.dtype((">" if big_endian else "<") + _ELEMENT_TYPES[kind])


def _data_place(path: Path, header: Header) -> tuple[Path, int]:
    """The file that holds the elements, and where in it they start."""
    name = header.tags["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, header.end
    if name.upper().startswith("LIST") or "%" in name:
        raise RtelastoError(f"ElementDataFile is {name!r}: a file for each frame is not read")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in _parts(name):
        raise RtelastoError(
            f"ElementDataFile is {name!r}: the data must lie beside or below the header"
        )
    data_path = path.parent / name
    if not data_path.is_file():
        raise RtelastoError(f"its data file {data_path} is not there")
    skip = header.numbers("HeaderSize", int)
    return data_path, skip[0] if skip and skip[0] > 0 else 0


def _parts(name: str) -> tuple[str, ...]:
    return PureWindowsPath(name).parts  # which splits at both kinds of slash


def _orient(contents: Contents, header: Header) -> None:
    """Axes and spacing, from PlusLib's orientation or else from the finer spacing.

    In ``UltrasoundImageOrientation`` a letter for each axis says where it points: M or U (marked,
    unmarked side) is lateral, F or N (far, near) is axial.
    """
    orientation = header.tags.get("UltrasoundImageOrientation", "").upper()[:2]
    spacing_mm = header.numbers("ElementSpacing", float) or header.numbers("ElementSize", float)
    stated = len(spacing_mm) >= 2 and any(step != 1.0 for step in spacing_mm[:2])
    first: str | None = None
    if len(orientation) == 2 and orientation[0] in _LATERAL and orientation[1] in _AXIAL:
        first = "line"
    elif len(orientation) == 2 and orientation[0] in _AXIAL and orientation[1] in _LATERAL:
        first = "sample"
    elif stated and spacing_mm[0] != spacing_mm[1]:
        first = "line" if spacing_mm[0] > spacing_mm[1] else "sample"
        orientation = ""
    else:
        orientation = ""
    if first is not None:
        inner = ("sample", "line") if first == "line" else ("line", "sample")
        contents.axes = inner if contents.array.ndim == 2 else ("frame", *inner)
        contents.flipped = tuple(
            name for name, backwards in (("line", "U"), ("sample", "N")) if backwards in orientation
        )
        if stated:
            axial_mm, lateral_mm = spacing_mm[:2] if first == "sample" else spacing_mm[1::-1]
            contents.axial_step_m = axial_mm * 1e-3
            contents.values["line_pitch_m"] = lateral_mm * 1e-3


def _timestamps(header: Header, n_frames: int) -> NDArray[np.int64] | None:
    """Acquisition times of the frames in ns, from ``Seq_FrameNNNN_Timestamp`` in s.

    Decimal, because seconds since 1970 with nanoseconds need more digits than a double has.
    """
    stamps: dict[int, int] = {}
    for name, value in header.tags.items():
        match = _TIMESTAMP.fullmatch(name)
        if match:
            try:
                seconds = Decimal(value)
                if not abs(seconds) < _LATEST_S:  # before the power of ten is written out
                    raise ValueError
                stamps[int(match[1])] = int(seconds * 1_000_000_000)
            except (InvalidOperation, ValueError, OverflowError):
                raise RtelastoError(f"{name} must be a time in s, got {value!r}") from None
    if not stamps or max(abs(ns) for ns in stamps.values()) >= 2**63:
        return None
    return np.array([stamps[i] for i in sorted(stamps)], dtype=np.int64)
