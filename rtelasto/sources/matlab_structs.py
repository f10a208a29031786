"""Structs and cells as MATLAB 7.3 writes them into HDF5.

A struct is a group with a dataset for each field. An array of structs is a group whose fields are
datasets of references, one an element; a cell array is such a dataset itself. Text is stored as
UTF-16 codes, and what is empty as its size, with an attribute that says so.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from rtelasto.errors import RtelastoError

_MAX_VALUES = 1 << 20


class MatStruct:
    """A variable of a MATLAB 7.3 file that is a struct or an array of structs."""

    def __init__(self, file: h5py.File, name: str) -> None:
        group = file.get(name)
        if not isinstance(group, h5py.Group):
            raise RtelastoError(f"holds no struct {name}: save it beside the data")
        self._group = group
        self._name = name

    def __len__(self) -> int:
        """Elements of the array; 1 for a single struct."""
        for item in self._group.values():
            if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
                return int(item.size)
            return 1
        return 0

    def child(self, name: str) -> MatStruct | None:
        """A field of a single struct that is a struct itself."""
        group = self._group.get(name)
        if not isinstance(group, h5py.Group):
            return None
        inner = MatStruct.__new__(MatStruct)
        inner._group, inner._name = group, f"{self._name}.{name}"
        return inner

    def values(self, name: str, element: int = 0) -> np.ndarray | None:
        """A field of an element as a flat array of doubles in MATLAB's order; None if not there."""
        item = self._item(name, element)
        if item is None:
            return None
        if item.size > _MAX_VALUES or item.dtype.kind not in "iufb":
            raise RtelastoError(f"{self._name}.{name} holds {item.dtype} {item.shape}, not numbers")
        return np.ravel(item[()]).astype(np.float64)

    def number(self, name: str, element: int = 0) -> float | None:
        """A field of an element that is one number; None if it is not there."""
        values = self.values(name, element)
        if values is None:
            return None
        if values.size != 1:
            raise RtelastoError(f"{self._name}.{name} holds {values.size} numbers, 1 is expected")
        return float(values[0])

    def matrix(self, name: str) -> np.ndarray | None:
        """A field as MATLAB shows it, rows first."""
        item = self._item(name, 0)
        return None if item is None else np.asarray(item[()], np.float64).T

    def text(self, name: str, element: int = 0) -> str | None:
        """A field of an element that is text; None if it is not there."""
        values = self.values(name, element)
        return None if values is None else "".join(chr(int(code)) for code in values)

    def _item(self, name: str, element: int) -> h5py.Dataset | None:
        item = self._group.get(name)
        if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
            item = self._group.file[np.ravel(item[()])[element]]
        if not isinstance(item, h5py.Dataset) or "MATLAB_empty" in item.attrs:
            return None
        return item


def cell(file: h5py.File, name: str, element: int) -> Any:
    """An element of a cell array; the variable itself where it is no cell array."""
    item = file.get(name)
    if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
        references = np.ravel(item[()])
        if not element < references.size:
            raise RtelastoError(f"{name} has {references.size} cells, no cell {element + 1}")
        item = file[references[element]]
    return item
