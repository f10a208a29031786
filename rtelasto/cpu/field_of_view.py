"""Pixels outside the field of view: where a frame's samples are not finite."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.median import median
from rtelasto.frames.rf import Float32Image, Grid, RfFrame


def all_finite(samples: NDArray[np.generic]) -> bool:
    """Whether a frame holds neither NaN nor infinities."""
    if samples.dtype.kind != "f":
        return True
    # A NaN anywhere makes both extremes NaN and an infinity shows as one, so two passes settle it.
    return math.isfinite(float(samples.min())) and math.isfinite(float(samples.max()))


def outside_view(frame: RfFrame, grid: Grid) -> NDArray[np.bool_] | None:
    """Pixels of a grid, with the lines of the frame, whose nearest sample is not finite; None for none.

    Scanners and converters put NaN where the probe does not see: beyond the end of short lines, beside
    a sector. No strain is claimed there.
    """
    if all_finite(frame.samples):
        return None
    rf_format = frame.format
    nearest = np.rint((grid.depth_m - rf_format.start_depth_m) / rf_format.axial_step_m)
    rows = np.clip(nearest.astype(np.int64), 0, rf_format.n_samples - 1)
    return np.asarray(~np.isfinite(frame.samples[:, rows]))


def summarise(
    correlation: Float32Image, strain: Float32Image, outside: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Medians of correlation and strain over the field of view: quality and applied strain.

    Also sets ``correlation`` to 0 outside the field of view. Pixels that are NaN do not count; where no
    pixel does, a median is NaN.
    """
    if outside is not None:
        correlation[outside] = 0.0
    return median(correlation, outside), median(strain, outside)
