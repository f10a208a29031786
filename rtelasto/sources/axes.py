"""Which axis of a stored array is frame, line and sample, and reading one frame out of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

SAMPLES_PER_LINE_COUNT = 3
"""An RF frame has at least this many times more samples than lines, or its axes must be named."""

_NAMES = ("frame", "line", "sample")


def parse_axes(text: str, shape: tuple[int, ...], *, reverse: bool = False) -> tuple[str, ...]:
    """Axis names from what a user wrote, one for each axis of an array of this shape.

    Parameters
    ----------
    text
        Names from "frame", "line", "sample" and "1" (an axis of length 1 to leave out), separated
        by commas, in the order in which the program that wrote the file shows them.
    shape
        Shape of the array as it is read.
    reverse
        Whether that program (MATLAB) shows the axes in the opposite order.

    Raises
    ------
    RtelastoError
        If the names do not fit the shape.
    """
    names = tuple(name.strip().lower() for name in text.split(","))
    shown = tuple(reversed(shape)) if reverse else shape
    if any(name not in (*_NAMES, "1") for name in names):
        raise RtelastoError(
            f"axes must be names from frame, line, sample and 1, got {text!r}: "
            "give for instance 'frame,line,sample'"
        )
    if any(names.count(name) > 1 for name in _NAMES) or not {"line", "sample"} <= set(names):
        raise RtelastoError(f"axes must name line and sample once each, got {text!r}")
    if len(names) != len(shown):
        raise RtelastoError(
            f"axes must name {len(shown)} axes for shape {shown}, got {text!r}: "
            "write 1 for an axis of length 1"
        )
    if any(name == "1" and length != 1 for name, length in zip(names, shown, strict=True)):
        raise RtelastoError(f"axes {text!r} leaves out an axis that is not of length 1: {shown}")
    return tuple(reversed(names)) if reverse else names


def guess_axes(shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """The axes of a bare array in C order, or None where its shape does not settle them.

    Frames lie along the first of three axes. The sample axis is the longest of all and at least
    `SAMPLES_PER_LINE_COUNT` times as long as the line axis. Of more than three axes, those of
    length 1 are left out.
    """
    if len(shape) > 3:
        kept = [axis for axis, length in enumerate(shape) if length != 1]
        if len(kept) > 3:
            return None
        inner = guess_axes(tuple(shape[axis] for axis in kept))
        if inner is None:
            return None
        names = ["1"] * len(shape)
        for axis, name in zip(kept, inner, strict=True):
            names[axis] = name
        return tuple(names)
    if len(shape) < 2:
        return None
    first, second = shape[-2:]
    if max(first, second) < max(shape) or max(first, second) < SAMPLES_PER_LINE_COUNT * min(
        first, second
    ):
        return None
    inner = ("line", "sample") if second > first else ("sample", "line")
    return inner if len(shape) == 2 else ("frame", *inner)


class FrameStack:
    """Frames of RF lines in an array of any axis order, read one at a time.

    Parameters
    ----------
    array
        Anything with ``shape``, ``dtype`` and basic indexing: an array, a memory map, an HDF5
        dataset.
    axes
        The name of each axis: "frame", "line", "sample", or "1" for an axis of length 1.
    flipped
        Names of the axes that are stored backwards (deepest sample first, last line first).
    dtype
        Real type of the frames handed out; that of the array unless given.

    Raises
    ------
    RtelastoError
        If the array does not hold real numbers or holds no frame.
    """

    def __init__(
        self,
        array: Any,
        axes: tuple[str, ...],
        *,
        flipped: Iterable[str] = (),
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        stored = np.dtype(array.dtype)
        if stored.kind == "c":
            raise RtelastoError(
                f"holds complex (IQ) data, dtype {stored}: RF lines are real; "
                "modulate them back to the carrier or record RF"
            )
        if stored.kind not in "iuf":
            raise RtelastoError(f"holds dtype {stored}: RF lines are integers or floating point")
        self._array = array
        self._axes = axes
        self._dtype = (np.dtype(dtype) if dtype is not None else stored).newbyteorder("=")
        lengths = dict(zip(axes, array.shape, strict=True))
        self.n_frames = int(lengths.get("frame", 1))
        self.n_lines = int(lengths["line"])
        self.n_samples = int(lengths["sample"])
        for name, length in lengths.items():
            if length == 0:
                raise RtelastoError(f"has shape {tuple(array.shape)}: it holds no {name}s")
        self._transposed = axes.index("sample") < axes.index("line")
        backwards = slice(None, None, -1)
        self._flip = tuple(
            backwards if name in flipped else slice(None) for name in ("line", "sample")
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    def read(self, i: int) -> NDArray[np.generic]:
        """A copy of frame ``i``, (n_lines, n_samples), C order, native byte order."""
        place = {"frame": i, "1": 0}
        stored = self._array[tuple(place.get(name, slice(None)) for name in self._axes)]
        frame = np.asarray(stored)
        if self._transposed:
            frame = frame.T
        return np.array(frame[self._flip], dtype=self._dtype, order="C")
