"""Estimate against truth: regression and Bland–Altman panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rtelasto.accuracy.compare import Comparison, Points
from rtelasto.accuracy.metrics import agreement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_QUANTITIES = (
    ("displacement", "true_displacement", "displacement, samples"),
    ("strain", "true_strain", "strain, %"),
)


def draw_agreement(figure: SubFigure, comparison: Comparison, labels: list[str]) -> None:
    """Draw two rows for displacement and two for strain, with one column per label.

    The panels of a row share their axes; points outside the axes are counted in the panel.
    """
    panels = figure.subplots(4, len(labels), squeeze=False)
    for index, (name, true_name, unit) in enumerate(_QUANTITIES):
        pooled = {
            label: _finite_points(comparison.points[label], name, true_name) for label in labels
        }
        truths = np.concatenate([truth for _, truth in pooled.values()])
        differences = np.concatenate([estimate - truth for estimate, truth in pooled.values()])
        if truths.size == 0:
            continue
        estimates = truths + differences
        ends = np.percentile(estimates, (0.5, 99.5))
        span = (float(min(truths.min(), ends[0])), float(max(truths.max(), ends[1])))
        reach = 1.2 * float(np.percentile(np.abs(differences), 99.0)) or 1.0
        for at, label in enumerate(labels):
            estimate, truth = pooled[label]
            if truth.size == 0:
                continue
            upper, lower = panels[2 * index, at], panels[2 * index + 1, at]
            _draw_regression(upper, estimate, truth, span)
            _draw_bland_altman(lower, estimate, truth, span, reach)
            upper.set_title(label, fontsize="medium")
            upper.set_xlabel(f"true {unit}", fontsize="small")
            lower.set_xlabel(f"mean of both, {unit.split(', ')[1]}", fontsize="small")
            if at == 0:
                upper.set_ylabel(f"estimated {unit}", fontsize="small")
                lower.set_ylabel(f"{unit}\nestimate − truth", fontsize="small")
    for panel in panels.ravel():
        panel.tick_params(labelsize="small")


def _finite_points(points: Points, name: str, true_name: str) -> tuple[np.ndarray, np.ndarray]:
    estimate, truth = points.pooled(name), points.pooled(true_name)
    finite = np.isfinite(estimate) & np.isfinite(truth)
    return estimate[finite], truth[finite]


_CLOUD: dict[str, Any] = {
    "gridsize": 50,
    "bins": "log",
    "mincnt": 1,
    "cmap": "Blues",
    "linewidths": 0,
}


def _note(panel: Axes, text: str, *, top: bool = True) -> None:
    panel.text(
        0.03,
        0.97 if top else 0.03,
        text.replace("-", "−"),
        transform=panel.transAxes,
        va="top" if top else "bottom",
        fontsize="x-small",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.0},
    )


def _draw_regression(
    panel: Axes, estimate: np.ndarray, truth: np.ndarray, span: tuple[float, float]
) -> None:
    fit = agreement(estimate, truth)
    margin = 0.05 * (span[1] - span[0]) + 1e-6
    low, high = span[0] - margin, span[1] + margin
    shown = (estimate >= low) & (estimate <= high)
    panel.hexbin(truth[shown], estimate[shown], extent=(low, high, low, high), **_CLOUD)
    ends = np.array([low, high])
    panel.plot(ends, ends, color="0.6", linewidth=0.8, linestyle=":")
    panel.plot(ends, fit.intercept + fit.slope * ends, color="tab:red", linewidth=0.9)
    panel.set_xlim(low, high)
    panel.set_ylim(low, high)
    text = f"slope {fit.slope:.4f}\nintercept {fit.intercept:.3f}\nR² {fit.r2:.5f}"
    outside = estimate.size - int(shown.sum())
    _note(panel, text + (f"\n{outside} of {estimate.size} outside" if outside else ""))


def _draw_bland_altman(
    panel: Axes,
    estimate: np.ndarray,
    truth: np.ndarray,
    span: tuple[float, float],
    reach: float,
) -> None:
    fit = agreement(estimate, truth)
    mean, difference = 0.5 * (estimate + truth), estimate - truth
    shown = (np.abs(difference) <= reach) & (mean >= span[0]) & (mean <= span[1])
    panel.hexbin(
        mean[shown], difference[shown], extent=(span[0], span[1] + 1e-6, -reach, reach), **_CLOUD
    )
    panel.axhline(fit.bias, color="tab:red", linewidth=0.9)
    for limit in (fit.bias - fit.limit, fit.bias + fit.limit):
        panel.axhline(limit, color="tab:red", linewidth=0.9, linestyle="--")
    panel.set_xlim(*span)
    panel.set_ylim(-reach, reach)
    outside = difference.size - int(shown.sum())
    text = f"{fit.bias:+.4f} ± {fit.limit:.3f}"
    _note(panel, text + (f"\n{outside} of {difference.size} outside" if outside else ""))
