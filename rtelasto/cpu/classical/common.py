"""What the classical engines share: their output grid and the checks of their parameters."""

from __future__ import annotations

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid


def output_grid(grid: Grid, axial_stride: int) -> Grid:
    """Every ``axial_stride``-th row of a grid, the first included."""
    return Grid(
        grid.n_lines,
        -(-grid.n_depths // axial_stride),
        grid.axial_step_m * axial_stride,
        grid.line_pitch_m,
        grid.start_depth_m,
    )


def require_whole_number(name: str, value: int, least: int) -> None:
    """Raises RtelastoError unless ``value`` is a whole number not below ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise RtelastoError(f"{name} must be a whole number of at least {least}, got {value!r}")


def require_positive(name: str, value: float) -> None:
    """Raises RtelastoError unless ``value`` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise RtelastoError(f"{name} must be a number, got {value!r}")
    if not (np.isfinite(value) and value > 0.0):
        raise RtelastoError(f"{name} must be above 0, got {value:g}")
