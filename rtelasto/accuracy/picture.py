"""The comparison as one picture: the strain of an example side by side, and agreement with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtelasto.accuracy.agreement_plots import draw_agreement
from rtelasto.accuracy.compare import TRUTH, Column, Comparison, Example
from rtelasto.accuracy.summary import Shown, spread
from rtelasto.sinks.output_check import load_matplotlib, save_figure
from rtelasto.sinks.picture import extent_mm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_PANEL_INCH = 2.3
_PIXELS_PER_INCH = 130


def save_comparison(path: Path, comparison: Comparison, shown: Shown) -> None:
    """Draw the comparison and save it.

    At the top are the example's true strain and that of every column on the colour scale of the truth. Then
    the example's strain across the inclusion's boundary, strain RMSE against edge width (medians
    over the published-style pairs; a line joins the strain windows of a classical engine), and the
    displacement RMSE of every pair against its echo SNR. Below, for displacement and strain, estimate
    over truth with the regression line, and the Bland–Altman plot: difference over mean, with the
    bias and the 95 % limits of agreement. All columns share the axes; points outside them are counted in the
    panel.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If the file cannot be written or its type is not that of a picture.
    """
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = [column.label for column in shown.columns]
    height = _PANEL_INCH * 7.4
    figure = Figure(figsize=(_PANEL_INCH * (len(labels) + 1), height), layout="constrained")
    FigureCanvasAgg(figure)
    strips: Any = figure.subfigures(3, 1, height_ratios=(1.7, 1.4, 4.3))
    top, middle, bottom = strips
    if comparison.example is not None:
        _draw_example(top, comparison.example, labels)
        _draw_trade_off(middle, comparison, shown)
    draw_agreement(bottom, comparison, labels)
    save_figure(figure, path, per_inch=_PIXELS_PER_INCH)


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
            extent=extent_mm(example.grids[name]),
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
    """Draw the edge profile and noise against resolution (for published-style tissues), and the RMSE."""
    assert comparison.example is not None
    published = comparison.example.pair.kind == "published"
    panels = figure.subplots(1, 3 if published else 1, squeeze=False)[0]
    colours = {column.label: f"C{index}" for index, column in enumerate(shown.columns)}
    own = [column for column in shown.columns if column.own]
    if published:
        _draw_edges(panels[0], comparison.example, colours)
        for column in own:
            _draw_windows(panels[1], comparison, column, colours[column.label])
        panels[1].set_xlabel("20–80 % edge width, mm")
        panels[1].set_ylabel("strain RMSE, % strain")
        panels[1].set_title("noise against resolution, published tissues", fontsize="medium")
    for column in own:
        pairs = [s for s in comparison.scores if s.column == column]
        panels[-1].plot(
            [s.conditions["echo_snr_db"] for s in pairs],
            [s.values["displacement_rmse_samples"] for s in pairs],
            "o",
            color=colours[column.label],
            markersize=3,
            alpha=0.7,
            label=column.label,
        )
    panels[-1].set_xlabel("echo SNR, dB")
    panels[-1].set_ylabel("displacement RMSE, samples")
    panels[-1].set_title("every pair", fontsize="medium")
    for panel in panels[-2:] if published else panels:
        panel.set_yscale("log")
        panel.legend(fontsize="x-small", frameon=False)
        panel.grid(alpha=0.3)


def _draw_edges(panel: Axes, example: Example, colours: dict[str, str]) -> None:
    for label, colour in {**colours, TRUTH: "black"}.items():
        panel.plot(*example.edges[label], label=label, color=colour, linewidth=1.2)
    panel.set_xlabel("axially from the boundary inwards, mm")
    panel.set_ylabel("axial strain, %")
    panel.set_title("edge of the example's inclusion", fontsize="medium")
    panel.legend(fontsize="x-small", frameon=False)


def _draw_windows(panel: Axes, comparison: Comparison, column: Column, colour: str) -> None:
    """Draw the medians of an engine, its default window large, joined to those of other windows."""

    def at(variant: Column) -> tuple[float, float]:
        scores = comparison.select("published", variant)
        return spread(scores, "edge_width_mm").median, spread(scores, "strain_rmse_percent").median

    variants = [c for c in comparison.columns if c.engine == column.engine]
    curve = np.array([at(c) for c in sorted(variants, key=lambda c: c.strain_window or 0)])
    panel.plot(curve[:, 0], curve[:, 1], "o-", color=colour, markersize=3, linewidth=0.9)
    panel.plot(*at(column), "o", color=colour, markersize=7, label=column.label)
