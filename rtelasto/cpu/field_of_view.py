"""Pixels outside the field of view, where the samples of a frame are not finite."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.median import median
from rtelasto.frames.rf import Float32Image, Grid, RfFrame
from rtelasto.frames.strain import POOR_CORRELATION


def all_finite(samples: NDArray[np.generic]) -> bool:
    """Return whether a frame contains neither NaN nor infinities."""
    if samples.dtype.kind != "f":
        return True
    # Any NaN makes both extremes NaN, and any infinity is an extreme, so two passes are enough.
    return math.isfinite(float(samples.min())) and math.isfinite(float(samples.max()))


def outside_view(frame: RfFrame, grid: Grid) -> NDArray[np.bool_] | None:
    """Return the pixels of a grid whose nearest sample is not finite; None if there are none.

    The grid has the lines of the frame. Scanners and converters write NaN outside the field of view of the
    probe: beyond the end of short lines, beside a sector. No strain is reported there.
    """
    if all_finite(frame.samples):
        return None
    rf_format = frame.format
    nearest = np.rint((grid.depth_m - rf_format.start_depth_m) / rf_format.axial_step_m)
    rows = np.clip(nearest.astype(np.int64), 0, rf_format.n_samples - 1)
    return np.asarray(~np.isfinite(frame.samples[:, rows]))


def clear_outside(outside: NDArray[np.bool_] | None, *correlations: Float32Image) -> None:
    """Set correlations to 0 outside the field of view, in place."""
    if outside is not None:
        for correlation in correlations:
            correlation[outside] = 0.0


def summarise(
    correlation: Float32Image, strain: Float32Image, outside: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Return the medians of correlation and strain over the field of view: quality and applied strain.

    NaN pixels are ignored; a median without pixels is NaN.
    """
    return median(correlation, outside), median(strain, outside)


def poor_share(correlation: Float32Image, outside: NDArray[np.bool_] | None) -> float:
    """Return the share of the field of view where the correlation is poor, 0 … 1; NaN without pixels.

    ``correlation`` is 0 outside the field of view (`clear_outside`).
    """
    n_outside = 0 if outside is None else int(np.count_nonzero(outside))
    inside = correlation.size - n_outside
    if inside == 0:
        return math.nan
    return 1.0 - int(np.count_nonzero(correlation >= POOR_CORRELATION)) / inside
