"""The file layout of the zea toolbox: RF lines in ``data/beamformed_data``, physics in ``scan``.

zea stores an image as (frame, depth, line, channel) with the position of every pixel beside it, so
line pitch, first depth and axial step follow from the positions. What zea has no place for is stored
in ``custom/`` of the files that rtelasto writes (docs/formats-written.md).
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources.contents import Contents, scalar_values
from rtelasto.sources.hdf5_storage import check_storage, numbers, scalar
from rtelasto.sources.limits import MAX_FRAMES, MAX_VALUES
from rtelasto.sources.sent_frames import StoredHeaders
from rtelasto.sources.times import take_times
from rtelasto.sources.truth import RecordedTruth

_IRREGULAR = 0.05


def is_zea(file: h5py.File) -> bool:
    """Whether the file has zea's layout, with ``tracks/track_N/data`` or ``data`` groups."""
    return bool(_tracks(file))


def find_beamformed(file: h5py.File, within: str | None = None) -> list[h5py.Group | h5py.Dataset]:
    """Return the ``beamformed_data`` of the file, or of the part of it with the path ``within``.

    They are groups; before zea 0.1.0, a dataset without positions and times.
    """
    groups = []
    for track in _tracks(file):
        group = track["data"].get("beamformed_data")
        old = isinstance(group, h5py.Dataset)
        if old or (isinstance(group, h5py.Group) and isinstance(group.get("values"), h5py.Dataset)):
            whole = group.name if old else f"{group.name}/values"
            if within is None or f"{whole}/".startswith("/" + within.strip("/") + "/"):
                groups.append(group)
    return groups


def read_zea(file: h5py.File, within: str | None) -> Contents:
    """Read the RF lines of a zea file.

    Raises
    ------
    RtelastoError
        If the file holds no RF lines, several tracks of them, or lines that are not on a regular linear grid.
    """
    groups = find_beamformed(file, within)
    if len(groups) != 1:
        raise RtelastoError(_not_one(file, groups))
    group = groups[0]
    values = group if isinstance(group, h5py.Dataset) else group["values"]
    if values.ndim != 4:
        raise RtelastoError(
            f"{values.name} has shape {values.shape}, expected (frame, depth, line, 1)"
        )
    if values.shape[3] != 1:
        raise RtelastoError(
            f"{values.name} has {values.shape[3]} channels (IQ): RF lines have 1; "
            "modulate them back to the carrier or record RF"
        )
    check_storage(values)
    contents = Contents(array=values, axes=("frame", "sample", "line", "1"))
    scan = group.parent.parent.get("scan")
    if isinstance(scan, h5py.Group):
        contents.values.update(_scan_values(scan))
    beside = group if isinstance(group, h5py.Group) else {}
    coordinates = beside.get("coordinates")
    if isinstance(coordinates, h5py.Dataset) and coordinates.ndim >= 3:
        geometry, contents.flipped = _geometry(coordinates)
        contents.axial_step_m = geometry.pop("axial_step_m")
        contents.values.update(geometry)
        # The frequency in scan/ belongs to the channel data; the image has its own axial step.
        contents.values.pop("sampling_freq_hz", None)
    seconds = beside.get("timestamps")
    if isinstance(seconds, h5py.Dataset):
        take_times(contents, {"timestamps_s": numbers(seconds, MAX_FRAMES)})
    custom = file.get("custom")
    if isinstance(custom, h5py.Group):
        read_custom(custom, contents)
    return contents


def _tracks(file: h5py.File) -> list[h5py.Group]:
    tracks = file.get("tracks")
    found = list(tracks.values()) if isinstance(tracks, h5py.Group) else [file]
    return [
        track
        for track in found
        if isinstance(track, h5py.Group)
        and isinstance(track.get("data"), h5py.Group)
        and (track is not file or "zea_version" in file.attrs or "scan" in file)
    ]


def _not_one(file: h5py.File, groups: list[h5py.Group]) -> str:
    if groups:
        return (
            f"holds {len(groups)} tracks of RF lines ({', '.join(g.name for g in groups)}): "
            "name one with --dataset"
        )
    kinds = sorted({kind for track in _tracks(file) for kind in track["data"]})
    held = f"holds {', '.join(kinds)}" if kinds else "holds no data"
    if {"raw_data", "aligned_data"} & set(kinds):
        return f"{held}: channel data must be beamformed to RF lines (data/beamformed_data) first"
    return f"{held} but no RF lines (data/beamformed_data)"


