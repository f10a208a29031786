"""Valid HDF5 files with unexpected content: the structure-aware part of the fuzzer.

Every edit leaves a file that libhdf5 can read; the readers of rtelasto are tested.
"""

from __future__ import annotations

import contextlib
import functools
import os
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np

# The exceptions of h5py for an edit that is not possible, such as a shape for a group.
NOT_ALLOWED = (
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    RuntimeError,
    OverflowError,
)
HUGE = (2**20, 2**31, 2**40, 2**62)
TYPES: tuple[Any, ...] = (
    "i1", "u1", ">i2", "<i4", "u8", "f2", ">f4", "f8", "g", "c8", "?", "S5", "S1", "V7",
    [("a", "i4"), ("b", "f8")], [("r", "f4"), ("i", "f4")], ("i2", (3,)),
)  # fmt: skip


def special_types() -> tuple[Any, ...]:
    return (
        h5py.string_dtype(),
        h5py.string_dtype(length=7),
        h5py.vlen_dtype(np.int16),
        h5py.enum_dtype({"A": 1, "B": 2}),
        h5py.ref_dtype,
        h5py.regionref_dtype,
        h5py.opaque_dtype("M8[ns]"),
    )


@functools.cache
def bomb() -> bytes:
    """Return a deflated chunk that decodes to 32 MiB."""
    return zlib.compress(bytes(32 << 20), 9)


def edited(data: bytes, rng: Random) -> bytes:
    """Return the file with one to three edits, or unchanged if libhdf5 refuses an edit or crashes.

    The edits run in a separate process, because they can crash libhdf5, and only reading is tested here.
    """
    seed = rng.getrandbits(64)
    if not hasattr(os, "fork"):
        return _edited(data, Random(seed))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as result:
                result.write(_edited(data, Random(seed)))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as result:
        changed = result.read()
    return changed if os.waitpid(child, 0)[1] == 0 else data


def _edited(data: bytes, rng: Random) -> bytes:
    user_block = data[:512] if data.startswith(b"MATLAB") else b""
    with h5py.File.in_memory(data) as file:
        for _ in range(rng.randint(1, 3)):
            with contextlib.suppress(*NOT_ALLOWED):
                parent, name = _place(file, rng)
                rng.choice(EDITS)(file, parent, name, rng)
        file.flush()
        changed = file.id.get_file_image()
    return user_block + changed[len(user_block) :]


def _place(file: h5py.File, rng: Random) -> tuple[h5py.Group, str]:
    """Return a member of the file by its group and name."""
    places: list[str] = []
    file.visit(places.append)
    whole = rng.choice(places) if places else "a"
    parent, _, name = whole.rpartition("/")
    return file[parent or "/"], name


def _shape(rng: Random) -> tuple[int, ...]:
    sizes = (0, 1, 1, 2, 3, 8, 40, 5000)
    return tuple(rng.choice(sizes) for _ in range(rng.choice((0, 1, 2, 3, 4, 5, 8))))


def _remake(parent: h5py.Group, name: str, *args: Any, **options: Any) -> h5py.Dataset:
    attributes = dict(parent[name].attrs) if name in parent else {}
    if name in parent:
        del parent[name]
    dataset = parent.create_dataset(name, *args, **options)
    for key, value in attributes.items():
        dataset.attrs[key] = value
    return dataset


