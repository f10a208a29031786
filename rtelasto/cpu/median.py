"""The exact median of an image, found by sorting only the values near it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel

SAMPLE_STRIDE = 29
# The median of the whole image lies between these quantiles of the sample, with rare exceptions.
BRACKET = (0.46, 0.54)


@kernel()
def _gather(values, low, high, bracket):  # type: ignore[no-untyped-def]
    """Copy values from low to high into ``bracket``; return counts: copied, below low, and not NaN."""
    inside, below, numbers = 0, 0, 0
    for i in range(values.size):
        value = values[i]
        # No branch here: the processor could not predict it.
        bracket[inside] = value
        inside += (value >= low) & (value <= high)
        below += value < low
        numbers += value == value
    return inside, below, numbers


def median(image: Float32Image, skipped: NDArray[np.bool_] | None = None) -> float:
    """Return the median over the pixels that are not NaN, or NaN if there are none.

    A sample of the pixels gives a range that contains it, so that only values in that range are sorted (after
    Floyd and Rivest, "Expected time bounds for selection", Communications of the ACM 18(3), 1975).

    Parameters
    ----------
    image
        float32, any shape.
    skipped
        Pixels to exclude, of the same shape.
    """
    values = np.ascontiguousarray(image, np.float32).reshape(-1)
    if skipped is not None:
        values = values[~skipped.reshape(-1)]
    sample = values[::SAMPLE_STRIDE]
    sample = sample[sample == sample]
    low, high = np.float32(-np.inf), np.float32(np.inf)
    if sample.size:
        ends = [int(quantile * (sample.size - 1)) for quantile in BRACKET]
        low, high = np.partition(sample, ends)[ends]
    bracket = np.empty(values.size + 1, np.float32)
    inside, below, n = _gather(values, low, high, bracket)
    if n == 0:
        return math.nan
    ranks = np.array([(n - 1) // 2, n // 2])
    if below <= ranks[0] and ranks[1] < below + inside:
        values, ranks = bracket[:inside], ranks - below
    else:
        values = values[values == values]
    lower, upper = np.partition(values, ranks)[ranks].astype(np.float64)
    return float(lower if lower == upper else 0.5 * (lower + upper))
