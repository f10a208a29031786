"""What MetaImage tags state about the frames: axes, spacing, depth, validity, RF or IQ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import IqFormat
from rtelasto.sources import plus_tags
from rtelasto.sources.axes import FrameStack
from rtelasto.sources.axis_evidence import oscillates
from rtelasto.sources.contents import Contents, Overrides
from rtelasto.sources.iq_frames import carrier_hz, iq_contents

Tags = Mapping[str, str]
_DEEPEST_MM = 300.0  # a larger Offset is the position of the probe in the room


def numbers(tags: Tags, name: str, kind: type[int] | type[float]) -> list[Any]:
    """Return the numbers in a tag; empty if the tag is absent."""
    try:
        return [kind(word) for word in tags.get(name, "").split()]
    except ValueError:
        raise RtelastoError(f"{name} must be numbers, got {tags[name]!r}") from None


def orient(contents: Contents, tags: Tags, frame_axis: int | None) -> None:
    """Set axes, spacing and first depth, from PlusLib's orientation or else from the finer spacing.

    ``UltrasoundImageOrientation`` has a letter for the direction of each axis: M or U (marked, unmarked side)
    is lateral, F or N (far, near) is axial. The axes are those of the image, without the one that counts
    frames.
    """
    n_dims = contents.array.ndim
    image = [axis for axis in range(n_dims) if axis != frame_axis]
    image = sorted(image, key=lambda axis: contents.array.shape[n_dims - 1 - axis] == 1)[:2]
    image.sort()
    spacing_mm = numbers(tags, "ElementSpacing", float) or numbers(tags, "ElementSize", float)
    stated = len(spacing_mm) > max(image) and any(spacing_mm[axis] != 1.0 for axis in image)
    letters = plus_tags.orientation(tags)
    if letters:
        first = plus_tags.first_axis(letters)
    elif stated and spacing_mm[image[0]] != spacing_mm[image[1]]:
        first = "line" if spacing_mm[image[0]] > spacing_mm[image[1]] else "sample"
    else:
        return
    names = ["1"] * n_dims
    names[image[0]], names[image[1]] = first, "sample" if first == "line" else "line"
    if frame_axis is not None:
        names[frame_axis] = "frame"
    contents.axes = tuple(reversed(names))
    contents.flipped = tuple(
        name for name, backwards in (("line", "U"), ("sample", "N")) if backwards in letters
    )
    axial, lateral = names.index("sample"), names.index("line")
    if stated:
        contents.axial_step_m = spacing_mm[axial] * 1e-3
        contents.values["line_pitch_m"] = spacing_mm[lateral] * 1e-3
    _start_depth(contents, tags, axial)


def _start_depth(contents: Contents, tags: Tags, axial: int) -> None:
    """Take ``Offset`` along the axial axis, in mm, as the depth of the first sample."""
    tag = next((t for t in ("Offset", "Position", "Origin") if t in tags), "Offset")
    offset_mm = numbers(tags, tag, float)
    if len(offset_mm) <= axial or offset_mm[axial] == 0.0:
        return
    depth_mm = offset_mm[axial]
    if "sample" in contents.flipped or not 0.0 < depth_mm <= _DEEPEST_MM:
        contents.notes.append(
            f"{tag} {depth_mm:g} mm along the depth ignored: not the depth of a first sample "
            "(--start-depth-m sets it)"
        )
    else:
        contents.values["start_depth_m"] = depth_mm * 1e-3


def leave_out_invalid(contents: Contents, tags: Tags, frame_axis: int | None) -> None:
    """Keep only the frames whose ``ImageStatus`` is OK, and their times."""
    axis = None if frame_axis is None else contents.array.ndim - 1 - frame_axis
    n_frames = 1 if axis is None else contents.array.shape[axis]
    valid, contents.timestamps_ns = plus_tags.frames(tags, n_frames)
    if len(valid) == n_frames:
        return
    if not valid:
        raise RtelastoError("its ImageStatus is not OK for any frame")
    assert axis is not None
    contents.array = _Selection(contents.array, axis, valid)
    contents.notes.append(
        f"{n_frames - len(valid)} of {n_frames} frames left out: their ImageStatus is not OK"
    )


class _Selection:
    """Part of an array along one axis, without a copy."""

    def __init__(self, array: Any, axis: int, chosen: list[int]) -> None:
        self._array, self._axis, self._chosen = array, axis, chosen
        self.dtype = array.dtype
        self.shape = tuple(
            len(chosen) if i == axis else length for i, length in enumerate(array.shape)
        )
        self.ndim = array.ndim

    def __getitem__(self, place: Any) -> Any:
        inner, axis = list(place), self._axis
        at = inner[axis]
        if not isinstance(at, slice):
            inner[axis] = self._chosen[at]
            return self._array[tuple(inner)]
        pieces = [
            self._array[(*inner[:axis], frame, *inner[axis + 1 :])] for frame in self._chosen[at]
        ]
        return np.stack(pieces, axis=sum(isinstance(p, slice) for p in inner[:axis]))


def by_signal(contents: Contents, tags: Tags, overrides: Overrides) -> Contents:
    """Return RF unchanged and IQ as RF lines; refuse B-mode.

    The type BRIGHTNESS alone does not prove B-mode: PlusLib writes it when it was given no type.
    """
    kind = plus_tags.signal(tags)
    if kind == "B-mode":
        image_type = tags["UltrasoundImageType"]
        if not oscillates(contents.array):
            raise RtelastoError(
                f"UltrasoundImageType is {image_type} and its values are brightness: record RF (RF_REAL), "
                "strain cannot be estimated from B-mode"
            )
        contents.notes.append(
            f"UltrasoundImageType is {image_type}, but its values oscillate like RF"
        )
    if kind in ("IQ pairs", "I and Q lines"):
        return _remodulated(contents, tags, overrides, paired=kind == "IQ pairs")
    return contents


def _remodulated(contents: Contents, tags: Tags, overrides: Overrides, *, paired: bool) -> Contents:
    """Return RF lines for IQ with I, Q, I, Q … along a line, or alternating lines of I and Q.

    The spacing in the tags is that of the pairs.
    """
    image_type = tags["UltrasoundImageType"]
    if contents.axes is None or plus_tags.orientation(tags)[:1] not in ("F", "N"):
        raise RtelastoError(
            f"UltrasoundImageType is {image_type}: UltrasoundImageOrientation must be FM, FU, NM or NU, "
            "lines along the rows"
        )
    flipped, contents.flipped = contents.flipped, ()
    stack = FrameStack(contents.array, contents.axes)
    name, count = ("samples", stack.n_samples) if paired else ("lines", stack.n_lines)
    if count % 2:
        raise RtelastoError(
            f"UltrasoundImageType is {image_type}, but it has {count} {name}: an odd number"
        )
    carrier = carrier_hz(overrides)
    speed = overrides.sound_speed_m_s or 1540.0
    step, pitch = contents.axial_step_m, contents.values.get("line_pitch_m")
    sampling = overrides.sampling_freq_hz or (speed / (2.0 * step) if step else None)
    pitch = overrides.line_pitch_m or pitch
    missing = [n for n, v in (("sampling_freq_hz", sampling), ("line_pitch_m", pitch)) if v is None]
    if missing:
        flags = ", ".join("--" + n.replace("_", "-") for n in missing)
        raise RtelastoError(f"holds IQ and does not say {', '.join(missing)}: give {flags}")
    start = overrides.start_depth_m
    iq_format = IqFormat(
        n_lines=stack.n_lines if paired else stack.n_lines // 2,
        n_samples=stack.n_samples // 2 if paired else stack.n_samples,
        sampling_freq_hz=float(sampling or 0.0),
        demodulation_freq_hz=carrier,
        center_freq_hz=carrier,
        line_pitch_m=float(pitch or 0.0),
        start_depth_m=contents.values.get("start_depth_m", 0.0) if start is None else start,
        sound_speed_m_s=speed,
    )
    turn = tuple(slice(None, None, -1) if n in flipped else slice(None) for n in ("line", "sample"))

    def read(i: int) -> NDArray[np.generic]:
        frame = stack.read(i).astype(np.float32)
        i_part, q_part = (frame[:, 0::2], frame[:, 1::2]) if paired else (frame[0::2], frame[1::2])
        return (i_part + 1j * q_part)[turn]

    return iq_contents(
        read,
        stack.n_frames,
        iq_format,
        timestamps_ns=contents.timestamps_ns,
        provenance=contents.provenance,
        notes=contents.notes,
        close=contents.close,
    )
