"""Compares engines over pairs: the scores of every engine on every pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rtelasto.accuracy import metrics
from rtelasto.accuracy.strain_windows import WindowSweep
from rtelasto.accuracy.tissue_regions import Windows, edge_profile, judged_pixels, strain_windows
from rtelasto.accuracy.tissues import HeldOutPair, Kind
from rtelasto.cpu.classical.am import AmEngine
from rtelasto.cpu.classical.ncc import NccEngine
from rtelasto.cpu.consistency import settle_contradictions
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import Float32Image, FramePair, Grid
from rtelasto.frames.strain import StrainEngine, StrainFrame, compose
from rtelasto_engines.simulate.motion import Truth

TRUTH = "truth"
FAILURE_SAMPLES = 1.0
"""A pair with a displacement RMSE above this has failed: the error is larger than noise."""
_POOLED_PER_PAIR = 400


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: an engine, and its strain window if it has one.

    ``own`` is true for the engine with its default window, and false if the window was set for the
    comparison.
    """

    engine: str
    strain_window: int | None = None
    own: bool = True

    @property
    def label(self) -> str:
        return self.engine if self.own else f"{self.engine}/{self.strain_window}"


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one column on one pair; NaN where a figure is not defined."""

    kind: Kind
    seed: int
    column: Column
    conditions: dict[str, float]
    values: dict[str, float]

    @property
    def failed(self) -> bool:
        """Whether the displacement has an RMSE of more than a sample, or contains NaN."""
        return not self.values["displacement_rmse_samples"] <= FAILURE_SAMPLES


@dataclass(slots=True, eq=False)
class Points:
    """Displacement (samples) and strain (%), estimated and true, at some judged pixels of all pairs."""

    displacement: list[np.ndarray] = field(default_factory=list)
    true_displacement: list[np.ndarray] = field(default_factory=list)
    strain: list[np.ndarray] = field(default_factory=list)
    true_strain: list[np.ndarray] = field(default_factory=list)

    def add(self, frame: StrainFrame, region: _Regions) -> None:
        """Add the estimate and the truth at the pixels that the region drew."""
        at, truth = region.drawn, region.truth
        self.displacement.append(frame.axial_displacement_m.ravel()[at] / metrics.SAMPLE_M)
        self.true_displacement.append(truth.axial_displacement_m.ravel()[at] / metrics.SAMPLE_M)
        self.strain.append(100.0 * frame.axial_strain.ravel()[at])
        self.true_strain.append(100.0 * truth.axial_strain.ravel()[at])

    def pooled(self, name: str) -> np.ndarray:
        parts = getattr(self, name)
        return np.concatenate(parts) if parts else np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One pair as an example, by column label and for the truth.

    ``strain_percent`` are images on ``grids``; ``edges`` the profiles across the inclusion's boundary:
    position in mm (inside positive) and strain in %, empty if there is no such inclusion.
    """

    pair: HeldOutPair
    strain_percent: dict[str, Float32Image]
    grids: dict[str, Grid]
    edges: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(slots=True, eq=False)
class Comparison:
    """All results: scores, pooled points by column label, and an example."""

    scores: list[Score] = field(default_factory=list)
    points: dict[str, Points] = field(default_factory=dict)
    example: Example | None = None

    @property
    def columns(self) -> list[Column]:
        """All columns except the truth, in the order measured."""
        return [c for c in dict.fromkeys(s.column for s in self.scores) if c.engine != TRUTH]

    def select(self, kind: Kind, column: Column) -> list[Score]:
        return [s for s in self.scores if s.kind == kind and s.column == column]


class _Regions:
    """Truth and windows of a pair on a grid, and a few pixels drawn from it by the pair's seed."""

    def __init__(self, pair: HeldOutPair, grid: Grid) -> None:
        rf_format = pair.frames.pre.format
        self.truth: Truth = pair.simulated.field.truth(grid)
        self.judged = judged_pixels(self.truth, rf_format.wavelength_m)
        flat = np.flatnonzero(self.judged)
        rng = np.random.default_rng(pair.seed)
        self.drawn = rng.choice(flat, min(flat.size, _POOLED_PER_PAIR), replace=False)
        self.inclusion = pair.inclusion
        self.windows: Windows | None = None
        if self.inclusion is not None:
            self.windows = strain_windows(self.truth, self.judged, self.inclusion)

    def edge_profile(self, strain: Float32Image) -> tuple[np.ndarray, np.ndarray]:
        """Return position (mm) and strain (%) across the inclusion's boundary; empty without an inclusion."""
        if self.inclusion is None:
            return np.empty(0), np.empty(0)
        position_m, profile = edge_profile(strain, self.truth.grid, self.judged, self.inclusion)
        return 1e3 * position_m, 100.0 * profile

    def window_figures(self, strain: Float32Image) -> dict[str, float]:
        """Return SNRe, CNRe, bias and edge width of a strain; empty for tissues without the geometry."""
        if self.windows is None:
            return {}
        background, inside = strain[self.windows.background], strain[self.windows.inclusion]
        return {
            "strain_snr_db": metrics.strain_snr_db(background),
            "strain_cnr_db": metrics.strain_cnr_db(background, inside),
            "inclusion_bias_percent": metrics.bias_percent(
                inside, self.truth.axial_strain[self.windows.inclusion]
            ),
            "edge_width_mm": metrics.edge_width(*self.edge_profile(strain)),
        }


