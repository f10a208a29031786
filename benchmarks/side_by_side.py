"""Two simulated tissues and real recordings by every engine, as one picture.

    python -m benchmarks.side_by_side docs/engines-side-by-side.png RECORDING...

A row is a pair: held-out published-style tissues, with their true strain, and of each recording the pair of
neighbouring frames with the largest strain that agrees well, with its B-mode. All pictures of a row have the
same colours; nothing is masked or averaged.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.accuracy.tissues import FIRST_SEED, held_out_pairs
from rtelasto.cpu.bmode import bmode_on_grid
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair, Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.engines import open_engine
from rtelasto.sinks.output_check import load_matplotlib, save_figure
from rtelasto.sinks.picture import extent_mm
from rtelasto.sinks.shown_strain import direction
from rtelasto.sources import open_recording

ENGINES = ("wu2018", "cnn", "ncc", "am")
# The engine that chooses the pair, and the colours, of a recording.
CHOOSING = ENGINES.index("cnn")
TISSUES = 2
# A recording's pair must agree at least as well as this.
LEAST_QUALITY = 0.9
_PANEL_INCH, _PIXELS_PER_INCH = 2.4, 85

Estimate = Callable[[FramePair], StrainFrame]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A pair, what is known of it beforehand, and the strain by each engine."""

    title: str
    known: NDArray[np.generic]
    strains: Sequence[StrainFrame]

    @property
    def simulated(self) -> bool:
        """Whether the true strain is known; otherwise it is the B-mode, uint8."""
        return self.known.dtype != np.uint8


def tissue_rows(engines: Sequence[Estimate]) -> Iterator[Row]:
    """Yield the rows of simulated tissues."""
    for pair in held_out_pairs("published", TISSUES, first_seed=FIRST_SEED):
        strains = [estimate(pair.frames) for estimate in engines]
        truth = pair.simulated.field.truth(strains[0].grid).axial_strain
        snr_db = pair.conditions["echo_snr_db"]
        yield Row(f"tissue {pair.seed}, {snr_db:.0f} dB", truth, strains)


def recording_row(path: Path, engines: Sequence[Estimate]) -> Row:
    """Return the row of a recording: of its pairs that agree well, the one with the largest strain."""
    with open_recording(path) as recording:
        pairs = [FramePair(pre, post) for pre, post in pairwise(recording)]
    found = [engines[CHOOSING](pair) for pair in pairs]
    good = [k for k, strain in enumerate(found) if strain.quality >= LEAST_QUALITY]
    if not good:
        raise SystemExit(f"{path}: no two neighbouring frames agree to {LEAST_QUALITY}")
    chosen = max(good, key=lambda k: abs(found[k].applied_strain))
    strains = [estimate(pairs[chosen]) for estimate in engines]
    pre = pairs[chosen].pre
    name = f"{path.stem}, frames {strains[0].frame_ids[0]}, {strains[0].frame_ids[1]}"
    return Row(name, bmode_on_grid(pre, strains[0].grid), strains)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows, in the engines' order, and save the picture."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (_PANEL_INCH * (len(ENGINES) + 1), 1.15 * _PANEL_INCH * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(len(rows), len(ENGINES) + 1, squeeze=False)
    for of_row, row in zip(panels, rows, strict=True):
        _draw_row(figure, of_row, row)
    save_figure(figure, path, per_inch=_PIXELS_PER_INCH)


def _draw_row(figure: Any, panels: Any, row: Row) -> None:
    chosen = row.strains[CHOOSING]
    sign = 100.0 * direction(chosen.applied_strain)
    # The true strain has no outliers.
    shown, outliers = (row.known, 0.5) if row.simulated else (chosen.axial_strain, 3.0)
    low, high = np.percentile(sign * shown, (outliers, 100.0 - outliers))
    colours = {"cmap": "viridis", "vmin": low, "vmax": high}
    if row.simulated:
        _show(panels[0], sign * row.known, chosen.grid, "truth", colours)
    else:
        _show(panels[0], row.known, chosen.grid, "B-mode", {"cmap": "gray"})
    panels[0].set_ylabel(f"{row.title}\ndepth, mm", fontsize="small")
    image: Any = None
    for panel, name, strain in zip(panels[1:], ENGINES, row.strains, strict=True):
        image = _show(panel, sign * strain.axial_strain, strain.grid, name, colours)
    figure.colorbar(image, ax=list(panels), label="strain, %", extend="both", pad=0.01)


def _show(
    panel: Any, image: NDArray[np.generic], grid: Grid, title: str, colours: dict[str, Any]
) -> Any:
    panel.set_title(title, fontsize="small")
    panel.tick_params(labelsize="x-small")
    return panel.imshow(
        image.T, extent=extent_mm(grid), aspect="auto", interpolation="nearest", **colours
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Pairs by every engine, as one picture.")
    parser.add_argument("out", type=Path, help="the picture")
    parser.add_argument("recordings", type=Path, nargs="*")
    options = parser.parse_args()
    engines = [CpuEstimator(open_engine(name)) for name in ENGINES]
    rows = list(tissue_rows(engines))
    rows += [recording_row(path, engines) for path in options.recordings]
    draw(rows, options.out)


if __name__ == "__main__":
    main()
