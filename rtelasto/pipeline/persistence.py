"""Persistence: the strain pattern averaged over time by its precision, carried along with the tissue.

After R. J. Lindop, G. M. Treece, A. H. Gee, R. W. Prager (Cambridge), "An intelligent interface for freehand
strain imaging", Ultrasound in Med. & Biol. 34(7), 2008: strain over the applied strain is averaged, weighted
by the precision of each pixel. The average is stored in the coordinates of the tissue at the beginning of the
scene, so that nothing is interpolated twice, however long it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from rtelasto.cpu.averaging.measurement import UNIT_VARIANCE, Measurement
from rtelasto.cpu.pattern_average import PatternAverage, TissuePosition
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import Elongation, MeasuredMotion, StrainFrame
from rtelasto.pipeline.averaged_pairs import AveragedPairs, check_persistence_s
from rtelasto.pipeline.tissue_track import TissueTrack

# After a pause of this length without frames, the probe may be at another place.
LONGEST_PAUSE_S = 2.0
# A pair enters if its weight is at least this share of a good pair's: at rest the last good picture stays.
LEAST_WEIGHT = 0.05
# Longest time without a new pair that counts as time for forgetting.
LONGEST_STEP_S = 0.25
# The weight of a good pair is forgotten more slowly than the picture by this factor.
_REFERENCE_TIMES = 10.0
# A pattern whose median difference exceeds this many standard deviations belongs to another scene. A single
# such pair is ignored; a run of them of this length begins a new average.
_OUTLIER = 3.0
_OUTLIER_RUN_S = 0.4
_VARIANCE_MEMORY = 0.1
# How far the tissue may move from its position at the start of the scene before the average is moved there.
_FURTHEST_M = 2e-3


class Average(Protocol):
    """What reads and writes whole images, on the CPU or a GPU: see `rtelasto.cpu.pattern_average`."""

    def measure(self, strain: StrainFrame) -> Measurement: ...

    def clear(self) -> None: ...

    def try_pair(
        self, pair: Measurement, at: TissuePosition, forget: float, variance: float
    ) -> tuple[float, float]: ...

    def accept(self) -> None: ...

    def read(self, at: TissuePosition, variance: float) -> tuple[Float32Image, Float32Image]: ...

    def move_to(self, at: TissuePosition) -> None: ...


class Persistence:
    """Averages the frames of a run. Not thread-safe.

    Parameters
    ----------
    persistence_s
        Time constant: a pair counts 1/e after this much time in which good pairs arrived.
    new_average
        Returns an empty average over frames of a grid.

    Raises
    ------
    RtelastoError
        If it is not 0.05 to 60 s.
    """

    def __init__(
        self, persistence_s: float, new_average: Callable[[Grid], Average] = PatternAverage
    ) -> None:
        check_persistence_s(persistence_s)
        self._persistence_s = persistence_s
        self._new_average = new_average
        self._grid: Grid | None = None
        self._scene: tuple[object, ...] = ()
        self._newest_s = -math.inf

    def __call__(
        self, strain: StrainFrame, *, pre_s: float, post_s: float, scene: int = 0
    ) -> StrainFrame:
        """Return the frame with ``relative_strain``, ``relative_strain_std`` and ``persistence``.

        Parameters
        ----------
        strain
            The newest frame, in the order of ``post_s``.
        pre_s, post_s
            When its two RF frames were acquired, s from any start.
        scene
            A change of this number means that the tissue cannot be followed back to earlier frames.
        """
        found = (scene, strain.stream, strain.grid)
        pause_s = post_s - self._newest_s
        if found != self._scene or not 0.0 <= pause_s <= LONGEST_PAUSE_S:
            self._scene = found
            self._reset(strain.grid)
        self._newest_s = post_s
        pair = self._average.measure(strain)
        before, after = self._track.follow(pair, pre_s, post_s)
        if pair.weight > 0.0 and pair.weight >= LEAST_WEIGHT * self._good_weight:
            self._enter(pair, before, strain.applied_strain, post_s)
        pattern, std = self._average.read(before, self._variance)
        if after.furthest_m > _FURTHEST_M:
            # The coordinates of this frame become those of the scene.
            self._average.move_to(after)
            self._track.start_at(after)
        return strain.replace(
            relative_strain=pattern, relative_strain_std=std, persistence=self._pairs.state(post_s)
        )

    def warm_up(self) -> None:
        """Compile, or load, the kernels that the first frame of a run would wait for."""
        grid = Grid(16, 64, 1e-4, 3e-4)
        # Shift the tissue by more than the limit, so that the kernel that moves the average runs as well.
        ones = np.ones(grid.shape, np.float32)
        frame = StrainFrame(
            -0.01 * ones,
            1e-5 * ones,
            0.9 * ones,
            grid,
            quality=0.9,
            applied_strain=-0.01,
            elongation=Elongation(axial_slope=-0.01, lateral_offset_m=_FURTHEST_M),
            measured=_even(grid),
        )
        trial = Persistence(self._persistence_s, self._new_average)
        for k in range(3):
            trial(frame, pre_s=0.01 * k, post_s=0.01 * (k + 1))

    def _reset(self, grid: Grid) -> None:
        self._track = TissueTrack()
        if grid != self._grid:
            self._grid = grid
            self._average: Average = self._new_average(grid)
        else:
            self._average.clear()
        self._pairs = AveragedPairs()
        self._good_weight = 0.0
        self._variance = UNIT_VARIANCE
        self._outliers_since_s = math.nan

    def _enter(
        self, pair: Measurement, before: TissuePosition, applied: float, post_s: float
    ) -> None:
        """Add a pair to the average, unless it contradicts the average."""
        step_s = post_s - self._pairs.newest_s if self._pairs else 0.0
        step_s = min(max(step_s, 0.0), LONGEST_STEP_S)
        share = min(1.0, pair.weight / self._good_weight) if self._good_weight else 1.0
        forget = math.exp(-step_s * share / self._persistence_s)
        outlying, scatter = self._average.try_pair(pair, before, forget, self._variance)
        if outlying > _OUTLIER and self._pairs:
            if math.isnan(self._outliers_since_s):
                self._outliers_since_s = post_s
            if post_s - self._outliers_since_s < _OUTLIER_RUN_S:
                return
            self._average.clear()
            self._pairs.clear()
            self._good_weight = 0.0
            forget = 1.0
            self._average.try_pair(pair, before, forget, self._variance)
        elif self._pairs:
            self._variance += _VARIANCE_MEMORY * (scatter - self._variance)
        self._outliers_since_s = math.nan
        self._average.accept()
        slower = forget ** (1.0 / _REFERENCE_TIMES)
        self._good_weight = max(pair.weight, slower * self._good_weight)
        self._pairs.add(pair.weight, applied, forget, post_s)


def _even(grid: Grid) -> MeasuredMotion:
    """Return a measurement of the stretch alone."""
    half = Grid(grid.n_lines, grid.n_depths // 2, 2.0 * grid.axial_step_m, grid.line_pitch_m)
    zeros, ones = np.zeros(half.shape, np.float32), np.ones(half.shape, np.float32)
    return MeasuredMotion(zeros, zeros, ones, np.stack([ones, zeros]), half, half.axial_step_m / 8)
