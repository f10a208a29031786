"""The messages of the pipeline: ``strain | header | one buffer per array`` and ``status | header``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import MAX_LINES, MAX_SAMPLES, Float32Image, Grid
from rtelasto.frames.strain import PersistenceState, StrainFrame
from rtelasto.wire.message import (
    SCHEMA,
    SCHEMA_WITH_PERSISTENCE,
    SCHEMA_WITH_POOR_SHARE,
    TOPIC_STATUS,
    TOPIC_STRAIN,
    Header,
    Part,
    WireFault,
    array_of,
    buffer_of,
    check_topic,
    counts,
    nil_if_nan,
    pack_header,
    real,
    real_or_nan,
    shape_of,
    short,
    text,
    unpack_header,
    whole,
)

# Name and unit of the arrays that every strain message has, in this order.
STRAIN_ARRAYS = (("axial_strain", "1"), ("axial_displacement_m", "m"), ("correlation", "1"))
# The first further array, where B-mode is enabled: 0 is 60 dB below the reference.
BMODE_ARRAY = ("bmode", "0.25 dB")
# Further float32 arrays in their order: two of a frame with persistence, three that some engines give.
FURTHER_ARRAYS = (
    ("relative_strain", "1"),
    ("relative_strain_std", "1"),
    ("lateral_displacement_m", "m"),
    ("lateral_strain", "1"),
    ("axial_strain_std", "1"),
)
_DTYPES = ("<f4", "<i2", "|u1")


@dataclass(frozen=True, slots=True, eq=False)
class StrainMessage:
    """One message of topic ``strain``.

    ``frame`` is the strain frame; its ``stream`` is that of the RF frames. ``stream`` and ``seq`` are
    the pipeline's own, and ``clock`` is the clock of ``frame.acquired_ns``. ``arrays`` holds every further
    array by name, each (n_lines, n_depths) of the frame's grid, also those that the frame has as
    fields. ``header`` holds all keys as received. The arrays share the message's
    memory.
    """

    frame: StrainFrame
    stream: str
    seq: int
    clock: str
    arrays: dict[str, NDArray[np.generic]]
    header: Header


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a pipeline: rates per second (NaN where unknown), counters, and texts on it."""

    stream: str
    seq: int
    published_ns: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)


