"""Compares the picture of a hand-held palpation at a subscriber of a real run with the truth.

    python -m benchmarks.live_picture [--peaks 0.003 0.01 0.02] [--rates 20 50 100] [--snrs 15 25 35]
        [--seconds 6] [--engine cnn] [--json picture.json] [--png picture.png] [--out benchmarks/README.md]
        [--short] [-- further arguments of rtelasto run]

A simulated L12-5 palpation (three presses of 1 Hz and a pause of 1 s, in turn, with drift, tremor and slip)
is sent over the wire to ``rtelasto run``; sender, run and subscriber are separate processes. The picture is
compared with the pattern of the tissue, pixel by pixel, relative to its median. The variants are: consecutive
pairs; these with the viewer's average of four frames, as before relative strain existed; adaptive pairs; and
their relative strain, from the same run. The figures start at the end of the first press and include pauses.
A picture counts for the time until the next one. ``--short`` uses small frames and two seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.live_picture.judge import (
    Figures,
    averaged,
    averaged_by_viewer,
    figures,
    single,
)
from benchmarks.live_picture.palpation import SMALL_FORMAT, Palpation
from benchmarks.live_picture.watch import Watched, watch
from benchmarks.measured import when_and_where, write_measured
from rtelasto_engines.simulate.scene import L12_5_FORMAT

_WAYS = {
    "consecutive": ("consecutive", single),
    "consecutive, averaged by the viewer": ("consecutive", averaged_by_viewer),
    "adaptive": ("adaptive", single),
    "adaptive, persistence": ("adaptive", averaged),
}
_STRIP_PICTURES = 8
Row = tuple[float, int, float, str, Figures]


def main() -> None:
    arguments = _parse()
    rows: list[Row] = []
    strips: dict[str, tuple[Palpation, int, dict[str, Watched]]] = {}
    most = max(arguments.rates)
    for peak in arguments.peaks:
        palpation = Palpation(
            peak,
            arguments.seconds,
            frames_per_s=most,
            rf_format=SMALL_FORMAT if arguments.short else L12_5_FORMAT,
        )
        for rate, snr_db in product(arguments.rates, arguments.snrs):
            every = most // rate
            watched = {
                pair: watch(
                    palpation.noisy(snr_db, every),
                    palpation.rf_format,
                    rate,
                    ("--engine", arguments.engine, "--pair", pair, *arguments.options),
                )
                for pair in dict.fromkeys(pair for pair, _ in _WAYS.values())
            }
            for name, (pair, show) in _WAYS.items():
                found = figures(palpation, watched[pair], every, show)
                rows.append((peak, rate, snr_db, name, found))
                print(_row(*rows[-1]), flush=True)
            strips = {
                f"{100 * peak:g} %, {rate} frames/s, {snr_db:g} dB": (palpation, every, watched)
            }
    text = f"{when_and_where()}; engine {arguments.engine}.\n\n{_table(rows)}"
    if arguments.json:
        arguments.json.write_text(json.dumps([_entry(*row) for row in rows], indent=1), "utf-8")
    if arguments.png:
        for title, strip in strips.items():
            _draw(arguments.png, title, *strip)
    if arguments.out:
        write_measured(arguments.out, "live picture", text)
    print(f"\n{text}")


def _parse() -> argparse.Namespace:
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="benchmarks.live_picture", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--peaks", type=float, nargs="+", default=[0.003, 0.01, 0.02])
    parser.add_argument("--rates", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--snrs", type=float, nargs="+", default=[15.0, 25.0, 35.0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args(own)
    if arguments.short:
        arguments.peaks, arguments.rates, arguments.snrs = [0.01], [20], [35.0]
        arguments.seconds = 2.0
    for rate in arguments.rates:
        if rate < 1 or max(arguments.rates) % rate:
            parser.error(f"--rates must divide the largest of them, got {rate}")
    arguments.options = tuple(options)
    return arguments


_HEAD = (
    "| peak | frames/s | echo SNR | shown | error | below 10 % | SNRe | CNRe | edge | age | applied | "
    "shown/s |\n"
    "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def _row(peak: float, rate: int, snr_db: float, name: str, found: Figures) -> str:
    return (
        f"| {100 * peak:g} % | {rate} | {snr_db:g} dB | {name} | {found.error_percent:.1f} % | "
        f"{found.good_percent:.0f} % | {found.snr_db:.1f} dB | {found.cnr_db:.1f} dB | "
        f"{found.edge_mm:.2f} mm | {found.age_ms:.0f} ms | {found.applied_percent:.2f} % | "
        f"{found.shown_per_s:.0f} |"
    )


def _table(rows: list[Row]) -> str:
    return "\n".join([_HEAD, *(_row(*row) for row in rows)])


def _entry(peak: float, rate: int, snr_db: float, name: str, found: Figures) -> dict[str, Any]:
    return {
        "peak_strain": peak,
        "frames_per_s": rate,
        "snr_db": snr_db,
        "shown": name,
        **asdict(found),
    }


def _draw(
    path: Path, title: str, palpation: Palpation, every: int, watched: dict[str, Watched]
) -> None:
    """Draw the pictures of each variant over time, on one colour scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(1.7 * (_STRIP_PICTURES + 1), 2.2 * (len(_WAYS) + 1)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(_WAYS) + 1, _STRIP_PICTURES, squeeze=False)
    last_s = min(watching.time_s[-1] for watching in watched.values())
    grid = next(iter(watched.values())).frames[0].grid
    aspect = grid.axial_step_m / grid.line_pitch_m
    style = {"cmap": "viridis", "norm": LogNorm(0.25, 4.0, clip=True), "aspect": aspect}
    for column, wanted_s in enumerate(np.linspace(0.1, 1.0, _STRIP_PICTURES) * last_s):
        k = 0
        for row, (name, (pair, show)) in enumerate(_WAYS.items(), 1):
            watching = watched[pair]
            at = int(np.searchsorted(watching.time_s, wanted_s).clip(0, len(watching.frames) - 1))
            pictures = list(show(watching.frames[max(0, at - 4) : at + 1]))
            picture = pictures[-1] / np.nanmedian(pictures[-1])
            panels[row, column].imshow(picture.T, **style)
            k = every * watching.frames[at].frame_ids[0]
            if column == 0:
                panels[row, column].set_ylabel(name, fontsize="x-small")
        panels[0, column].imshow(palpation.pattern(k, grid).T, **style)
        panels[0, column].set_title(f"{wanted_s:.1f} s", fontsize="small")
    panels[0, 0].set_ylabel("truth", fontsize="x-small")
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    figure.suptitle(
        f"strain relative to average tissue, 0.25 (dark) to 4: {title}", fontsize="small"
    )
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
