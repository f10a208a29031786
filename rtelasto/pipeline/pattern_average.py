"""The averaged strain pattern in the coordinates of the tissue at the beginning of the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.line_threads import over_lines
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.pipeline.measurement import (
    LARGEST_CORRELATION,
    NODE_LINES,
    NODE_ROWS,
    Measurement,
    node_places,
)
from rtelasto.pipeline.running_average import add_pattern, move_sums, read_pattern
from rtelasto.pipeline.tissue_track import TissuePosition


class PatternAverage:
    """The sums of `rtelasto.pipeline.running_average` and where the tissue is in them."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._sums: NDArray[np.float32] = np.zeros((*grid.shape, 3), np.float32)
        self._spare = np.zeros_like(self._sums)
        lines, line_shares = node_places(grid.n_lines, NODE_LINES)
        rows, row_shares = node_places(grid.n_depths, NODE_ROWS)
        self._places = lines, line_shares, rows, row_shares

    def clear(self) -> None:
        """Empty the average."""
        self._sums.fill(0.0)

    def try_pair(
        self, pair: Measurement, at: TissuePosition, forget: float, variance: float
    ) -> tuple[float, float]:
        """Compute the average with a pair, which `accept` then makes the average.

        Parameters
        ----------
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
            pair.pattern,
            pair.certainty,
            pair.compression,
            *self._motion(at),
            *self._places,
            np.float32(forget),
            np.float32(variance),
            np.float32(LARGEST_CORRELATION),
            self._sums,
            self._spare,
            apart,
        )
        seen = apart[apart[:, 0] >= 0.0]
        if not seen.size:
            return 0.0, variance
        return float(np.median(seen[:, 0])), float(np.median(seen[:, 1]))

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
            *self._motion(at),
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
            *self._motion(at),
            *self._places,
            self._spare,
        )
        self.accept()

    def _motion(self, at: TissuePosition) -> tuple[Any, Any]:
        """How far the tissue has moved: in rows, at the nodes, and in lines."""
        return (
            at.axial_m * np.float32(1.0 / self._grid.axial_step_m),
            np.float32(at.lateral_m / self._grid.line_pitch_m),
        )
