"""The regions for the figures: pixels that can be judged, windows, and the edge of an inclusion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter, uniform_filter

from rtelasto.frames.rf import Grid
from rtelasto_engines.simulate.motion import Truth
from rtelasto_engines.simulate.tissue import Inclusion

FloatArray = NDArray[np.floating]
Mask = NDArray[np.bool_]

# Half of the baseline's strain window (121 samples at 12.8 a wavelength of depth) and of the published
# patch (9 lines): closer to the border, windows are cut on one side.
BORDER_WAVELENGTHS = 60.5 / 12.8
BORDER_LINES = 4
BACKGROUND_WINDOW_M = 6e-3
# In units of the ellipse: an inclusion is uniform inside the first; background begins at the second.
INCLUSION_RADIUS = 0.6
BACKGROUND_RADIUS = 1.4
EDGE_REACH_M = 3e-3
# 2 |n_x n_z| of the boundary's normal n; it is 1 at a slope of 45°.
_LEAST_SLANT = 0.8


def judged_pixels(truth: Truth, wavelength_m: float) -> Mask:
    """Return the pixels that are inside the frame and not at its border, before and after the compression."""
    grid = truth.grid
    border_m = BORDER_WAVELENGTHS * wavelength_m
    top = grid.start_depth_m + border_m
    bottom = grid.start_depth_m + (grid.n_depths - 1) * grid.axial_step_m - border_m
    side = (0.5 * (grid.n_lines - 1) - BORDER_LINES) * grid.line_pitch_m
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    after_x, after_z = x + truth.lateral_displacement_m, z + truth.axial_displacement_m
    tiny = 1e-9
    inside = (z >= top) & (z <= bottom) & (np.abs(x) <= side + tiny)
    return inside & (after_z >= top) & (after_z <= bottom) & (np.abs(after_x) <= side + tiny)


def ellipse_radius(inclusion: Inclusion, x_m: FloatArray, z_m: FloatArray) -> FloatArray:
    """Return the distance from the inclusion's centre in units of its ellipse: 1 on the boundary."""
    cos, sin = math.cos(inclusion.angle_rad), math.sin(inclusion.angle_rad)
    dx, dz = x_m - inclusion.x_m, z_m - inclusion.z_m
    return np.hypot(
        (cos * dx + sin * dz) / inclusion.semi_x_m, (cos * dz - sin * dx) / inclusion.semi_z_m
    )


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Pixels of a uniform part of the background and of the interior of the inclusion."""

    background: Mask
    inclusion: Mask


def strain_windows(truth: Truth, judged: Mask, inclusion: Inclusion) -> Windows:
    """Return the windows for SNRe, CNRe and the bias in the inclusion.

    The window of the inclusion is its ellipse scaled by 0.6. The window of the background is 6 × 6 mm (at
    most a third of the image). All its pixels are judged and outside the ellipse scaled by 1.4, and the true
    strain in it is as uniform as possible: σ/|mean| is least. It is empty if there is no such place. The
    choice depends only on the truth, so it is the same for every engine.
    """
    grid = truth.grid
    radius = ellipse_radius(inclusion, grid.lateral_m[:, None], grid.depth_m[None, :])
    inside = judged & (radius <= INCLUSION_RADIUS)
    side_m = min(BACKGROUND_WINDOW_M, grid.n_lines * grid.line_pitch_m / 3.0)
    half = (
        max(1, round(0.5 * side_m / grid.line_pitch_m)),
        max(1, round(0.5 * side_m / grid.axial_step_m)),
    )
    size = (2 * half[0] + 1, 2 * half[1] + 1)
    usable = judged & (radius >= BACKGROUND_RADIUS)
    fits = minimum_filter(usable.astype(np.uint8), size, mode="constant", cval=0).astype(bool)
    background = np.zeros(grid.shape, bool)
    if fits.any():
        strain = truth.axial_strain.astype(np.float64)
        mean = uniform_filter(strain, size, mode="nearest")
        # Relative to the overall mean, so that the difference of two squares keeps its precision.
        centred = strain - strain.mean()
        variance = uniform_filter(centred**2, size, mode="nearest")
        variance -= uniform_filter(centred, size, mode="nearest") ** 2
        spread = np.sqrt(np.maximum(variance, 0.0)) / np.maximum(np.abs(mean), 1e-12)
        line, row = np.unravel_index(int(np.argmin(np.where(fits, spread, np.inf))), grid.shape)
        background[line - half[0] : line + half[0] + 1, row - half[1] : row + half[1] + 1] = True
    return Windows(background, inside)


def edge_profile(
    strain: FloatArray, grid: Grid, judged: Mask, inclusion: Inclusion
) -> tuple[FloatArray, FloatArray]:
    """Return the mean axial profile of the strain across the oblique parts of the inclusion's boundary.

    In tissue that keeps its volume the axial strain jumps at a boundary in proportion to n_x·n_z of
    its normal: most at 45°, and not at all at the top, bottom and sides of the inclusion, where it changes
    gradually at any resolution. The axial profiles of all lines that cross the boundary with 2|n_x n_z| ≥ 0.8
    are therefore aligned at the boundary, with the inside to the right, and averaged.

    Returns
    -------
    position_m
        Axial distance from the boundary, negative outside, in steps of the grid; at most ±3 mm, and inside at
        most to the middle of the inclusion. Empty if no line qualifies.
    profile
        Strain there.
    """
    top, bottom, slanted = _crossings(inclusion, grid.lateral_m)
    half_chord = 0.5 * (bottom - top)
    if not slanted.any():
        return np.empty(0), np.empty(0)
    reach_inside = min(EDGE_REACH_M, float(np.median(half_chord[slanted.any(axis=0)])))
    step = grid.axial_step_m
    position = step * np.arange(
        -math.floor(EDGE_REACH_M / step), math.floor(reach_inside / step) + 1
    )
    depth = grid.depth_m
    profiles = []
    for boundary, inwards, ends in ((top, 1.0, slanted[0]), (bottom, -1.0, slanted[1])):
        for line in np.flatnonzero(ends):
            at = boundary[line] + inwards * position
            rows = np.rint((at - depth[0]) / step).astype(int)
            if rows.min() < 0 or rows.max() >= depth.size or not judged[line, rows].all():
                continue
            profiles.append(np.interp(at, depth, strain[line]))
    if not profiles:
        return np.empty(0), np.empty(0)
    return position, np.mean(profiles, axis=0)


def _crossings(inclusion: Inclusion, lateral_m: FloatArray) -> tuple[FloatArray, FloatArray, Mask]:
    """Return the depth of the boundary's top and bottom on each line, and which crossings are oblique.

    The last is (2, n_lines): top and bottom.
    """
    cos, sin = math.cos(inclusion.angle_rad), math.sin(inclusion.angle_rad)
    a2, b2 = inclusion.semi_x_m**2, inclusion.semi_z_m**2
    dx = lateral_m - inclusion.x_m
    # (cos dx + sin dz)²/a² + (cos dz − sin dx)²/b² = 1 solved for dz.
    quadratic = sin**2 / a2 + cos**2 / b2
    linear = 2.0 * cos * sin * dx * (1.0 / a2 - 1.0 / b2)
    constant = dx**2 * (cos**2 / a2 + sin**2 / b2) - 1.0
    root2 = linear**2 - 4.0 * quadratic * constant
    crosses = root2 > 0.0
    root = np.sqrt(np.maximum(root2, 0.0))
    ends, slanted = [], []
    for sign in (-1.0, 1.0):
        dz = (-linear + sign * root) / (2.0 * quadratic)
        along, across = (cos * dx + sin * dz) / a2, (cos * dz - sin * dx) / b2
        n_x, n_z = cos * along - sin * across, sin * along + cos * across
        norm2 = np.maximum(n_x**2 + n_z**2, 1e-300)
        ends.append(inclusion.z_m + dz)
        slanted.append(crosses & (2.0 * np.abs(n_x * n_z) / norm2 >= _LEAST_SLANT))
    return ends[0], ends[1], np.stack(slanted)
