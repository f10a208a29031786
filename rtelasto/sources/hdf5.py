"""HDF5 recordings: zea's layout, Verasonics workspaces, UFF, MATLAB v7.3, or plain datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import PHYSICS
from rtelasto.sources.contents import (
    Contents,
    Overrides,
    scalar_values,
)
from rtelasto.sources.hdf5_storage import check_links, check_storage, numbers
from rtelasto.sources.limits import MAX_FRAMES
from rtelasto.sources.matlab import structured
from rtelasto.sources.times import take_times
from rtelasto.sources.uff import is_uff, read_uff
from rtelasto.sources.verasonics import is_verasonics, read_verasonics
from rtelasto.sources.zea import find_beamformed, is_zea, read_zea
from rtelasto.sources.zea_sent import is_sent, read_sent


def read_hdf5(path: Path, overrides: Overrides) -> Contents:
    """Open an HDF5 file of any of these kinds; its data stay on disk."""
    file = h5py.File(path, "r", locking=False)
    try:
        check_links(file)
        if is_sent(file):
            contents = read_sent(file, overrides)
        elif is_zea(file) and (
            overrides.dataset is None or find_beamformed(file, overrides.dataset)
        ):
            contents = read_zea(file, overrides.dataset)
        elif is_verasonics(file):
            contents = read_verasonics(path, file, overrides)
        elif is_uff(file):
            file.close()  # its reader opens the file itself
            return read_uff(path, overrides)
        else:
            contents = _read_plain(file, overrides)
    except RtelastoError:
        file.close()
        raise
    except Exception as error:  # damage in a file can raise almost any exception of the library
        file.close()
        raise RtelastoError(f"is damaged: {error}") from error
    contents.close = file.close
    return contents


def _read_plain(file: h5py.File, overrides: Overrides) -> Contents:
    dataset = (
        _named(file, overrides.dataset) if overrides.dataset is not None else _only_candidate(file)
    )
    check_storage(dataset)
    found = _notes_beside(dataset)
    contents = Contents(
        array=dataset,
        matlab_order="MATLAB_class" in dataset.attrs,
        values=scalar_values(found),
        provenance={"source_dataset": dataset.name},
    )
    take_times(contents, found)
    return contents


def _named(file: h5py.File, name: str) -> h5py.Dataset:
    item = file.get(name)
    if _matlab_class(item) in ("struct", "cell"):
        raise RtelastoError(structured(name, _matlab_class(item)))
    if not isinstance(item, h5py.Dataset):
        raise RtelastoError(f"has no dataset {name!r}: it holds {_listing(_arrays(file))}")
    return item


def _only_candidate(file: h5py.File) -> h5py.Dataset:
    arrays = _arrays(file)
    candidates = [item for item in arrays if 2 <= item.ndim <= 4 and min(item.shape) != 1]
    candidates = candidates or [item for item in arrays if 3 <= item.ndim <= 4]
    cells = [item.name.strip("/") for item in arrays if _matlab_class(item) == "cell"]
    if cells and not candidates:
        raise RtelastoError(structured(cells[0], "cell"))
    if len(candidates) != 1:
        which = "several arrays that could be RF lines" if candidates else "no array of RF lines"
        raise RtelastoError(
            f"holds {which} ({_listing(candidates or arrays)}): name it with --dataset"
        )
    return candidates[0]


def _matlab_class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"") if item is not None else b""
    return kind.decode("ascii", errors="replace") if isinstance(kind, bytes) else str(kind)


def _arrays(file: h5py.File) -> list[h5py.Dataset]:
    """Return all datasets with axes except MATLAB's internal ones, each object once."""
    arrays: list[h5py.Dataset] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape and not name.startswith("#"):
            arrays.append(item)

    file.visititems(visit)
    return arrays


def _listing(arrays: list[h5py.Dataset]) -> str:
    shown = [f"{item.name} {item.shape} {item.dtype}" for item in arrays[:8]]
    return ", ".join(shown + (["…"] if len(arrays) > 8 else [])) or "no arrays"


def _notes_beside(dataset: h5py.Dataset) -> dict[str, Any]:
    """Return physics and timestamps from attributes and datasets, beside the dataset and at the root."""
    found: dict[str, Any] = {}
    longest = min(max(dataset.shape, default=1), MAX_FRAMES)  # one time per frame
    for place in (dataset.file, dataset.parent):
        for name in (*PHYSICS, "timestamps_ns", "timestamps_s"):
            item = place.get(name)
            if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "iuf":
                found[name] = numbers(item, longest)
        found.update(place.attrs)
    found.update(dataset.attrs)
    return found
