"""Whether an HDF5 dataset can be decoded here, asked before anything of it is read."""

from __future__ import annotations

import contextlib
import importlib

import h5py
import numpy as np

from rtelasto.errors import MissingExtraError, RtelastoError

MAX_CHUNK_BYTES = 1 << 30
"""A chunk is decoded whole, whatever part of it is asked for."""


def check_storage(dataset: h5py.Dataset) -> None:
    """Load the package that brings the dataset's compression, if any is needed.

    Raises
    ------
    MissingExtraError
        If that package is not installed (zea compresses with Blosc, which hdf5plugin brings).
    RtelastoError
        If the dataset is stored in chunks of more than `MAX_CHUNK_BYTES`.
    """
    if dataset.chunks is not None:
        size = int(np.prod(dataset.chunks, dtype=np.float64)) * dataset.dtype.itemsize
        if size > MAX_CHUNK_BYTES:
            raise RtelastoError(
                f"stores {dataset.name} in chunks of {size} bytes, more than {MAX_CHUNK_BYTES}: "
                "rewrite it with one frame a chunk"
            )
    plist = dataset.id.get_create_plist()
    for n in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(n)
        if h5py.h5z.filter_avail(code):
            continue
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers the filters that it brings
        if not h5py.h5z.filter_avail(code):
            shown = name.decode(errors="replace") or f"HDF5 filter {code}"
            raise MissingExtraError(f"{dataset.file.filename}: its {shown} compression", "zea")
