"""Shared code of the classical engines: output grid, strain from displacement, checks of parameters."""

from __future__ import annotations

import numpy as np

from rtelasto.cpu.classical.kalman import kalman_smooth
from rtelasto.cpu.classical.least_squares import (
    lateral_slope,
    least_squares_strain,
    window_points,
)
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import ResidualMotion, StretchedPair


def output_grid(grid: Grid, axial_stride: int) -> Grid:
    """Every ``axial_stride``-th row of a grid, the first included."""
    return Grid(
        grid.n_lines,
        -(-grid.n_depths // axial_stride),
        grid.axial_step_m * axial_stride,
        grid.line_pitch_m,
        grid.start_depth_m,
    )


def residual_motion(
    pair: StretchedPair,
    displacement: Float32Image,
    lateral: Float32Image | None = None,
    *,
    axial_stride: int,
    strain_window: int,
    kalman: bool,
    weights: Float32Image | None = None,
) -> ResidualMotion:
    """Return the displacements in metres and their least-squares strains.

    Parameters
    ----------
    pair
        The stretched pair.
    displacement
        Residual axial motion of ``pair`` in samples, float32 (n_lines, n_depths), every
        ``axial_stride``-th sample of its grid.
    lateral
        Residual lateral motion in lines, of the same shape; None if it is not known.
    axial_stride
        Samples of the grid of ``pair`` per row.
    strain_window
        Length of the least-squares fit in samples of the grid of ``pair``.
    kalman
        Whether the strain is smoothed across the lines.
    weights
        Weight of each pixel in the fit; equal if None.
    """
    strain = least_squares_strain(
        displacement,
        window=window_points(strain_window, axial_stride),
        step=float(axial_stride),
        weights=weights,
    )
    if kalman:
        strain = kalman_smooth(strain)
    pitch_m = pair.grid.line_pitch_m
    lateral_m = None if lateral is None else lateral * np.float32(pitch_m)
    return ResidualMotion(
        displacement * np.float32(pair.grid.axial_step_m),
        strain,
        output_grid(pair.grid, axial_stride),
        lateral_displacement_m=lateral_m,
        lateral_strain=None if lateral_m is None else lateral_slope(lateral_m, pitch_m),
    )


def require_whole_number(name: str, value: int, least: int) -> None:
    """Raise RtelastoError unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise RtelastoError(f"{name} must be a whole number of at least {least}, got {value!r}")


def require_positive(name: str, value: float) -> None:
    """Raise RtelastoError unless ``value`` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise RtelastoError(f"{name} must be a number, got {value!r}")
    if not (np.isfinite(value) and value > 0.0):
        raise RtelastoError(f"{name} must be above 0, got {value:g}")