def _other_type(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    old = parent[name]
    shape = old.shape if isinstance(old, h5py.Dataset) and rng.random() < 0.7 else _shape(rng)
    if np.prod(shape) > 1e7:
        shape = (1,)
    _remake(parent, name, shape, rng.choice(TYPES + special_types()))


def _other_shape(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    old = parent[name]
    shape = _shape(rng)
    chunks = tuple(max(1, min(n, 16)) for n in shape) if shape else None
    _remake(
        parent,
        name,
        shape,
        old.dtype,
        chunks=chunks or None,
        compression="gzip" if chunks else None,
    )


def _huge_shape(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    old = parent[name]
    shape = list(old.shape) or [1]
    chunks = [max(1, min(n, 64)) for n in shape]
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(shape))
        shape[at] = rng.choice(HUGE)
        chunks[at] = rng.choice((1, 64, 4096, 2**20))
    _remake(
        parent, name, tuple(shape), old.dtype, chunks=tuple(chunks), fillvalue=rng.choice((0, 1))
    )


def _empty(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    _remake(parent, name, data=h5py.Empty(rng.choice(("f8", "i2", "S4"))))


def _value(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    old = parent[name]
    numbers = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, 2**31, -(2**63), 1e18)
    if not isinstance(old, h5py.Dataset) or old.size > 100_000 or old.dtype.kind not in "iuf":
        return
    values = np.array(old[()], np.float64)
    strange = rng.choice((*numbers, float("nan"), float("inf"), float("-inf")))
    if values.ndim and rng.random() < 0.5 and values.size:
        values.reshape(-1)[rng.randrange(values.size)] = strange
    else:
        values = np.full_like(values, strange)
    dtype = old.dtype if rng.random() < 0.5 else np.dtype("f8")
    with np.errstate(all="ignore"):
        _remake(parent, name, data=values.astype(dtype))


def _delete(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    del parent[name]


def _group(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    was_group = isinstance(parent[name], h5py.Group)
    del parent[name]
    if was_group:
        parent[name] = 1.0
    else:
        parent.create_group(name)


def _link(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    places: list[str] = []
    file.visit(places.append)
    target: Any = rng.choice(
        (
            h5py.SoftLink(parent.name.rstrip("/") + "/" + name),
            h5py.SoftLink("/gone"),
            h5py.SoftLink("/"),
            h5py.SoftLink(rng.choice(places)),
            h5py.ExternalLink("other.h5", "/" + rng.choice(places)),
            h5py.ExternalLink("/dev/zero", "/"),
            h5py.ExternalLink("/etc/passwd", "/rf"),
            parent,
            file["/"],
            file[rng.choice(places)],
            np.dtype("f8"),
        )
    )
    if rng.random() < 0.8:
        del parent[name]
    else:
        name = "more"
    parent[name] = target


def _elsewhere(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    """Store the samples in another file: raw, or HDF5."""
    old = parent[name]
    shape = old.shape
    if rng.random() < 0.5:
        path = rng.choice(("/dev/zero", "/etc/passwd", "other.raw", "../a.h5"))
        external = [(path, 0, h5py.h5f.UNLIMITED)]
        _remake(parent, name, shape, old.dtype, external=external)
    else:
        layout = h5py.VirtualLayout(shape, old.dtype)
        layout[...] = h5py.VirtualSource(
            rng.choice((".", "other.h5", "/dev/zero")), old.name, shape
        )
        del parent[name]
        parent.create_virtual_dataset(name, layout)


def _chunk(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    """Write a compressed chunk that is damaged, or decodes to much more than a chunk."""
    old = parent[name]
    data = old[()] if old.size < 100_000 else None
    if data is None or not old.shape:
        return
    new = _remake(parent, name, data=data, chunks=old.shape, compression="gzip")
    packed = bomb() if rng.random() < 0.2 else rng.randbytes(rng.randint(0, 80))
    new.id.write_direct_chunk((0,) * new.ndim, packed)


def _attribute(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    old = parent[name]
    names = ("MATLAB_class", "MATLAB_empty", "class", "zea_version", "size", "complex")
    names += ("sampling_freq_hz", "timestamps_ns", "timestamps_s", "line_pitch_m")
    key = rng.choice((*names, *old.attrs.keys()))
    place = rng.choice((old, parent, file))
    values = (
        "text", b"bytes", "", 0, -1, 2**63 - 1, float("nan"), np.arange(3), np.zeros((2, 0)), True,
        1 + 2j, h5py.Empty("f8"), old.ref, np.array([b"a", b"b"]), np.arange(8000.0),
    )  # fmt: skip
    place.attrs[key] = rng.choice(values)


def _move(file: h5py.File, parent: h5py.Group, name: str, rng: Random) -> None:
    places: list[str] = []
    file.visit(places.append)
    other = rng.choice(places)
    del parent[name]
    parent[name] = file[other]


Edit = Callable[[h5py.File, h5py.Group, str, Random], None]
EDITS: tuple[Edit, ...] = (
    _other_type, _other_shape, _huge_shape, _empty, _value, _value, _delete, _group, _link,
    _elsewhere, _chunk, _attribute, _move,
)  # fmt: skip
