"""Structs and cells as MATLAB 7.3 writes them into HDF5.

A struct is a group with a dataset for each field. An array of structs is a group whose fields are
datasets of references, one per element; a cell array is a dataset of references itself. Text is stored as
UTF-16 codes. An empty array is stored as its size, with an attribute that marks it as empty.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.sources.hdf5_storage import check_storage, numbers

_MAX_ELEMENTS = 1 << 16
_MAX_TEXT = 256


class MatStruct:
    """A variable of a MATLAB 7.3 file that is a struct or an array of structs."""

    def __init__(self, file: h5py.File, name: str) -> None:
        group = file.get(name)
        if not isinstance(group, h5py.Group):
            raise RtelastoError(f"holds no struct {name}: save it in the same file")
        self._group = group
        self._name = name
        self._references: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        """Number of elements of the array; 1 for a single struct."""
        for item in self._group.values():
            if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
                return _references(item).size
            return 1
        return 0

    def child(self, name: str) -> MatStruct | None:
        """Return a field of a single struct that is a struct itself."""
        group = self._group.get(name)
        if not isinstance(group, h5py.Group):
            return None
        inner = MatStruct.__new__(MatStruct)
        inner._group, inner._name, inner._references = group, f"{self._name}.{name}", {}
        return inner

    def values(self, name: str, element: int = 0) -> np.ndarray | None:
        """Return a field of an element as a flat array of doubles in MATLAB's order; None if absent."""
        item = self._item(name, element)
        return None if item is None else np.ravel(numbers(item)).astype(np.float64)

    def number(self, name: str, element: int = 0) -> float | None:
        """Return a field of an element that is one number; None if absent."""
        values = self.values(name, element)
        if values is None:
            return None
        if values.size != 1:
            raise RtelastoError(f"{self._name}.{name} holds {values.size} numbers, 1 is expected")
        return float(values[0])

    def matrix(self, name: str) -> np.ndarray | None:
        """Return a field as MATLAB shows it, rows first."""
        item = self._item(name, 0)
        return None if item is None else numbers(item).astype(np.float64).T

    def text(self, name: str, element: int = 0) -> str | None:
        """Return a field of an element that is text; None if absent."""
        values = self.values(name, element)
        return None if values is None else "".join(chr(int(code)) for code in values[:_MAX_TEXT])

    def _item(self, name: str, element: int) -> h5py.Dataset | None:
        item = self._group.get(name)
        if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
            if name not in self._references:  # reading them again for each element is quadratic
                self._references[name] = _references(item)
            item = self._group.file[self._references[name][element]]
        if not isinstance(item, h5py.Dataset) or "MATLAB_empty" in item.attrs:
            return None
        return item


def _references(item: h5py.Dataset) -> np.ndarray:
    """Return what an array of structs or a cell array refers to, in MATLAB's order."""
    check_storage(item)
    if item.size > _MAX_ELEMENTS:
        raise RtelastoError(f"{item.name} has {item.size} elements, more than {_MAX_ELEMENTS}")
    return np.ravel(item[()])


def cell(file: h5py.File, name: str, element: int) -> Any:
    """Return an element of a cell array; the variable itself if it is not a cell array."""
    item = file.get(name)
    if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
        references = _references(item)
        if not element < references.size:
            raise RtelastoError(f"{name} has {references.size} cells, no cell {element + 1}")
        item = file[references[element]]
    return item
