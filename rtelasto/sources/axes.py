"""Which axis of a stored array is frame, line and sample, and how one frame is read from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

MAX_AXES = 8
"""Most axes of an array; MATLAB and NumPy users leave some of length 1."""

_NAMES = ("frame", "line", "sample")


def parse_axes(text: str, shape: tuple[int, ...], *, reverse: bool = False) -> tuple[str, ...]:
    """Parse the axis names that a user gives, one for each axis of an array of this shape.

    Parameters
    ----------
    text
        Names from "frame", "line", "sample" and "1" (an axis of length 1 to leave out), separated
        by commas, in the order that the program that wrote the file uses.
    shape
        Shape of the array as it is read.
    reverse
        Whether that program (MATLAB) uses the opposite order.

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
            "give for example 'frame,line,sample'"
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


def holds_lines(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape can hold RF lines: two or three axes, plus any of length 1."""
    return 2 <= sum(length != 1 for length in shape) <= 3 and len(shape) <= MAX_AXES


def check_real(dtype: np.dtype[Any]) -> None:
    """Raise `RtelastoError` if values of this type cannot be RF lines."""
    if dtype.kind == "c":
        raise RtelastoError(
            f"holds complex (IQ) data, dtype {dtype}: RF lines are real; "
            "modulate them back to the carrier or record RF"
        )
    if dtype.kind not in "iuf":
        raise RtelastoError(f"holds dtype {dtype}: RF lines are integers or floating point")


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
        Names of the axes that are stored in reverse (deepest sample first, last line first).
    dtype
        Real type of the frames that `read` returns; by default that of the array.

    Raises
    ------
    RtelastoError
        If the array does not hold real numbers or has no frames.
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
        check_real(stored)
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
        """Return a copy of frame ``i``, (n_lines, n_samples), C order, native byte order."""
        place = {"frame": i, "1": 0}
        stored = self._array[tuple(place.get(name, slice(None)) for name in self._axes)]
        frame = np.asarray(stored)
        if self._transposed:
            frame = frame.T
        return np.array(frame[self._flip], dtype=self._dtype, order="C")