def encode_strain(
    frame: StrainFrame,
    *,
    stream: str,
    seq: int,
    clock: str = "unknown",
    arrays: Mapping[str, tuple[NDArray[np.generic], str]] | None = None,
) -> list[Part]:
    """The parts of a strain message; images that are C-contiguous float32 are not copied.

    Parameters
    ----------
    frame
        Strain, displacement, correlation of one pair and, if present, B-mode, relative strain, lateral motion
        and standard deviation.
    stream, seq
        Id of this run of the pipeline, and the number of its strain frames before this one.
    clock
        The clock of ``frame.acquired_ns``.
    arrays
        Further arrays by name, each (n_lines, n_depths) float32, int16 or uint8, with its unit,
        such as ``{"shear_strain": (image, "1")}``.
    """
    images = {
        name: (np.ascontiguousarray(getattr(frame, name), "<f4"), unit)
        for name, unit in STRAIN_ARRAYS
    }
    further = {
        name: (np.asarray(getattr(frame, name), np.float32), unit)
        for name, unit in FURTHER_ARRAYS
        if getattr(frame, name) is not None
    } | dict(arrays or {})
    if frame.bmode is not None:
        further = {BMODE_ARRAY[0]: (frame.bmode, BMODE_ARRAY[1])} | further
    for name, (array, unit) in further.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        if little.dtype.str not in _DTYPES or name in images:
            raise ValueError(
                f"array {name!r} of dtype {array.dtype} cannot go into a strain message"
            )
        images[name] = (little, unit)
    for name, (array, _) in images.items():
        if array.shape != frame.grid.shape:
            raise ValueError(f"{name} has shape {array.shape}, its grid {frame.grid.shape}")
    header = {
        "schema": SCHEMA,
        "type": "strain",
        "stream": text(stream, "stream"),
        "seq": whole(int(seq), "seq"),
        "rf_stream": _text_or_empty(frame.stream, "rf_stream"),
        "frame_ids": [int(frame_id) for frame_id in frame.frame_ids],
        "acquired_ns": int(frame.acquired_ns),
        "clock": text(clock, "clock"),
        "published_ns": int(frame.published_ns),
        "age_ns": None if frame.age_ns is None else whole(int(frame.age_ns), "age_ns"),
        "stale": bool(frame.stale),
        "engine": _text_or_empty(frame.engine, "engine"),
        "grid": {
            "axial_step_m": float(frame.grid.axial_step_m),
            "line_pitch_m": float(frame.grid.line_pitch_m),
            "start_depth_m": float(frame.grid.start_depth_m),
        },
        "arrays": [
            {"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "unit": unit}
            for name, (array, unit) in images.items()
        ],
        "quality": nil_if_nan(frame.quality),
        "applied_strain": nil_if_nan(frame.applied_strain),
        "timings_ns": {name: int(value) for name, value in frame.stage_ns.items()},
        "drops": {name: int(value) for name, value in frame.drops.items()},
    }
    if frame.persistence is not None:
        header["schema"] = SCHEMA_WITH_PERSISTENCE
        header["persistence"] = {
            "seconds": float(frame.persistence.seconds),
            "frames": whole(int(frame.persistence.frames), "frames"),
            "presses": whole(int(frame.persistence.presses), "presses"),
            "age_s": nil_if_nan(frame.persistence.age_s),
        }
    if math.isfinite(frame.poor_share):
        header["schema"] = SCHEMA_WITH_POOR_SHARE
        header["poor_share"] = float(frame.poor_share)
    return [TOPIC_STRAIN, pack_header(header), *(buffer_of(array) for array, _ in images.values())]


def decode_strain(parts: Sequence[Any]) -> StrainMessage:
    """Read a strain message; raises WireFault if it breaks the format in any way."""
    check_topic(parts, TOPIC_STRAIN)
    header = unpack_header(parts[1], "strain")
    arrays = _arrays(header, parts[2:])
    for name, _ in STRAIN_ARRAYS:
        if name not in arrays or arrays[name].dtype != np.float32:
            raise WireFault("arrays", f"{name} (float32) is missing")
    images = {name: arrays.pop(name) for name, _ in STRAIN_ARRAYS}
    frame_ids = header.get("frame_ids")
    if not isinstance(frame_ids, list) or len(frame_ids) != 2:
        raise WireFault("header", f"frame_ids must be [pre, post], got {short(frame_ids)}")
    pre_id, post_id = (whole(frame_id, "frame_ids") for frame_id in frame_ids)
    bmode = arrays.get(BMODE_ARRAY[0])
    frame = StrainFrame(
        **images,  # type: ignore[arg-type]
        grid=_grid(header, images["axial_strain"].shape),
        frame_ids=(pre_id, post_id),
        acquired_ns=whole(header.get("acquired_ns"), "acquired_ns", lowest=-(2**63)),
        published_ns=whole(header.get("published_ns"), "published_ns"),
        age_ns=None if header.get("age_ns") is None else whole(header["age_ns"], "age_ns"),
        stale=_flag(header.get("stale", False), "stale"),
        stream=_text_or_empty(header.get("rf_stream"), "rf_stream"),
        clock=text(header.get("clock"), "clock"),
        engine=_text_or_empty(header.get("engine"), "engine"),
        quality=real_or_nan(header, "quality"),
        applied_strain=real_or_nan(header, "applied_strain"),
        poor_share=_poor_share(header),
        stage_ns=counts(header, "timings_ns"),
        drops=counts(header, "drops"),
        bmode=bmode if bmode is not None and bmode.dtype == np.uint8 else None,  # type: ignore[arg-type]
        **{name: _float_image(arrays, name) for name, _ in FURTHER_ARRAYS},  # type: ignore[arg-type]
        persistence=_persistence(header),
    )
    return StrainMessage(
        frame=frame,
        stream=text(header.get("stream"), "stream"),
        seq=whole(header.get("seq"), "seq"),
        clock=text(header.get("clock"), "clock"),
        arrays=arrays,
        header=header,
    )


def _arrays(header: Header, buffers: Sequence[Any]) -> dict[str, NDArray[np.generic]]:
    listed = header.get("arrays")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise WireFault("arrays", f"must be a list of maps, got {short(listed)}")
    if len(listed) != len(buffers):
        raise WireFault("parts", f"{len(buffers)} buffers for {len(listed)} arrays")
    arrays: dict[str, NDArray[np.generic]] = {}
    for entry, buffer in zip(listed, buffers, strict=True):
        name, dtype = text(entry.get("name"), "name"), entry.get("dtype")
        text(entry.get("unit"), "unit")
        if name in arrays:
            raise WireFault("arrays", f"{name[:40]} is listed twice")
        if dtype not in _DTYPES:
            raise WireFault("dtype", f"must be one of {', '.join(_DTYPES)}, got {short(dtype)}")
        shape = shape_of(entry.get("shape"), (MAX_LINES, MAX_SAMPLES))
        arrays[name] = array_of(buffer, dtype, shape)
        if shape != next(iter(arrays.values())).shape:
            raise WireFault("shape", f"the arrays differ in shape, {name[:40]} is {list(shape)}")
    return arrays


def _float_image(arrays: Mapping[str, NDArray[np.generic]], name: str) -> Float32Image | None:
    """A further array, or None where it is missing or not float32."""
    image = arrays.get(name)
    return image if image is not None and image.dtype == np.float32 else None  # type: ignore[return-value]


def _persistence(header: Header) -> PersistenceState | None:
    found = header.get("persistence")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise WireFault("header", f"persistence must be a map, got {short(found)}")
    return PersistenceState(
        seconds=real(found, "seconds"),
        frames=whole(found.get("frames"), "frames"),
        presses=whole(found.get("presses"), "presses"),
        age_s=real_or_nan(found, "age_s"),
    )


def _poor_share(header: Header) -> float:
    """The share of poor pixels, NaN in a message of an earlier version."""
    if "poor_share" not in header:
        return math.nan
    share = real(header, "poor_share")
    if not 0.0 <= share <= 1.0:
        raise WireFault("header", f"poor_share must lie in 0…1, got {share:g}")
    return share


def _grid(header: Header, shape: tuple[int, ...]) -> Grid:
    grid = header.get("grid")
    if not isinstance(grid, dict):
        raise WireFault("header", f"grid must be a map, got {short(grid)}")
    axial_step_m = real(grid, "axial_step_m", "format")
    line_pitch_m = real(grid, "line_pitch_m", "format")
    if axial_step_m <= 0.0 or line_pitch_m <= 0.0:
        raise WireFault("format", f"grid steps must be positive, got {short(grid)}")
    return Grid(
        n_lines=shape[0],
        n_depths=shape[1],
        axial_step_m=axial_step_m,
        line_pitch_m=line_pitch_m,
        start_depth_m=real(grid, "start_depth_m", "format"),
    )


def _text_or_empty(value: object, key: str) -> str:
    return "" if value == "" else text(value, key, longest=256)


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise WireFault("header", f"{key} must be true or false, got {short(value)}")
    return value


def encode_status(status: Status) -> list[Part]:
    """The parts of a status message."""
    header = {
        "schema": SCHEMA,
        "type": "status",
        "stream": text(status.stream, "stream"),
        "seq": whole(int(status.seq), "seq"),
        "published_ns": int(status.published_ns),
        "rates": {name: nil_if_nan(value) for name, value in status.rates.items()},
        "counters": {name: int(value) for name, value in status.counters.items()},
        "info": {name: str(value) for name, value in status.info.items()},
    }
    return [TOPIC_STATUS, pack_header(header)]


def decode_status(parts: Sequence[Any]) -> Status:
    """Read a status message; raises WireFault if it breaks the format in any way."""
    check_topic(parts, TOPIC_STATUS)
    header = unpack_header(parts[1], "status")
    if len(parts) != 2:
        raise WireFault("parts", f"{len(parts)} parts, a status message has 2")
    rates, info = header.get("rates"), header.get("info")
    if not isinstance(rates, dict):
        raise WireFault("header", f"rates must be a map, got {short(rates)}")
    if not isinstance(info, dict) or not all(isinstance(value, str) for value in info.values()):
        raise WireFault("header", f"info must be a map of strings, got {short(info)}")
    return Status(
        stream=text(header.get("stream"), "stream"),
        seq=whole(header.get("seq"), "seq"),
        published_ns=whole(header.get("published_ns"), "published_ns"),
        rates={name: real_or_nan(rates, name) for name in rates},
        counters=counts(header, "counters"),
        info=info,
    )
