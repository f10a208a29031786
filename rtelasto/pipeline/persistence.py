"""Persistence: the strain pattern averaged over time by its precision, carried along with the tissue.

After R. J. Lindop, G. M. Treece, A. H. Gee, R. W. Prager (Cambridge), "An intelligent interface for freehand
strain imaging", Ultrasound in Med. & Biol. 34(7), 2008: strain over the applied strain is averaged, weighted
by the precision of each pixel. The average is stored in the coordinates of the tissue at the beginning of the
scene, so that nothing is interpolated twice, however long it lasts.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.line_threads import over_lines
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import Elongation, PersistenceState, StrainFrame
from rtelasto.pipeline.measurement import (
    LARGEST_CORRELATION,
    NODE_LINES,
    NODE_ROWS,
    Measurement,
    measure,
    node_places,
)
from rtelasto.pipeline.running_average import add_pattern, move_sums, read_pattern

# After a pause of this length without frames, the probe may be at another place.
LONGEST_PAUSE_S = 2.0
# A pair enters if its weight is at least this share of a good pair's: at rest the last good picture stays.
LEAST_WEIGHT = 0.05
# Longest time without a new pair that counts as time for forgetting.
LONGEST_STEP_S = 0.25
# The weight of a good pair is forgotten more slowly than the picture by this factor.
_REFERENCE_TIMES = 10.0
# Pairs with a smaller share of the heaviest weight, and presses with a smaller share of all, are not counted.
_COUNTED = 0.02
# A pattern whose median difference exceeds this many standard deviations belongs to another scene. A single
# such pair is ignored; a run of them of this length begins a new average.
_OUTLIER = 3.0
_OUTLIER_RUN_S = 0.4
# Precision of the pattern of a pair of unit weight, before any pairs could be compared.
_FIRST_VARIANCE = 1.5e-7
_VARIANCE_MEMORY = 0.1
# How far the tissue may move from its position at the start of the scene before the average is moved there.
_FURTHEST_M = 2e-3
_MOST_PAIRS = 512
_MOST_POSITIONS = 256


@dataclass(slots=True)
class _Entered:
    """A pair in the average: its time, its present weight, and its press."""

    post_s: float
    weight: float
    press: int


@dataclass(frozen=True, slots=True, eq=False)
class _Position:
    """The tissue's position at a time, relative to the scene's start: axial at the nodes, and lateral."""

    time_s: float
    axial_m: Float32Image
    lateral_m: float


def check_persistence_s(persistence_s: float) -> None:
    """Raise RtelastoError unless ``persistence_s`` is a valid time constant, or 0."""
    if not (persistence_s == 0.0 or 0.05 <= persistence_s <= 60.0):
        raise RtelastoError(
            f"persistence_s must lie in 0.05…60 s, or be 0 for none, got {persistence_s:g}"
        )


class Persistence:
    """Averages the frames of a run. Not thread-safe.

    Parameters
    ----------
    persistence_s
        Time constant: a pair counts 1/e after this much time in which good pairs arrived.

    Raises
    ------
    RtelastoError
        If it is not 0.05 to 60 s.
    """

    def __init__(self, persistence_s: float) -> None:
        check_persistence_s(persistence_s)
        self._persistence_s = persistence_s
        self._grid: Grid | None = None
        self._scene: tuple[object, ...] = ()
        self._newest_s: float
        self._reset(None)

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
        pair = measure(strain)
        before = self._position(pre_s, pair)
        after = _Position(post_s, before.axial_m + pair.motion_m, before.lateral_m + pair.lateral_m)
        self._positions.append(after)
        if self._is_heavy_enough(pair):
            self._enter(pair, before, strain.applied_strain, post_s)
        pattern, std = self._read(before)
        if max(float(np.abs(after.axial_m).max()), abs(after.lateral_m)) > _FURTHEST_M:
            self._move_to(after)
        return strain.replace(
            relative_strain=pattern, relative_strain_std=std, persistence=self._state(post_s)
        )

    @classmethod
    def warm_up(cls) -> None:
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
            elongation=Elongation(lateral_offset_m=_FURTHEST_M),
        )
        persistence = cls(1.0)
        for k in range(3):
            persistence(frame, pre_s=0.01 * k, post_s=0.01 * (k + 1))

    def _reset(self, grid: Grid | None) -> None:
        self._newest_s = -math.inf
        self._positions: deque[_Position] = deque(maxlen=_MOST_POSITIONS)
        self._entered: deque[_Entered] = deque(maxlen=_MOST_PAIRS)
        self._good_weight = 0.0
        self._variance = _FIRST_VARIANCE
        self._press = 0
        self._pressing = False
        self._outliers_since_s = math.nan
        if grid is not None:
            self._clear(grid)

    def _clear(self, grid: Grid) -> None:
        self._entered.clear()
        # See `running_average` for their meaning.
        self._sums: NDArray[np.float32] = np.zeros((*grid.shape, 3), np.float32)
        self._spare = np.zeros_like(self._sums)
        self._places = node_places(grid.n_lines, NODE_LINES), node_places(grid.n_depths, NODE_ROWS)
        self._grid = grid

    def _position(self, time_s: float, pair: Measurement) -> _Position:
        """Return the tissue's position at a time, interpolated between the pairs so far."""
        known = self._positions
        if not known:
            first = _Position(time_s, np.zeros_like(pair.motion_m), 0.0)
            known.append(first)
            return first
        later = next((p for p in known if p.time_s >= time_s), known[-1])
        earlier = next((p for p in reversed(known) if p.time_s <= time_s), known[0])
        span_s = later.time_s - earlier.time_s
        if span_s <= 0.0:
            return _Position(time_s, earlier.axial_m, earlier.lateral_m)
        share = (time_s - earlier.time_s) / span_s
        return _Position(
            time_s,
            earlier.axial_m + np.float32(share) * (later.axial_m - earlier.axial_m),
            earlier.lateral_m + share * (later.lateral_m - earlier.lateral_m),
        )

    def _is_heavy_enough(self, pair: Measurement) -> bool:
        return pair.weight > 0.0 and pair.weight >= LEAST_WEIGHT * self._good_weight

    def _enter(self, pair: Measurement, before: _Position, applied: float, post_s: float) -> None:
        """Add a pair to the average, unless it contradicts the average."""
        step_s = post_s - self._entered[-1].post_s if self._entered else 0.0
        step_s = min(max(step_s, 0.0), LONGEST_STEP_S)
        share = min(1.0, pair.weight / self._good_weight) if self._good_weight else 1.0
        forget = math.exp(-step_s * share / self._persistence_s)
        outlying, scatter = self._add(pair, before, applied, forget)
        if outlying > _OUTLIER and self._entered:
            if math.isnan(self._outliers_since_s):
                self._outliers_since_s = post_s
            if post_s - self._outliers_since_s < _OUTLIER_RUN_S:
                return
            assert self._grid is not None
            self._clear(self._grid)
            self._good_weight = 0.0
            forget = 1.0
            self._add(pair, before, applied, forget)
        elif self._entered:
            self._variance += _VARIANCE_MEMORY * (scatter - self._variance)
        self._outliers_since_s = math.nan
        self._sums, self._spare = self._spare, self._sums
        slower = forget ** (1.0 / _REFERENCE_TIMES)
        self._good_weight = max(pair.weight, slower * self._good_weight)
        self._count_pair(pair.weight, applied, forget, post_s)

    def _add(
        self, pair: Measurement, before: _Position, applied: float, forget: float
    ) -> tuple[float, float]:
        """Compute the sums with a pair into the spare array; return their distance and their scatter."""
        assert self._grid is not None
        grid = self._grid
        apart = np.zeros((grid.n_lines, 2), np.float64)
        (lines, line_shares), (rows, row_shares) = self._places
        over_lines(
            add_pattern,
            grid.n_lines,
            pair.pattern,
            pair.correlation,
            pair.compression,
            before.axial_m * np.float32(1.0 / grid.axial_step_m),
            np.float32(before.lateral_m / grid.line_pitch_m),
            lines,
            line_shares,
            rows,
            row_shares,
            np.float32(forget),
            np.float32(self._variance),
            np.float32(LARGEST_CORRELATION),
            self._sums,
            self._spare,
            apart,
        )
        # Medians over the lines of each line's own values.
        seen = apart[apart[:, 0] >= 0.0]
        if not seen.size:
            return 0.0, self._variance
        return float(np.median(seen[:, 0])), float(np.median(seen[:, 1]))

    def _count_pair(self, weight: float, applied: float, forget: float, post_s: float) -> None:
        pressing = applied < 0.0
        if not self._press or (pressing and not self._pressing):
            self._press += 1
        self._pressing = pressing
        for entered in self._entered:
            entered.weight *= forget
        self._entered.append(_Entered(post_s, weight, self._press))
        heaviest = max(entered.weight for entered in self._entered)
        while self._entered[0].weight < _COUNTED * heaviest:
            self._entered.popleft()

    def _state(self, now_s: float) -> PersistenceState:
        if not self._entered:
            return PersistenceState(0.0, 0, 0, math.nan)
        weights = np.array([entered.weight for entered in self._entered])
        newest_s = self._entered[-1].post_s
        by_press = np.bincount([entered.press for entered in self._entered], weights)
        return PersistenceState(
            seconds=newest_s - self._entered[0].post_s,
            frames=round(float(weights.sum() ** 2 / (weights**2).sum())),
            presses=int((by_press > _COUNTED * weights.sum()).sum()),
            age_s=max(0.0, now_s - newest_s),
        )

    def _read(self, at: _Position) -> tuple[Float32Image, Float32Image]:
        """Return the average and its standard deviation at a frame's points."""
        assert self._grid is not None
        grid = self._grid
        pattern, std = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.float32)
        (lines, line_shares), (rows, row_shares) = self._places
        over_lines(
            read_pattern,
            grid.n_lines,
            self._sums,
            at.axial_m * np.float32(1.0 / grid.axial_step_m),
            np.float32(at.lateral_m / grid.line_pitch_m),
            lines,
            line_shares,
            rows,
            row_shares,
            np.float32(self._variance),
            pattern,
            std,
        )
        return pattern, std

    def _move_to(self, at: _Position) -> None:
        """Make the coordinates of a frame those of the scene, because the tissue has moved far."""
        assert self._grid is not None
        grid = self._grid
        (lines, line_shares), (rows, row_shares) = self._places
        over_lines(
            move_sums,
            grid.n_lines,
            self._sums,
            at.axial_m * np.float32(1.0 / grid.axial_step_m),
            np.float32(at.lateral_m / grid.line_pitch_m),
            lines,
            line_shares,
            rows,
            row_shares,
            self._spare,
        )
        self._sums, self._spare = self._spare, self._sums
        moved = [
            _Position(p.time_s, p.axial_m - at.axial_m, p.lateral_m - at.lateral_m)
            for p in self._positions
        ]
        self._positions = deque(moved, maxlen=_MOST_POSITIONS)
