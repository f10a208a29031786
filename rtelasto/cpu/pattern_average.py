"""The averaged strain pattern in the coordinates of the tissue at the beginning of the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.averaging.measurement import (
    LARGEST_CORRELATION,
    NODE_LINES,
    NODE_ROWS,
    Measurement,
    measure,
    node_places,
)
from rtelasto.cpu.averaging.running_average import add_pattern, move_sums, read_pattern
from rtelasto.cpu.line_threads import over_lines
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import StrainFrame


@dataclass(frozen=True, slots=True, eq=False)
class TissuePosition:
    """The tissue's position at a time, relative to the scene's start: axial at the nodes, and lateral."""

    time_s: float
    axial_m: Float32Image
    lateral_m: float

    @property
    def furthest_m(self) -> float:
        """The largest distance of any of the tissue from its position at the scene's start."""
        return max(float(np.abs(self.axial_m).max()), abs(self.lateral_m))

    def in_pixels(self, grid: Grid) -> tuple[Float32Image, np.float32]:
        """Return how far the tissue has moved: in rows, at the nodes, and in lines."""
        return (
            self.axial_m * np.float32(1.0 / grid.axial_step_m),
            np.float32(self.lateral_m / grid.line_pitch_m),
        )


def places(
    grid: Grid,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return the nodes around each line and around each row: see `node_places`."""
    return *node_places(grid.n_lines, NODE_LINES), *node_places(grid.n_depths, NODE_ROWS)


def usual(apart: NDArray[np.floating], variance: float) -> tuple[float, float]:
    """Return the medians over the lines that were compared of what `add_pattern` found for each of them.

    Without any, the pattern is at no distance, and its scatter is ``variance``.
    """
    seen = apart[apart[:, 0] >= 0.0]
    if not seen.size:
        return 0.0, variance
    distance, scatter = np.median(seen, axis=0)
    return float(distance), float(scatter)


class PatternAverage:
    """The sums of `rtelasto.cpu.averaging.running_average`, float32 (n_lines, n_depths, 3)."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._sums: NDArray[np.float32] = np.zeros((*grid.shape, 3), np.float32)
        self._spare = np.zeros_like(self._sums)
        self._places = places(grid)

    def measure(self, strain: StrainFrame) -> Measurement:
        """Return the contribution of a pair."""
        return measure(strain)

    def clear(self) -> None:
        """Empty the average."""
        self._sums.fill(0.0)

    def try_pair(
        self, pair: Measurement, at: TissuePosition, forget: float, variance: float
    ) -> tuple[float, float]:
        """Compute the average with a pair, which `accept` then makes the average.

        Parameters
        ----------
        pair
            One whose weight is not 0.
        at
            The tissue's position in the pair's pre-compression frame.
        forget
            Factor on the weights so far.
        variance
            Variance of a pattern of weight 1.

        Returns
        -------
        Distance of the pattern from the average so far, in standard deviations, and its scatter around it
        (a variance of weight 1): medians over the lines of each line's own values.
        """
        apart = np.zeros((self._grid.n_lines, 2), np.float64)
        over_lines(
            add_pattern,
            self._grid.n_lines,
            pair.strain.axial_strain,
            np.float32(1.0 / pair.strain.applied_strain),
            pair.certainty,
            pair.compression,
            *at.in_pixels(self._grid),
            *self._places,
            np.float32(forget),
            np.float32(variance),
            np.float32(LARGEST_CORRELATION),
            self._sums,
            self._spare,
            apart,
        )
        return usual(apart, variance)

    def accept(self) -> None:
        """Make what `try_pair` computed the average."""
        self._sums, self._spare = self._spare, self._sums

    def read(self, at: TissuePosition, variance: float) -> tuple[Float32Image, Float32Image]:
        """Return the average and its standard deviation at a frame's points; NaN where unknown."""
        shape = self._grid.shape
        pattern, std = np.empty(shape, np.float32), np.empty(shape, np.float32)
        over_lines(
            read_pattern,
            self._grid.n_lines,
            self._sums,
            *at.in_pixels(self._grid),
            *self._places,
            np.float32(variance),
            pattern,
            std,
        )
        return pattern, std

    def move_to(self, at: TissuePosition) -> None:
        """Make the coordinates of a frame those of the average, because the tissue has moved far."""
        over_lines(
            move_sums,
            self._grid.n_lines,
            self._sums,
            *at.in_pixels(self._grid),
            *self._places,
            self._spare,
        )
        self.accept()
