"""MATLAB recordings of versions 4 and 5; those of version 7.3 are HDF5 files.

SciPy reads them in another process (`rtelasto.sources.first_look`): a damaged file can crash SciPy, which is
documented not to be hardened, and used a type code out of range as a pointer until
https://github.com/scipy/scipy/pull/25349. The requested variable arrives through a temporary file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources.axes import holds_lines
from rtelasto.sources.contents import (
    BESIDE,
    Contents,
    Overrides,
    scalar_values,
)
from rtelasto.sources.first_look import list_matlab, load_matlab
from rtelasto.sources.times import take_times

_MAX_SMALL_BYTES = 1 << 27
_WORKSPACE = ("Trans", "Receive", "Resource")
_SHOWN = 8


def read_matlab(path: Path, overrides: Overrides) -> Contents:
    """Read a numeric variable of a MATLAB file of version 4 or 5 through a temporary file.

    Raises
    ------
    RtelastoError
        If no variable can be RF lines, several can, or the one that was named cannot.
    """
    entries = list_matlab(path)
    variables = {entry["name"]: entry for entry in entries if "odd" not in entry}
    odd = [entry["odd"] for entry in entries if "odd" in entry]
    name = _choose(variables, overrides.dataset, odd)
    beside = {
        other: _small(path, variables[other])
        for other in BESIDE
        if "dtype" in variables.get(other, {})
    }
    array, close = load_matlab(path, variables[name])
    contents = Contents(
        array=array,
        # MATLAB stores doubles that are whole numbers in a smaller type.
        dtype=np.dtype(variables[name]["dtype"]) if array.dtype.kind != "c" else None,
        matlab_order=True,
        values=scalar_values(beside),
        provenance={"source_dataset": name},
        close=close,
    )
    take_times(contents, beside)
    if odd:
        plural = "s" * (len(odd) > 1)
        contents.notes.append(f"{len(odd)} variable{plural} cannot be read: {odd[0]}")
    return contents


def structured(name: str, kind: str) -> str:
    """Describe a variable that is not an array of numbers, and what to do about it."""
    if kind == "struct":
        return (
            f"variable {name!r} is a struct: save the array in it, in MATLAB "
            f"rf = {name}.FIELD; save('rf.mat', 'rf', '-v7.3')"
        )
    if kind == "cell":
        return (
            f"variable {name!r} is a cell array: save its frames as one array, in MATLAB "
            f"rf = cat(3, {name}{{:}}); save('rf.mat', 'rf', '-v7.3')"
        )
    return f"variable {name!r} is {kind}: RF lines are an array of real numbers"


def _small(path: Path, variable: dict[str, Any]) -> NDArray[Any]:
    """Load a small variable into memory."""
    if variable["n_bytes"] > _MAX_SMALL_BYTES:
        raise RtelastoError(
            f"{variable['name']} has {variable['n_bytes']} bytes: too long for one value"
        )
    array, close = load_matlab(path, variable)
    values = np.array(array)
    close()
    return values


def _choose(variables: dict[str, dict[str, Any]], dataset: str | None, odd: list[str]) -> str:
    shown = [
        f"{v['name']} {tuple(v['shape'])} {v['kind']}" for v in list(variables.values())[:_SHOWN]
    ]
    shown += ["…"] if len(variables) > _SHOWN else []
    shown += [f"{len(odd)} that cannot be read ({odd[0]})"] if odd else []
    listing = ", ".join(shown) or "no variables"
    if dataset is not None:
        if dataset not in variables:
            raise RtelastoError(f"has no variable {dataset!r}: it holds {listing}")
        if "dtype" not in variables[dataset]:
            raise RtelastoError(structured(dataset, variables[dataset]["kind"]))
        return dataset
    if all(variables.get(name, {}).get("kind") == "struct" for name in _WORKSPACE):
        raise RtelastoError(
            "is a Verasonics workspace that was saved without -v7.3: in MATLAB, "
            "save('press.mat', '-v7.3')"
        )
    candidates = [
        v["name"]
        for v in variables.values()
        if "dtype" in v and v["name"] not in BESIDE and holds_lines(tuple(v["shape"]))
    ]
    if len(candidates) != 1:
        which = "several arrays that could be RF lines" if candidates else "no array of RF lines"
        boxes = [v for v in variables.values() if v["kind"] in ("struct", "cell")]
        advice = "name it with --dataset"
        if not candidates and boxes:
            advice = structured(boxes[0]["name"], boxes[0]["kind"])
        raise RtelastoError(f"holds {which} ({listing}): {advice}")
    return str(candidates[0])
