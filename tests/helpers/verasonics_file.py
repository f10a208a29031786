"""Workspaces in the HDF5 layout of MATLAB's save -v7.3, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_workspace(path: Path, variables: dict[str, Any]) -> None:
    """Write structs (dict), arrays of structs (list of dicts), cells (tuple) and arrays.

    Arrays have MATLAB's order of axes, [rows, columns, pages]; numbers and text are written unchanged.
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _write(file, name, value)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def _write(parent: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, dict):
        group = parent.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, inner in value.items():
            _write(group, key, inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        group = parent.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key in value[0]:
            _references(group, key, [element[key] for element in value])
    elif isinstance(value, tuple):
        _references(parent, name, list(value))
    elif isinstance(value, str):
        codes = np.array([[ord(letter)] for letter in value], np.uint16)
        parent.create_dataset(name, data=codes).attrs["MATLAB_class"] = np.bytes_("char")
    else:
        array = np.atleast_2d(np.asarray(value))
        if array.dtype != np.int16:
            array = array.astype(np.float64)
        if array.size == 0:
            data = parent.create_dataset(name, data=np.array(array.shape, np.uint64))
            data.attrs["MATLAB_empty"] = np.uint8(1)
        else:
            data = parent.create_dataset(name, data=array.T)
        data.attrs["MATLAB_class"] = np.bytes_("double" if array.dtype != np.int16 else "int16")


def _references(parent: h5py.Group, name: str, values: list[Any]) -> None:
    store = parent.file.require_group("#refs#")
    references = parent.create_dataset(name, (len(values), 1), h5py.ref_dtype)
    for i, value in enumerate(values):
        key = f"r{len(store)}"
        _write(store, key, value)
        references[i, 0] = store[key].ref
