"""NumPy recordings: ``.npy`` mapped in place, ``.npz`` through a temporary file. No pickles."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.sources.axes import holds_lines
from rtelasto.sources.contents import BESIDE, Contents, Overrides, scalar_values
from rtelasto.sources.limits import one_line
from rtelasto.sources.spool import check_deflate_size, spool
from rtelasto.sources.times import take_times

_SMALL_BYTES = 1 << 27
_MAX_MEMBERS = 1024
_MAX_HEADER_BYTES = 10_000  # NumPy's own limit
_SHOWN = 8
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class _Array:
    """An array in an archive, and where its first byte lies in its member."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path, overrides: Overrides) -> Contents:
    """Map a ``.npy`` file."""
    if overrides.dataset is not None:
        raise RtelastoError(f"is one array without a name: omit dataset {overrides.dataset!r}")
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
    """Read the one array of a ``.npz`` file that can be RF lines, through a temporary file.

    Members that cannot be read (pickles, other compression) leave the others readable.
    """
    with zipfile.ZipFile(path) as archive:
        members = _members(archive)
        arrays = {name: member for name, member in members.items() if isinstance(member, _Array)}
        name = _choose(members, overrides.dataset)
        stored = arrays[name]
        info = archive.getinfo(name + ".npy")
        check_deflate_size(stored.n_bytes, info.compress_size)
        with archive.open(info) as member:
            member.read(stored.offset)
            flat, close = spool(_pieces(member), stored.n_bytes)
        found = {key: _load_small(archive, key) for key in BESIDE if key in arrays}
    array = flat.view(stored.dtype).reshape(stored.shape, order="F" if stored.fortran else "C")
    contents = Contents(
        array=array,
        values=scalar_values(found),
        provenance={"source_dataset": name},
        close=close,
    )
    take_times(contents, found)
    return contents


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, Fortran order and dtype of an array; leave the file at its first byte."""
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
    except Exception as error:  # a damaged header can raise almost any exception of the parser
        raise RtelastoError(f"has a damaged NumPy header: {error}") from error
    if dtype.hasobject:
        raise RtelastoError(
            "holds Python objects (a pickle), which could run code and are never loaded: "
            "save a plain numeric array"
        )
    return shape, fortran_order, dtype


def _header_only(file: IO[bytes], version: tuple[int, int]) -> IO[bytes]:
    """Return length and text of a header as a file; NumPy checks the length only after reading it all."""
    length = file.read(2 if version == (1, 0) else 4)
    n_bytes = int.from_bytes(length, "little")
    if n_bytes > _MAX_HEADER_BYTES:
        raise RtelastoError(
            f"has a header of {n_bytes} bytes, at most {_MAX_HEADER_BYTES} are read"
        )
    return io.BytesIO(length + file.read(n_bytes))


def _members(archive: zipfile.ZipFile) -> dict[str, _Array | str]:
    """Return every array in the archive, or one line on why it cannot be read."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise RtelastoError(f"holds {len(infos)} members, more than {_MAX_MEMBERS}")
    members: dict[str, _Array | str] = {}
    for info in infos:
        if info.filename.endswith(".npy"):
            try:
                found: _Array | str = _member(archive, info)
            except (RtelastoError, *_DAMAGE) as error:
                found = one_line(error)
            members[info.filename.removesuffix(".npy")] = found
    return members


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Array:
    if info.flag_bits & 1 or info.compress_type not in _PACKINGS:
        raise RtelastoError(
            f"{info.filename} is encrypted or not compressed as NumPy does: save it with np.savez"
        )
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member)
        array = _Array(shape, fortran, dtype, member.tell())
    if info.file_size != array.offset + array.n_bytes:
        raise RtelastoError(
            f"{info.filename} promises {array.n_bytes} bytes but holds {info.file_size - array.offset}"
        )
    return array


def _choose(members: dict[str, _Array | str], dataset: str | None) -> str:
    shown = [
        f"{name} {member.shape}" if isinstance(member, _Array) else f"{name} ({member})"
        for name, member in members.items()
    ]
    listing = ", ".join(shown[:_SHOWN] + ["…"] * (len(shown) > _SHOWN)) or "no arrays"
    if dataset is not None:
        if dataset not in members:
            raise RtelastoError(f"has no array {dataset!r}: it holds {listing}")
        found = members[dataset]
        if not isinstance(found, _Array):
            raise RtelastoError(f"array {dataset!r} cannot be read: it {found}")
        return dataset
    candidates = [
        name
        for name, member in members.items()
        if isinstance(member, _Array) and name not in BESIDE and member.dtype.kind in "iufc"
        and holds_lines(member.shape)
    ]  # fmt: skip
    if len(candidates) != 1:
        which = "several arrays that could be RF lines" if candidates else "no array of RF lines"
        raise RtelastoError(f"holds {which} ({listing}): name it with --dataset")
    return candidates[0]


def _load_small(archive: zipfile.ZipFile, name: str) -> Any:
    info = archive.getinfo(name + ".npy")
    if info.file_size > _SMALL_BYTES:
        raise RtelastoError(
            f"{name} has {info.file_size} bytes: too many for a value of the format"
        )
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _pieces(member: IO[bytes]) -> Iterator[bytes]:
    while piece := member.read(1 << 20):
        yield piece
