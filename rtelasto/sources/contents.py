"""What a reader found in a file, and how it is combined with the user's values into a `Recording`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.spectrum import estimate_center_freq_hz
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.iq import IqFormat
from rtelasto.frames.rf import PHYSICS, RfFormat
from rtelasto.sources.axes import MAX_AXES, FrameStack, check_real, parse_axes
from rtelasto.sources.axis_evidence import guess_axes
from rtelasto.sources.limits import MAX_FRAME_SAMPLES, MAX_FRAMES
from rtelasto.sources.recording import Recording
from rtelasto.sources.times import TIMES

if TYPE_CHECKING:
    from rtelasto.sources.sent_frames import Headers, SentFrames
    from rtelasto.sources.truth import RecordedTruth

BESIDE = (*PHYSICS, *TIMES)
"""Names of what a file may hold beside the array of RF lines."""

_ASSUMED = {"start_depth_m": 0.0, "sound_speed_m_s": 1540.0}
_FRAME_RATE_LIMITS_HZ = (1e-3, 1e5)
_ESTIMATE_FRAMES = 3
_MAX_FRAME_ID = 1 << 62
_CENTER_FREQ_LIMITS_HZ = (1e5, 1e8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the user states about a file; it takes precedence over the file."""

    sampling_freq_hz: float | None = None
    center_freq_hz: float | Literal["estimate"] | None = None
    line_pitch_m: float | None = None
    start_depth_m: float | None = None
    sound_speed_m_s: float | None = None
    frame_rate_hz: float | None = None
    dataset: str | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        for name in (*PHYSICS, "frame_rate_hz"):
            value = getattr(self, name)
            if value is None or (name == "center_freq_hz" and value == "estimate"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise RtelastoError(f"{name} must be a number, got {value!r}")
        if self.frame_rate_hz is not None:
            low, high = _FRAME_RATE_LIMITS_HZ
            if not low <= self.frame_rate_hz <= high:
                raise RtelastoError(
                    f"frame_rate_hz must lie in {low:g}…{high:g} Hz, got {self.frame_rate_hz:g}"
                )


@dataclass(slots=True, kw_only=True)
class Contents:
    """What a reader found in a file.

    ``array`` is anything that `FrameStack` reads, ``axes`` its axes if the file or its format gives them.
    ``matlab_order`` is true if the writer uses the reverse order of axes. ``values`` holds the values of
    `PHYSICS` in the file, and ``axial_step_m`` is set if the file gives it in place of a sampling
    frequency. ``files`` are the other files of the recording, beside the one that was opened. ``made`` is
    true if the lines are computed on reading. ``values`` are then those of the lines, and the user's
    overrides are already part of them.

    ``sent_format`` is set if ``array`` holds what a scanner sent, in the order of axes of the wire: channel
    data or IQ, of which `sent_frames.lines_made_of` makes RF lines before `assemble`. ``headers`` are those
    of the messages, by frame, if the recording kept them, ``sent`` the frames of which lines were made.
    """

    array: Any
    axes: tuple[str, ...] | None = None
    flipped: tuple[str, ...] = ()
    dtype: np.dtype[Any] | None = None
    matlab_order: bool = False
    made: bool = False
    values: dict[str, float] = field(default_factory=dict)
    axial_step_m: float | None = None
    timestamps_ns: NDArray[np.int64] | None = None
    frame_ids: NDArray[np.int64] | None = None
    files: tuple[Path, ...] = ()
    provenance: dict[str, str | int | float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    truth: Callable[[RfFormat], RecordedTruth] | None = None
    sent_format: ChannelFormat | IqFormat | None = None
    sent: SentFrames | None = None
    headers: Headers | None = None
    close: Callable[[], None] | None = None


def assemble(path: Path, contents: Contents, overrides: Overrides) -> Recording:
    """Combine what the file states with what the user states.

    Raises
    ------
    RtelastoError
        If something is still missing (one line lists all of it), or does not fit an RF recording.
    """
    notes = contents.notes
    check_real(np.dtype(contents.array.dtype))
    axes = _axes(contents, overrides)
    values, origin = _physics(contents, overrides)
    missing = [] if axes is not None else ["axes"]
    missing += [name for name in ("sampling_freq_hz", "line_pitch_m") if name not in values]
    if missing:
        raise RtelastoError(_ask_for(missing, contents))
    assert axes is not None
    stack = FrameStack(contents.array, axes, flipped=contents.flipped, dtype=contents.dtype)
    # Check before the first frame is read: RfFormat bounds its sides, the limits its size.
    low, high = _CENTER_FREQ_LIMITS_HZ
    guess = {"center_freq_hz": min(max(0.25 * values["sampling_freq_hz"], low), high)}
    _rf_format(stack, guess | values)
    if stack.n_lines * stack.n_samples > MAX_FRAME_SAMPLES or stack.n_frames > MAX_FRAMES:
        raise RtelastoError(
            f"holds {stack.n_frames} frames of {stack.n_lines} × {stack.n_samples} samples: at most "
            f"{MAX_FRAMES} frames of {MAX_FRAME_SAMPLES} samples are read"
        )
    if "center_freq_hz" not in values:
        estimate = estimate_center_freq_hz(
            (stack.read(i) for i in _spread(stack.n_frames, _ESTIMATE_FRAMES)),
            sampling_freq_hz=values["sampling_freq_hz"],
        )
        if estimate is None:
            raise RtelastoError(
                "holds no echo to estimate the centre frequency from: "
                "give center_freq_hz (--center-freq-hz)"
            )
        values["center_freq_hz"] = estimate
        origin["center_freq_hz"] = "estimated from the echo spectrum"
        notes.append(
            f"centre frequency estimated from the echo spectrum: {estimate / 1e6:.2f} MHz "
            "(--center-freq-hz sets it)"
        )
    rf_format = _rf_format(stack, values)
    frame_ids = _frame_ids(contents, stack.n_frames, notes)
    timestamps_ns = _timestamps(contents, overrides, stack.n_frames, frame_ids, notes)
    provenance = fingerprint(path) | contents.provenance
    provenance["format_from"] = "; ".join(f"{name}: {origin[name]}" for name in PHYSICS)
    return Recording(
        path,
        rf_format,
        stack,
        timestamps_ns=timestamps_ns,
        frame_ids=frame_ids,
        files=contents.files,
        provenance=provenance,
        notes=tuple(notes),
        truth=contents.truth(rf_format) if contents.truth is not None else None,
        sent=contents.sent,
        headers=contents.headers,
        close=contents.close,
    )


def fingerprint(path: Path, *, prefix: str = "source") -> dict[str, str | int | float]:
    """Return name, size in bytes and SHA-256 of the first MiB of a file, as provenance entries; for a folder,
    the size is that of all its files and the SHA-256 that of the first."""
    files = sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]
    with files[0].open("rb") as file:
        digest = hashlib.sha256(file.read(1 << 20)).hexdigest()
    return {
        f"{prefix}_file": path.name,
        f"{prefix}_size_bytes": sum(file.stat().st_size for file in files),
        f"{prefix}_sha256_first_mib": digest,
    }


def scalar_values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries of a mapping that have a name from `PHYSICS` and hold one real number."""
    values = {}
    for name in PHYSICS:
        if name not in found:
            continue
        array = np.asarray(found[name])
        if array.size != 1 or array.dtype.kind not in "iuf":
            raise RtelastoError(
                f"{name} in the file must be one number, got {array.dtype} {array.shape}"
            )
        values[name] = float(array.reshape(()))
    return values


def _axes(contents: Contents, overrides: Overrides) -> tuple[str, ...] | None:
    shape = tuple(contents.array.shape)
    if len(shape) > MAX_AXES:
        raise RtelastoError(f"has {len(shape)} axes: RF lines have 2 to 4")
    if overrides.axes is not None:
        return parse_axes(overrides.axes, shape, reverse=contents.matlab_order)
    if contents.axes is not None:
        return contents.axes
    if 0 in shape:
        raise RtelastoError(f"has shape {shape}: it holds no RF lines")
    axes = guess_axes(contents.array)
    if axes is not None:
        shown = tuple(reversed(axes)) if contents.matlab_order else axes
        contents.notes.append(f"axes taken as {','.join(shown)} (--axes sets them)")
    return axes


def _physics(contents: Contents, overrides: Overrides) -> tuple[dict[str, float], dict[str, str]]:
    values: dict[str, float] = {}
    origin: dict[str, str] = {}
    for name in PHYSICS:
        given = None if contents.made else getattr(overrides, name)
        if given == "estimate":
            continue
        if given is not None:
            values[name], origin[name] = float(given), "given"
        elif name in contents.values:
            values[name] = float(contents.values[name])
            origin[name] = "of the lines made from IQ" if contents.made else "file"
        elif name in _ASSUMED:
            values[name], origin[name] = _ASSUMED[name], "assumed"
    step = contents.axial_step_m
    if "sampling_freq_hz" not in values and step is not None and math.isfinite(step) and step > 0.0:
        values["sampling_freq_hz"] = values["sound_speed_m_s"] / (2.0 * step)
        origin["sampling_freq_hz"] = "axial spacing in the file"
    return values, origin


def _frame_ids(contents: Contents, n_frames: int, notes: list[str]) -> NDArray[np.int64] | None:
    """Return the frame ids of the file, made to rise where the scanner restarted its count; else None."""
    ids = contents.frame_ids
    if ids is None:
        return None
    if ids.shape != (n_frames,) or (ids.size and not 0 <= ids.min() <= ids.max() < _MAX_FRAME_ID):
        notes.append(f"frame ids left out: {ids.size} for {n_frames} frames, or not within 0…2^62")
        return None
    falls = np.flatnonzero(np.diff(ids) < 0)
    if not falls.size:
        return ids
    rises = np.zeros(n_frames, np.int64)
    # A step of 2: the frames on both sides are not neighbours.
    rises[falls + 1] = ids[falls] - ids[falls + 1] + 2
    if float(ids.max()) + rises.sum(dtype=np.float64) >= _MAX_FRAME_ID:
        notes.append("frame ids left out: they go back too often")
        return None
    notes.append(
        f"frame ids restart at frame {falls[0] + 1}"
        + (f" and {falls.size - 1} more times" if falls.size > 1 else "")
        + ": increased from there on, so that they keep rising"
    )
    return ids + np.cumsum(rises)


def _timestamps(
    contents: Contents,
    overrides: Overrides,
    n_frames: int,
    frame_ids: NDArray[np.int64] | None,
    notes: list[str],
) -> NDArray[np.int64] | None:
    if overrides.frame_rate_hz is not None:
        places = np.arange(n_frames, dtype=np.float64)
        steps = np.diff(frame_ids) if frame_ids is not None else np.zeros(0)
        if frame_ids is not None and steps.size and steps.min() > 0:
            # Time also passes where frames are missing.
            places = (frame_ids - frame_ids[0]) / np.median(steps)
        return np.rint(places * (1e9 / overrides.frame_rate_hz)).astype(np.int64)
    times = contents.timestamps_ns
    if times is None:
        return None
    if times.shape != (n_frames,) or np.any(np.diff(times) <= 0):
        notes.append(
            f"timestamps left out: {times.size} for {n_frames} frames, or not strictly increasing "
            "(--frame-rate-hz sets a rate)"
        )
        return None
    return times


def _ask_for(missing: list[str], contents: Contents) -> str:
    flags = ", ".join("--" + name.replace("_", "-") for name in missing)
    shape = tuple(contents.array.shape)
    shown = tuple(reversed(shape)) if contents.matlab_order else shape
    example = "sample,line,frame" if contents.matlab_order else "frame,line,sample"
    which = f" (axes: the order of its shape {shown}, e.g. {example})" if "axes" in missing else ""
    return f"the file does not say {', '.join(missing)}: give {flags}{which}"


def _rf_format(stack: FrameStack, values: dict[str, float]) -> RfFormat:
    return RfFormat(n_lines=stack.n_lines, n_samples=stack.n_samples, **values)


def _spread(n_frames: int, at_most: int) -> list[int]:
    """Return up to ``at_most`` frame numbers, first and last among them."""
    return sorted({round(i) for i in np.linspace(0, n_frames - 1, min(at_most, n_frames))})
