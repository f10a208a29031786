"""MetaImage sequences (``.mhd`` + ``.raw``, ``.mha``), with PlusLib's fields for each frame.

This reader exists because the libraries that read MetaImage (ITK, SimpleITK) are over 50 MB, load the
whole sequence and ignore ``Seq_Frame…_Timestamp``. The tags follow the MetaIO documentation
(https://itk.org/Wiki/MetaIO/Documentation) and PlusLib's page on sequence files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources import plus_tags
from rtelasto.sources.contents import Contents, Overrides, fingerprint
from rtelasto.sources.metaimage_frames import by_signal, leave_out_invalid, numbers, orient
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
_MAX_DIMS = 4


@dataclass(frozen=True, slots=True)
class Header:
    """The tags of a MetaImage header, and where the header ends in its file."""

    tags: dict[str, str]
    end: int
    data_file: bytes = b""

    def flag(self, *names: str) -> bool:
        return any(self.tags.get(name, "").lower() in ("true", "1") for name in names)

    def numbers(self, name: str, kind: type[int] | type[float]) -> list[Any]:
        return numbers(self.tags, name, kind)


def read_metaimage(path: Path, overrides: Overrides) -> Contents:
    """Map the RF lines of a MetaImage sequence; compressed data go through a temporary file.

    IQ that the tags describe is modulated back to RF lines as it is read.

    Raises
    ------
    RtelastoError
        If the header is wrong, the data do not match it, or it states that they are not RF lines.
    """
    if overrides.dataset is not None:
        raise RtelastoError(f"is one array without a name: omit dataset {overrides.dataset!r}")
    header = read_header(path)
    shape = _shape(header)
    frame_axis = plus_tags.frame_axis(header.tags, list(reversed(shape)))
    array, data_path, close, notes = _values(path, header, shape, _dtype(header))
    contents = Contents(array=array, close=close, notes=notes)
    try:
        if data_path != path:
            contents.provenance = fingerprint(data_path, prefix="source_data")
            contents.files = (data_path,)
        orient(contents, header.tags, frame_axis)
        leave_out_invalid(contents, header.tags, frame_axis)
        return by_signal(contents, header.tags, overrides)
    except BaseException:
        if close is not None:
            close()
        raise


def _values(
    path: Path, header: Header, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], Path, Any, list[str]]:
    """Return the array, the file that holds it, how to close it, and notes."""
    data_path, start = _data_place(path, header)
    n_bytes = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    held = data_path.stat().st_size - start
    if header.flag("CompressedData"):
        packed = header.numbers("CompressedDataSize", int)
        length = packed[0] if packed and 0 < packed[0] <= held else held
        check_deflate_size(n_bytes, length)
        flat, close = spool(inflate(data_path, start, length), n_bytes)
        return flat.view(dtype).reshape(shape), data_path, close, []
    from_end = "HeaderSize" in header.tags and header.numbers("HeaderSize", int) == [-1]
    if from_end:
        start, held = start + held - n_bytes, min(held, n_bytes)
    frame_bytes = n_bytes // shape[0]
    if held < n_bytes:
        raise RtelastoError(
            f"{data_path.name} is truncated: {held} of the {n_bytes} bytes the header promises "
            f"(it holds {held // frame_bytes} of {shape[0]} along the last axis of DimSize)"
        )
    notes = []
    if held > n_bytes:
        more = f"{data_path.name} holds {held} bytes, the header promises {n_bytes}"
        if (held - n_bytes) % frame_bytes or len(shape) < 3:
            raise RtelastoError(
                f"{more}: correct DimSize or ElementType, or give HeaderSize (-1: the data are last)"
            )
        notes.append(f"{more}: the last {(held - n_bytes) // frame_bytes} frames are left out")
    array = np.memmap(data_path, dtype=dtype, mode="r", offset=start, shape=shape)
    return array, data_path, None, notes


def read_header(path: Path) -> Header:
    """Read the tags up to ``ElementDataFile``, which is always the last."""
    tags: dict[str, str] = {}
    data_file = b""
    with path.open("rb") as file:
        while "ElementDataFile" not in tags:
            line = file.readline(1 << 16)
            if not line or file.tell() > _MAX_HEADER_BYTES:
                raise RtelastoError("is truncated: its MetaImage header has no ElementDataFile")
            name, equals, value = line.removeprefix(b"\xef\xbb\xbf").partition(b"=")
            if equals:
                tags[_text(name)] = _text(value)
                data_file = value.strip()
        return Header(tags, file.tell(), data_file)


def _text(data: bytes) -> str:
    """Decode text as UTF-8, or else as Latin-1, which older programs write."""
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return data.decode("latin-1").strip()


def _shape(header: Header) -> tuple[int, ...]:
    """Return DimSize in C order."""
    sizes = header.numbers("DimSize", int)
    if not 2 <= len(sizes) <= _MAX_DIMS or header.numbers("NDims", int) not in ([], [len(sizes)]):
        raise RtelastoError(f"DimSize must be 2 to 4 sizes, as many as NDims, got {sizes}")
    if min(sizes) < 1:
        raise RtelastoError(f"DimSize {' '.join(map(str, sizes))} holds no RF lines")
    if sum(size != 1 for size in sizes) > 3:
        raise RtelastoError(f"DimSize {' '.join(map(str, sizes))} is of volumes, not of RF lines")
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
    """Return the file that holds the elements, and where in it they start."""
    name = header.tags["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, header.end
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in _parts(name):
        raise RtelastoError(
            f"ElementDataFile is {name!r}: the data must lie beside or below the header"
        )
    spellings = (name, os.fsdecode(header.data_file))  # the name on the disk may be in Latin-1 too
    data_path = next(
        (path.parent / n for n in spellings if "\0" not in n and (path.parent / n).is_file()), None
    )
    if data_path is None:
        if name.upper().split()[:1] == ["LIST"] or "%" in name:  # otherwise it is one file's name
            raise RtelastoError(f"ElementDataFile is {name!r}: a file for each frame is not read")
        raise RtelastoError(f"its data file {path.parent / name} does not exist")
    skip = header.numbers("HeaderSize", int)
    return data_path, skip[0] if skip and skip[0] > 0 else 0


def _parts(name: str) -> tuple[str, ...]:
    return PureWindowsPath(name).parts  # which splits at both kinds of slash