def figures(frame: StrainFrame, regions: _Regions) -> dict[str, float]:
    """Return every figure of a strain frame against the truth on its grid."""
    judged, truth = regions.judged, regions.truth
    displacement = frame.axial_displacement_m[judged] / metrics.SAMPLE_M
    true_displacement = truth.axial_displacement_m[judged] / metrics.SAMPLE_M
    return {
        "displacement_rmse_samples": metrics.rmse(displacement, true_displacement),
        "displacement_snr_db": metrics.displacement_snr_db(displacement, true_displacement),
        "strain_rmse_percent": 100.0
        * metrics.rmse(frame.axial_strain[judged], truth.axial_strain[judged]),
        "correlation": float(np.median(frame.correlation[judged])) if judged.any() else math.nan,
        **regions.window_figures(frame.axial_strain),
    }


class Competitor:
    """An engine in the comparison; a classical one represents all its strain windows."""

    def __init__(self, engine: StrainEngine, name: str) -> None:
        self.name = name
        self._sweep: WindowSweep | None = None
        if isinstance(engine, (NccEngine, AmEngine)):
            self._sweep = WindowSweep(engine)
            engine = self._sweep
        self._estimator = CpuEstimator(engine)

    def strains(self, pair: FramePair) -> Iterator[tuple[Column, StrainFrame]]:
        """Return the strain of a pair; for a classical engine once per strain window, the default first."""
        frame = self._estimator(pair)
        if self._sweep is None:
            yield Column(self.name), frame
            return
        own = self._sweep.engine.strain_window
        yield Column(self.name, own), frame
        for window in self._sweep.windows:
            if window != own:
                motion = compose(self._sweep.elongation, self._sweep.residuals[window])
                strain = motion.axial_strain
                settle_contradictions(
                    frame.displacement_correlation.copy(),
                    motion.axial_displacement_m,
                    strain,
                    frame.grid,
                    pair.pre.format.wavelength_m,
                )
                yield Column(self.name, window, own=False), frame.replace(axial_strain=strain)


def compare(
    competitors: Sequence[Competitor],
    pairs: Iterable[HeldOutPair],
    *,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Run every competitor on every pair.

    ``progress`` is called with the number of pairs done. The example is the first published-style
    pair, or the first pair where there is none.
    """
    result = Comparison()
    for done, pair in enumerate(pairs, 1):
        example = _score_pair(result, competitors, pair)
        if result.example is None or (
            pair.kind == "published" and result.example.pair.kind != "published"
        ):
            result.example = example
        if progress is not None:
            progress(done)
    return result


def _score_pair(
    result: Comparison, competitors: Sequence[Competitor], pair: HeldOutPair
) -> Example:
    """Add the scores and points of a pair to the result, and return its images."""
    regions: dict[Grid, _Regions] = {}
    example = Example(pair, {}, {}, {})

    def keep(label: str, strain: Float32Image, grid: Grid) -> None:
        example.strain_percent[label] = np.float32(100.0) * strain
        example.grids[label] = grid
        example.edges[label] = regions[grid].edge_profile(strain)

    for competitor in competitors:
        for column, frame in competitor.strains(pair.frames):
            if frame.grid not in regions:
                regions[frame.grid] = _Regions(pair, frame.grid)
            region = regions[frame.grid]
            result.scores.append(
                Score(pair.kind, pair.seed, column, pair.conditions, figures(frame, region))
            )
            result.points.setdefault(column.label, Points()).add(frame, region)
            keep(column.label, frame.axial_strain, frame.grid)
    grid, region = next(iter(regions.items()))
    true_strain = region.truth.axial_strain
    result.scores.append(
        Score(
            pair.kind, pair.seed, Column(TRUTH), pair.conditions, region.window_figures(true_strain)
        )
    )
    keep(TRUTH, true_strain, grid)
    return example
