"""Guesses which axis of a bare array is which, from how its values vary along each axis.

Along a line an echo oscillates: its power lies around the centre frequency and not at zero. Across lines and
from frame to frame it does not. Neighbouring frames are more alike than neighbouring lines, once the tissue's
motion along the line is compensated. If the values do not decide (noise, constants), only an array in the
usual order with an unambiguous shape is accepted. In all other cases the user must give the axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SAMPLES_PER_LINE_COUNT = 3
"""Judged by shape alone, an RF frame has at least this many times more samples than lines."""

_ALONG, _ACROSS = 128, 8  # size of a block along the axis under test, and along the others
_BLOCKS = 3  # several, because a block may lie where there is no echo
_MIN_ALONG = 24  # a shorter axis gives no usable spectrum
# A signal oscillates if its power density near zero frequency is below this share of the peak.
_NOTCH = 0.2
_PIECE, _SHIFT = 48, 24  # samples of a line to find in the next line, and the largest shift
_SAME = 0.995  # neighbours this alike on both axes are not speckle
_FLOOR = 0.6  # correlation that unrelated pieces of noise reach over all shifts
_CERTAIN = 0.95  # least correlation of frames, unless they are the first axis and number at least …
_FEW = 4  # … the lines over this
_SURE, _CLEAR = 0.5, 0.8  # largest ratio of the difference between frames to that between lines


def guess_axes(array: Any) -> tuple[str, ...] | None:
    """Guess the axes of a bare array in C order; None if neither values nor shape decide.

    Parameters
    ----------
    array
        Anything with ``shape``, ``dtype`` and basic indexing. Only a few small blocks are read.

    Returns
    -------
    tuple of str or None
        "frame", "line", "sample" and, for axes of length 1, "1".
    """
    shape = tuple(array.shape)
    kept = [axis for axis, length in enumerate(shape) if length != 1]
    if len(kept) not in (2, 3) or np.dtype(array.dtype).kind not in "iuf":
        return None
    names = ["1"] * len(shape)
    if len(shape) == 3 and len(kept) == 2 and shape[1] != 1:
        names[0 if shape[0] == 1 else 2] = "frame"
    elif len(shape) == 3 and len(kept) == 2:
        return None  # frames of one line, or a frame with an extra axis
    lengths = [shape[axis] for axis in kept]
    sample = _oscillating(array, shape, kept)
    if len(kept) == 2:
        if sample is None and max(lengths) >= SAMPLES_PER_LINE_COUNT * min(lengths):
            sample = kept[lengths.index(max(lengths))]
        if sample is None:
            return None
        named = {sample: "sample", _others(kept, sample)[0]: "line"}
    else:
        found = _frame(array, shape, kept, sample)
        if found is None:
            return None
        frame, sample = found
        line = next(axis for axis in kept if axis not in (frame, sample))
        named = {frame: "frame", sample: "sample", line: "line"}
    for axis, name in named.items():
        names[axis] = name
    return tuple(names)


def oscillates(array: Any) -> bool:
    """Whether the values oscillate about zero along an axis, as RF does and the brightness of a B-mode
    does not. Also true of values that decide nothing (constants, noise of both signs)."""
    shape = tuple(array.shape)
    kept = [axis for axis, length in enumerate(shape) if length != 1]
    if any(_notch(array, shape, kept, axis) < _NOTCH for axis in kept):
        return True
    blocks = _blocks(array, shape, kept, dict.fromkeys(kept, 2 * _ACROSS))
    return not blocks or any(abs(block.mean()) < 0.1 * block.std() for block in blocks)


def _others(kept: list[int], *axes: int) -> list[int]:
    return [axis for axis in kept if axis not in axes]


def _frame(
    array: Any, shape: tuple[int, ...], kept: list[int], sample: int | None
) -> tuple[int, int] | None:
    """Return the frame axis and the sample axis of an array with three axes."""
    first, *rest = kept
    if sample is None:  # no evidence in the values: the usual order, if the shape is unambiguous
        a, b = rest
        sample, line = (a, b) if shape[a] > shape[b] else (b, a)
        longest = max(shape[axis] for axis in kept)
        clear = shape[sample] == longest and shape[sample] >= SAMPLES_PER_LINE_COUNT * shape[line]
        return (first, sample) if clear and shape[first] < shape[line] else None
    one, other = _others(kept, sample)
    alike = {axis: _alike(array, shape, kept, axis, sample) for axis in (one, other)}
    frame, line = (one, other) if alike[one] >= alike[other] else (other, one)
    if alike[line] >= _SAME:  # a tone, a test pattern
        return (one, sample) if one == first and shape[one] < shape[other] else None
    apart = (1.0 - alike[frame]) / max(1.0 - alike[line], 1e-9)
    if alike[frame] < _FLOOR or apart > (_CLEAR if frame == first else _SURE):
        return None
    few = frame == first and _FEW * shape[frame] <= shape[line]
    if alike[frame] < _CERTAIN and not few:
        return None  # frames may be unrelated, and lines more alike than they are
    if frame != first and shape[frame] >= shape[line]:
        return None  # lines on a grid finer than the beam are as alike as frames
    return frame, sample


def _oscillating(array: Any, shape: tuple[int, ...], kept: list[int]) -> int | None:
    """Return the one axis along which the values oscillate about zero."""
    depth = {axis: _notch(array, shape, kept, axis) for axis in kept}
    found = [axis for axis in kept if depth[axis] < _NOTCH]
    if len(found) > 1:  # tissue that moves, or steered beams, shift the phase along other axes too
        longest = max(found, key=lambda axis: shape[axis])
        if any(
            shape[longest] < SAMPLES_PER_LINE_COUNT * shape[axis]
            for axis in found
            if axis != longest
        ):
            return None
        found = [longest]
    return found[0] if found else None


def _notch(array: Any, shape: tuple[int, ...], kept: list[int], axis: int) -> float:
    """Power density near zero frequency along an axis, relative to the peak; 1 if there is no echo."""
    if shape[axis] < _MIN_ALONG:
        return 1.0
    power: NDArray[np.float64] | None = None
    for block in _blocks(array, shape, kept, {axis: _ALONG}):
        lines = np.moveaxis(block, kept.index(axis), -1).reshape(-1, block.shape[kept.index(axis)])
        n = lines.shape[1]
        spectrum = np.abs(np.fft.rfft((lines - lines.mean()) * np.hanning(n), 2 * n, axis=1)) ** 2
        total = spectrum.sum()
        if total > 0.0:
            summed = spectrum.sum(axis=0) / total
            power = summed if power is None else power + summed
    if power is None:
        return 1.0
    smooth = np.convolve(power, np.full(5, 0.2), mode="same")
    peak = int(np.argmax(smooth[4:])) + 4
    near_zero = float(power[: max(2, peak // 4)].mean())
    return near_zero / max(float(smooth[peak]), 1e-300)


def _alike(array: Any, shape: tuple[int, ...], kept: list[int], axis: int, sample: int) -> float:
    """Median correlation of pieces of a line with its neighbour along an axis, at the best shift."""
    if shape[sample] < _PIECE + 2 * _SHIFT:
        return 0.0
    best: list[NDArray[np.float64]] = []
    # Here, because it takes a second to import, and few recordings leave their axes open.
    from scipy.signal import hilbert

    for block in _blocks(array, shape, kept, {sample: _PIECE + 2 * _SHIFT, axis: 3}):
        lines = np.moveaxis(block, (kept.index(axis), kept.index(sample)), (0, -1))
        # Analytic signals: the fraction of a sample in a shift does not lower their correlation.
        lines = hilbert(lines - lines.mean(axis=-1, keepdims=True), axis=-1)
        pre, post = lines[:-1, ..., _SHIFT : _SHIFT + _PIECE], lines[1:]
        moved = sliding_window_view(post, _PIECE, axis=-1)
        size = (np.abs(pre) ** 2).sum(-1)[..., None] * (np.abs(moved) ** 2).sum(-1)
        product = np.abs(np.einsum("...k,...sk->...s", pre.conj(), moved))
        ratio = np.divide(product, np.sqrt(size), out=np.zeros_like(size), where=size > 0.0)
        best.append(ratio.max(axis=-1).ravel())
    return float(np.median(np.concatenate(best))) if best else 0.0


def _blocks(
    array: Any, shape: tuple[int, ...], kept: list[int], along: dict[int, int]
) -> list[NDArray[np.float64]]:
    """Return blocks from three places of the array, kept axes only, without blocks that are not finite."""
    blocks = []
    for k in range(_BLOCKS):
        place: list[Any] = [0] * len(shape)
        for axis in kept:
            n = min(shape[axis], along.get(axis, _ACROSS))
            start = (shape[axis] - n) * (k + 1) // (_BLOCKS + 1)
            place[axis] = slice(start, start + n)
        block = np.asarray(array[tuple(place)], np.float64)
        if np.isfinite(block).all() and np.ptp(block) > 0.0:
            blocks.append(block)
    return blocks
