"""The exact median of an image, in a few passes over it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtelasto.frames.rf import Float32Image

_NOT_A_NUMBER = np.uint32(0xFFFFFFFF)  # in the order of floats, above infinity


@njit(cache=True, nogil=True)
def _in_order(bits, skipped, order):  # type: ignore[no-untyped-def]
    """order = unsigned numbers that sort as the floats do; how many are to be counted."""
    n = 0
    sign, top = np.uint32(0x80000000), np.uint32(0x7F800000)
    for i in range(order.size):
        value = bits[i]
        if (value & np.uint32(0x7FFFFFFF)) > top or (skipped.size > 0 and skipped[i]):
            order[i] = _NOT_A_NUMBER
            continue
        order[i] = ~value if value & sign else value | sign
        n += 1
    return n


@njit(cache=True, nogil=True)
def _middle(order, n, counts):  # type: ignore[no-untyped-def]
    """The values of rank (n - 1) / 2 and n / 2, by two rounds of counting 16 bits each."""
    rank = (n - 1) // 2
    prefix = np.uint32(0)
    for half in range(2):
        counts[:] = 0
        for i in range(order.size):
            value = order[i]
            if half == 0:
                counts[value >> np.uint32(16)] += 1
            elif value >> np.uint32(16) == prefix:
                counts[value & np.uint32(0xFFFF)] += 1
        place = 0
        while rank >= counts[place]:
            rank -= counts[place]
            place += 1
        prefix = np.uint32((prefix << np.uint32(16)) | np.uint32(place))
    lower = upper = prefix
    if n % 2 == 0 and rank + 1 >= counts[place]:
        upper = _NOT_A_NUMBER
        for i in range(order.size):
            if lower < order[i] < upper:
                upper = order[i]
    return lower, upper


def median(image: Float32Image, skipped: NDArray[np.bool_] | None = None) -> float:
    """The median over the pixels that are numbers; NaN where there are none.

    Parameters
    ----------
    image
        float32, any shape.
    skipped
        Pixels to leave out, of the same shape.
    """
    bits = np.ascontiguousarray(image, np.float32).reshape(-1).view(np.uint32)
    leave_out = np.zeros(0, np.bool_) if skipped is None else skipped.reshape(-1)
    order = np.empty(bits.size, np.uint32)
    n = _in_order(bits, leave_out, order)
    if n == 0:
        return math.nan
    pair = np.array(_middle(order, n, np.empty(1 << 16, np.int64)), np.uint32)
    signed = np.where(pair & np.uint32(0x80000000), pair ^ np.uint32(0x80000000), ~pair)
    return float(signed.astype(np.uint32).view(np.float32).astype(np.float64).mean())