def _scan_values(scan: h5py.Group) -> dict[str, float]:
    """Read physics from zea's scan group; a value per transmit is used if all agree."""
    values = {}
    for ours, theirs in (
        ("sampling_freq_hz", "sampling_frequency"),
        ("center_freq_hz", "center_frequency"),
        ("sound_speed_m_s", "sound_speed"),
    ):
        item = scan.get(theirs)
        if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "iuf":
            array = np.ravel(numbers(item))
            if np.all(array == array[0]):
                values[ours] = float(array[0])
    return values


def _geometry(coordinates: h5py.Dataset) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return axial step, least depth and line pitch from pixel positions (…, depth, line, xyz) in m; and the
    names of the axes along which the positions decrease."""
    check_storage(coordinates)
    first = (0,) * (coordinates.ndim - 3)
    if coordinates.shape[-1] != 3 or 0 in coordinates.shape or max(coordinates.shape) > MAX_VALUES:
        raise RtelastoError(f"{coordinates.name} has shape {coordinates.shape}, expected (…, 3)")
    depth_m = [
        np.asarray(coordinates[(*first, slice(None), column, 2)], np.float64) for column in (0, -1)
    ]
    lateral_m = [
        np.asarray(coordinates[(*first, row, slice(None), 0)], np.float64) for row in (0, -1)
    ]
    step = _step(depth_m, "depths")
    values = {"start_depth_m": float(depth_m[0].min()), "axial_step_m": abs(step)}
    flipped = ["sample"] if step < 0.0 else []
    if lateral_m[0].size > 1:
        pitch = _step(lateral_m, "lines")
        values["line_pitch_m"] = abs(pitch)
        flipped += ["line"] if pitch < 0.0 else []
    return values, tuple(flipped)


def _step(positions: list[NDArray[np.float64]], what: str) -> float:
    """Mean step of positions that must rise or fall evenly, in the same way at both edges of the image."""
    one, other = positions
    if one.size < 2:
        raise RtelastoError(f"holds {one.size} {what}: too few for RF lines")
    step = (one[-1] - one[0]) / (one.size - 1)
    tolerance = _IRREGULAR * abs(step)
    even = tolerance > 0.0 and bool(np.all(np.abs(np.diff(one) - step) < tolerance))
    if not even or np.any(np.abs(one - other) >= max(tolerance, 1e-6)):
        wrong = "the same at both edges of the image" if even else "evenly spaced"
        raise RtelastoError(
            f"its {what} are not {wrong}: only linear-array images on a regular grid can be read"
        )
    return float(step)


def read_custom(custom: h5py.Group, contents: Contents) -> None:
    """Read what rtelasto adds to zea's layout, which is exact where zea's own values are single precision."""
    rf_format = custom.get("rf_format")
    if isinstance(rf_format, h5py.Group):
        found = {name: scalar(item) for name, item in rf_format.items()}
        exact = scalar_values(found)
        contents.values.update(exact)
        contents.dtype = _stored_dtype(found.get("dtype"))
    acquired = custom.get("acquired_ns")
    if isinstance(acquired, h5py.Dataset) and acquired.ndim == 1 and acquired.dtype.kind == "i":
        acquired_ns = numbers(acquired, MAX_FRAMES).astype(np.int64)
        if acquired_ns.any():
            contents.timestamps_ns = acquired_ns
    ids = custom.get("frame_id")
    if isinstance(ids, h5py.Dataset) and ids.ndim == 1 and ids.dtype.kind == "i":
        contents.frame_ids = numbers(ids, MAX_FRAMES).astype(np.int64)
    headers = custom.get("wire_header")
    if isinstance(headers, h5py.Group):
        contents.headers = StoredHeaders(headers)
    provenance = custom.get("provenance")
    if isinstance(provenance, h5py.Group):
        for name, item in provenance.items():
            contents.provenance[f"recording_{name}"] = str(scalar(item))
    truth = custom.get("truth")
    if isinstance(truth, h5py.Group):
        contents.truth = lambda rf_format: RecordedTruth(truth, rf_format)


def _stored_dtype(text: Any) -> np.dtype[Any] | None:
    """Return the type of the samples before they were stored as float32, which holds it exactly."""
    if text is None:
        return None
    try:
        dtype = np.dtype(text)
    except TypeError:
        return None
    return dtype if dtype.kind in "iuf" and dtype.itemsize <= 4 else None
