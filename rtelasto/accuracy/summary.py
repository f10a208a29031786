"""Summaries over pairs, and the classical engines at matched edge width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtelasto.accuracy.compare import Column, Comparison, Score
from rtelasto.accuracy.tissues import Kind


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles over the ``count`` pairs on which a figure is defined."""

    median: float
    lower: float
    upper: float
    count: int


def spread(scores: Sequence[Score], metric: str) -> Spread:
    """Summarise a figure. Failed pairs are included; pairs where the figure is not defined are not."""
    values = [s.values[metric] for s in scores if math.isfinite(s.values.get(metric, math.nan))]
    if not values:
        return Spread(math.nan, math.nan, math.nan, 0)
    lower, median, upper = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return Spread(median, lower, upper, len(values))


def rival_windows(comparison: Comparison, classical: str, reference: str) -> list[Column]:
    """Return a classical engine's strain windows with edges no wider than the reference's, longest last.

    These are the windows for which the median over the published-style pairs of (its edge width − the
    reference's) is at most 0, or the one with the smallest median if all are wider. Empty if the engine has
    no windows or no pair has both widths.
    """
    references = {
        s.seed: s.values["edge_width_mm"]
        for s in comparison.scores
        if s.column.label == reference and "edge_width_mm" in s.values
    }
    gaps: dict[Column, float] = {}
    for column in comparison.columns:
        if column.engine != classical or column.strain_window is None:
            continue
        paired = [
            s.values["edge_width_mm"] - references[s.seed]
            for s in comparison.select("published", column)
            if s.seed in references
        ]
        paired = [gap for gap in paired if math.isfinite(gap)]
        if paired:
            gaps[column] = float(np.median(paired))
    narrow = [column for column, gap in gaps.items() if gap <= 0.0]
    if gaps and not narrow:
        narrow = [min(gaps, key=lambda column: gaps[column])]
    return sorted(narrow, key=lambda column: column.strain_window or 0)


@dataclass(frozen=True, slots=True)
class Shown:
    """The columns of the report: every engine with its defaults, classical ones also at matched edge width.

    ``matched`` are the latter: of each classical engine the longest strain window whose edges are not wider
    than those of ``reference``. ``rivals`` are all windows with that property. ``reference`` is None if only
    classical engines are compared.
    """

    columns: tuple[Column, ...]
    matched: tuple[Column, ...]
    rivals: tuple[Column, ...]
    reference: str | None


def shown_columns(comparison: Comparison) -> Shown:
    """Choose the strain windows of the classical engines; the reference is the first other engine."""
    own = [column for column in comparison.columns if column.own]
    reference = next((column.label for column in own if column.strain_window is None), None)
    columns: list[Column] = []
    matched: list[Column] = []
    rivals: list[Column] = []
    for column in own:
        columns.append(column)
        if column.strain_window is None or reference is None:
            continue
        windows = rival_windows(comparison, column.engine, reference)
        rivals += windows
        if windows:
            matched.append(windows[-1])
            if windows[-1] != column:
                columns.append(windows[-1])
    return Shown(tuple(columns), tuple(matched), tuple(rivals), reference)


def ratios(comparison: Comparison, shown: Shown, kind: Kind) -> dict[str, float]:
    """Return the median RMSE of the reference divided by that of the best rival.

    It is the best rival, not the one nearest in edge width: beyond some length a window has both wider edges
    and a larger error, and a comparison with that window would favour a blurred reference.
    """
    out: dict[str, float] = {}
    if shown.reference is None or not shown.rivals:
        return out
    reference = [
        s for s in comparison.scores if s.kind == kind and s.column.label == shown.reference
    ]
    for metric in ("displacement_rmse_samples", "strain_rmse_percent"):
        medians = [spread(comparison.select(kind, c), metric).median for c in shown.rivals]
        best = min((m for m in medians if math.isfinite(m)), default=math.nan)
        out[metric] = spread(reference, metric).median / best if best > 0.0 else math.nan
    return out
