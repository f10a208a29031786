"""Checks that an HDF5 object can be read here, and safely, before any of its data are read."""

from __future__ import annotations

import contextlib
import importlib
import math
from typing import Any

import h5py
import numpy as np

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.sources.limits import (
    MAX_CHUNK_BYTES,
    MAX_SCATTERED_BYTES,
    MAX_TEXT_BYTES,
    MAX_VALUES,
    MIN_CHUNK_BYTES,
)


def check_links(file: h5py.File) -> None:
    """Refuse a file that links to other files, which the user may not have chosen.

    Raises
    ------
    RtelastoError
        If one of its links is external, or of a kind that only a program's own code can follow.
    """

    def visit(name: bytes, link: Any) -> str | None:
        if link.type in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
            return None
        return name.decode(errors="replace")

    outside = file.id.links.visit(visit, info=True)
    if outside is not None:
        raise RtelastoError(
            f"its {outside!r} is a link to another file: copy the data into this one"
        )


def check_storage(dataset: h5py.Dataset) -> None:
    """Check how a dataset is stored, and load the package for its compression filter if one is needed.

    Raises
    ------
    MissingExtraError
        If that package is not installed (zea compresses with Blosc, which hdf5plugin provides).
    RtelastoError
        If it is not a dataset, is empty, has its values in another file, or has chunks that are too
        large or too small.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise RtelastoError(f"{getattr(dataset, 'name', dataset)!r} is not a dataset")
    if dataset.shape is None:
        raise RtelastoError(f"{dataset.name} is empty")
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise RtelastoError(
            f"the values of {dataset.name} lie in another file: copy them into this file"
        )
    if dataset.chunks is not None:
        size = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if size > MAX_CHUNK_BYTES:
            raise RtelastoError(
                f"stores {dataset.name} in chunks of {size} bytes, more than {MAX_CHUNK_BYTES}: "
                "rewrite it with one frame per chunk"
            )
        if size < MIN_CHUNK_BYTES and dataset.size * dataset.dtype.itemsize > MAX_SCATTERED_BYTES:
            raise RtelastoError(
                f"stores {dataset.name} in chunks of {size} bytes, which takes too long to read: "
                "rewrite it with one frame per chunk"
            )
    for n in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(n)
        if h5py.h5z.filter_avail(code):
            continue
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters with the HDF5 library
        if not h5py.h5z.filter_avail(code):
            shown = name.decode(errors="replace") or f"HDF5 filter {code}"
            raise MissingExtraError(f"{dataset.file.filename}: its {shown} compression", "zea")


def numbers(dataset: Any, at_most: int = MAX_VALUES) -> np.ndarray:
    """Read all of a dataset that holds at most this many real numbers.

    Raises
    ------
    RtelastoError
        If it holds anything else, or more, or cannot be read.
    """
    check_storage(dataset)
    if dataset.dtype.kind not in "iufb" or dataset.size > at_most:
        raise RtelastoError(
            f"{dataset.name} holds {dataset.dtype} {dataset.shape}, "
            f"expected at most {at_most} numbers"
        )
    return np.asarray(dataset[()])


def scalar(dataset: Any) -> Any:
    """Return the one number or text in a dataset, text as str.

    Raises
    ------
    RtelastoError
        If it holds anything else.
    """
    check_storage(dataset)
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.shape != () or not (is_text or dataset.dtype.kind in "iufb"):
        raise RtelastoError(f"{dataset.name} holds {dataset.dtype} {dataset.shape}, not one value")
    if dataset.dtype.itemsize > MAX_TEXT_BYTES:
        raise RtelastoError(f"{dataset.name} is a text of {dataset.dtype.itemsize} bytes")
    value = dataset[()]
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
