"""NumPy recordings: ``.npy`` mapped in place, ``.npz`` through a temporary file. No pickles."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.sources.contents import PHYSICS, Contents, Overrides, scalar_values, timestamps_from
from rtelasto.sources.spool import check_deflate_size, spool

_SMALL_BYTES = 1 << 27
_MAX_MEMBERS = 1024
_MAX_HEADER_BYTES = 10_000  # what NumPy itself parses
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npy(path: Path, overrides: Overrides) -> Contents:
    """Map a ``.npy`` file."""
    if overrides.dataset is not None:
        raise RtelastoError(f"is one array without a name: leave out dataset {overrides.dataset!r}")
    with path.open("rb") as file:
        shape, _, dtype = _header(file)
        promised = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
        held = path.stat().st_size - file.tell()
    if held < promised:
        raise RtelastoError(f"is truncated: {held} of the {promised} bytes its header promises")
    if promised == 0:
        raise RtelastoError(f"has shape {shape}: it holds no RF lines")
    return Contents(array=np.load(path, mmap_mode="r", allow_pickle=False))


def read_npz(path: Path, overrides: Overrides) -> Contents:
    """Lay out the one array of a ``.npz`` file that can be RF lines."""
    with zipfile.ZipFile(path) as archive:
        arrays = dict(_arrays(archive))
        name = _choose(arrays, overrides.dataset)
        shape, fortran_order, dtype, offset = arrays[name]
        info = archive.getinfo(name + ".npy")
        n_bytes = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
        check_deflate_size(n_bytes, info.compress_size)
        with archive.open(info) as member:
            member.read(offset)
            flat, close = spool(_pieces(member), n_bytes)
        found = {
            key: _load_small(archive, key)
            for key in (*PHYSICS, "timestamps_ns", "timestamps_s")
            if key in arrays
        }
    array = flat.view(dtype).reshape(shape, order="F" if fortran_order else "C")
    return Contents(
        array=array,
        values=scalar_values(found),
        timestamps_ns=timestamps_from(found),
        provenance={"source_dataset": name},
        close=close,
    )


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype of an array; leaves the file at its first byte."""
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise RtelastoError(
                f"is a NumPy file of version {version}: versions 1.0 and 2.0 are read"
            )
        shape, fortran_order, dtype = read(_header_only(file, version))
    except RtelastoError:
        raise
    except Exception as error:  # a damaged header ends in almost any exception of the parser
        raise RtelastoError(f"has a damaged NumPy header: {error}") from error
    if dtype.hasobject:
        raise RtelastoError(
            "holds Python objects (a pickle), which could run code and are never loaded: "
            "save a plain numeric array"
        )
    return shape, fortran_order, dtype


def _header_only(file: IO[bytes], version: tuple[int, int]) -> IO[bytes]:
    """Length and text of a header as a file; NumPy looks at how long it is only after reading it."""
    length = file.read(2 if version == (1, 0) else 4)
    n_bytes = int.from_bytes(length, "little")
    if n_bytes > _MAX_HEADER_BYTES:
        raise RtelastoError(
            f"has a header of {n_bytes} bytes, at most {_MAX_HEADER_BYTES} are read"
        )
    return io.BytesIO(length + file.read(n_bytes))


def _arrays(
    archive: zipfile.ZipFile,
) -> Iterator[tuple[str, tuple[tuple[int, ...], bool, np.dtype[Any], int]]]:
    """Name, and shape, order, dtype and offset of its first byte, of every array in the archive."""
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise RtelastoError(f"holds {len(members)} members, more than {_MAX_MEMBERS}")
    for info in members:
        if not info.filename.endswith(".npy"):
            continue
        if info.flag_bits & 1 or info.compress_type not in _PACKINGS:
            raise RtelastoError(
                f"{info.filename} is encrypted or not packed as NumPy packs: save it with np.savez"
            )
        with archive.open(info) as member:
            shape, fortran_order, dtype = _header(member)
            offset = member.tell()
        promised = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
        if info.file_size != offset + promised:
            raise RtelastoError(
                f"{info.filename} promises {promised} bytes but holds {info.file_size - offset}"
            )
        yield info.filename.removesuffix(".npy"), (shape, fortran_order, dtype, offset)


def _choose(
    arrays: dict[str, tuple[tuple[int, ...], bool, np.dtype[Any], int]], dataset: str | None
) -> str:
    listing = ", ".join(f"{name} {shape}" for name, (shape, *_) in arrays.items()) or "no arrays"
    if dataset is not None:
        if dataset not in arrays:
            raise RtelastoError(f"has no array {dataset!r}: it holds {listing}")
        return dataset
    candidates = [name for name, (shape, *_) in arrays.items() if 2 <= len(shape) <= 4]
    if len(candidates) != 1:
        which = "several arrays that could be RF lines" if candidates else "no array of RF lines"
        raise RtelastoError(f"holds {which} ({listing}): name it with --dataset")
    return candidates[0]


def _load_small(archive: zipfile.ZipFile, name: str) -> Any:
    info = archive.getinfo(name + ".npy")
    if info.file_size > _SMALL_BYTES:
        raise RtelastoError(
            f"{name} is {info.file_size} bytes long: too much for a value of the format"
        )
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _pieces(member: IO[bytes]) -> Iterator[bytes]:
    while piece := member.read(1 << 20):
        yield piece
