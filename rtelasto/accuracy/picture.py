"""The comparison as one picture: an example's strain side by side, and agreement with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtelasto.accuracy.compare import TRUTH, Comparison, Example, Points
from rtelasto.accuracy.metrics import agreement
from rtelasto.accuracy.summary import Shown, spread
from rtelasto.domain import Grid
from rtelasto.errors import MissingExtraError
from rtelasto.sinks.output_file import OutputFile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_PANEL_INCH = 2.3
_PIXELS_PER_INCH = 130
_QUANTITIES = (
    ("displacement", "true_displacement", "displacement, samples"),
    ("strain", "true_strain", "strain, %"),
)


def save_comparison(path: Path, comparison: Comparison, shown: Shown) -> None:
    """Draw and save.

    On top the example's true strain and every column's on one colour scale, the truth's range. Then
    the example's strain across the inclusion's boundary, strain RMSE against edge width (medians
    over the published-style pairs; a line joins the strain windows of a classical engine), and the
    displacement RMSE of every pair against its echo SNR. Below, for displacement and strain, estimate
    over truth with the regression line, and the Bland–Altman plot: difference over mean, with the
    bias and the 95 % limits of agreement. Axes are common to all columns; points outside them are
    counted in the panel.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("a picture", "plot") from None
    labels = [column.label for column in shown.columns]
    output = OutputFile(path)
    try:
        height = _PANEL_INCH * 7.4
        figure = Figure(figsize=(_PANEL_INCH * (len(labels) + 1), height), layout="constrained")
        FigureCanvasAgg(figure)
        strips: Any = figure.subfigures(3, 1, height_ratios=(1.7, 1.4, 4.3))
        top, middle, bottom = strips
        if comparison.example is not None:
            _draw_example(top, comparison.example, labels)
            _draw_trade_off(middle, comparison, shown)
        _draw_agreement(bottom, comparison, labels)
        figure.savefig(output.temporary, format="png", dpi=_PIXELS_PER_INCH, facecolor="white")
    except OSError as error:
        output.discard()
        raise output.failure(error) from error
    except BaseException:
        output.discard()
        raise
    output.commit()


def _extent_mm(grid: Grid) -> tuple[float, float, float, float]:
    half = 0.5e3 * grid.n_lines * grid.line_pitch_m
    top = 1e3 * grid.start_depth_m
    return -half, half, top + 1e3 * grid.n_depths * grid.axial_step_m, top


def _draw_example(figure: SubFigure, example: Example, labels: list[str]) -> None:
    names = [TRUTH, *labels]
    panels = figure.subplots(1, len(names), sharex=True, sharey=True)
    low, high = (float(v) for v in np.percentile(example.strain_percent[TRUTH], (0.5, 99.5)))
    margin = max(0.1 * (high - low), 1e-3)
    pressed = low + high < 0.0
    image: Any = None
    for panel, name in zip(panels, names, strict=True):
        image = panel.imshow(
            example.strain_percent[name].T,
            cmap="viridis_r" if pressed else "viridis",
            vmin=low - margin,
            vmax=high + margin,
            extent=_extent_mm(example.grids[name]),
            aspect="equal",
            interpolation="nearest",
        )
        panel.set_title(name)
        panel.set_xlabel("lateral, mm")
    panels[0].set_ylabel("depth, mm")
    figure.colorbar(image, ax=panels, label="axial strain, %", extend="both", pad=0.01)
    conditions = example.pair.conditions
    figure.suptitle(
        f"{example.pair.kind} tissue {example.pair.seed}: "
        f"{conditions['applied_strain_percent']:.2f} % applied, "
        f"echo SNR {conditions['echo_snr_db']:.0f} dB, {conditions['center_freq_mhz']:.2f} MHz"
    )


def _draw_trade_off(figure: SubFigure, comparison: Comparison, shown: Shown) -> None:
    profile, trade, snr = figure.subplots(1, 3)
    assert comparison.example is not None
    colours = {column.label: f"C{index}" for index, column in enumerate(shown.columns)}
    for label in (*colours, TRUTH):
        position_mm, strain = comparison.example.edges[label]
        look = {"color": colours.get(label, "black"), "linewidth": 1.2}
        profile.plot(position_mm, strain, label=label, **look)
    profile.set_xlabel("from the inclusion's boundary along the axis, mm (inside positive)")
    profile.set_ylabel("axial strain, %")
    profile.set_title("edge of the example's inclusion", fontsize="medium")
    profile.legend(fontsize="x-small", frameon=False)

    for column in shown.columns:
        if not column.own:
            continue
        variants = [c for c in comparison.columns if c.engine == column.engine]
        curve = [
            (
                spread(comparison.select("published", c), "edge_width_mm").median,
                spread(comparison.select("published", c), "strain_rmse_percent").median,
            )
            for c in sorted(variants, key=lambda c: c.strain_window or 0)
        ]
        colour = colours[column.label]
        trade.plot(*zip(*curve, strict=True), "o-", color=colour, markersize=3, linewidth=0.9)
        own = comparison.select("published", column)
        at = spread(own, "edge_width_mm").median, spread(own, "strain_rmse_percent").median
        trade.plot(*at, "o", color=colour, markersize=7, label=column.label)
        pairs = [s for s in comparison.scores if s.column == column]
        snr.plot(
            [s.conditions["echo_snr_db"] for s in pairs],
            [s.values["displacement_rmse_samples"] for s in pairs],
            "o",
            color=colour,
            markersize=3,
            alpha=0.7,
            label=column.label,
        )
    trade.set_xlabel("20–80 % edge width, mm")
    trade.set_ylabel("strain RMSE, % strain")
    trade.set_yscale("log")
    trade.set_title("noise against resolution, published tissues", fontsize="medium")
    snr.set_xlabel("echo SNR, dB")
    snr.set_ylabel("displacement RMSE, samples")
    snr.set_yscale("log")
    snr.set_title("every pair", fontsize="medium")
    for panel in (trade, snr):
        panel.legend(fontsize="x-small", frameon=False)
        panel.grid(alpha=0.3)


def _draw_agreement(figure: SubFigure, comparison: Comparison, labels: list[str]) -> None:
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
