"""The acceptance tests of a network: one table for given engines, in one run.

    python -m benchmarks.gates --engines cnn,new.onnx,ncc,am --pairs 10 --json-file gates.json

Every row is a median over held-out seeds unless it states otherwise; the last column is the target for the
successor of the first engine. The groups of rows are independent: ``--rows`` selects some. Rows that need a
simulator of the extras ``sim`` and ``channel``, or recordings (``--recordings``), are omitted if these are
missing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.gate_images import (
    Estimator,
    disc_contrast,
    edge_band_error,
    inconsistency,
    noise_strain,
    slip_integral,
    transfer,
    turn_bias,
)
from benchmarks.lateral_correlation import LateralCorrelation
from rtelasto.accuracy.compare import Competitor, Score, compare
from rtelasto.accuracy.recordings import score_recording
from rtelasto.accuracy.tissues import FIRST_SEED, HeldOutPair, held_out_pairs
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.pipeline.engines import model_path, open_engine
from rtelasto.sources import open_recording
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair

Row = tuple[str, dict[str, float], str]
"""Title, the figure of every engine, and the target."""
Rows = Callable[[Sequence[str], argparse.Namespace], Iterator[Row]]

_NOISY_SEED = FIRST_SEED + 800_000


def frames_of(pair: SimulatedPair) -> FramePair:
    return FramePair(
        RfFrame(pair.pre, pair.format, FrameStamp(0)),
        RfFrame(pair.post, pair.format, FrameStamp(1)),
    )


def _median(scores: Sequence[Score], name: str) -> float:
    values = [s.values.get(name, np.nan) for s in scores]
    known = [v for v in values if np.isfinite(v)]
    return statistics.median(known) if known else float("nan")


def _compared(
    engines: Sequence[str], pairs: Iterator[HeldOutPair], title: str, limits: dict[str, str]
) -> Iterator[Row]:
    competitors = [Competitor(open_engine(name), name) for name in engines]
    found = compare(competitors, pairs)
    by_engine = {
        name: [s for s in found.scores if s.column.own and s.column.engine == name]
        for name in engines
    }
    labels = {
        "strain_rmse_percent": "strain RMSE, %",
        "displacement_rmse_samples": "displacement RMSE, samples",
        "edge_width_mm": "edge, mm",
    }
    for figure, limit in limits.items():
        if figure == "failed":
            values = {n: float(sum(s.failed for s in found)) for n, found in by_engine.items()}
            yield f"{title}: failed pairs", values, limit
        else:
            values = {n: _median(scores, figure) for n, scores in by_engine.items()}
            yield f"{title}: {labels[figure]}", values, limit


def published(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    limits = {
        "strain_rmse_percent": "≤ 0.010",
        "displacement_rmse_samples": "≤ 0.013",
        "edge_width_mm": "≤ 0.68",
    }
    yield from _compared(engines, held_out_pairs("published", options.pairs), "published", limits)


def random(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    limits = {
        "strain_rmse_percent": "≤ 0.030",
        "displacement_rmse_samples": "≤ 0.066",
        "failed": "0",
    }
    yield from _compared(engines, held_out_pairs("random", 4 * options.pairs), "random", limits)


def channel(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    limits = {
        "strain_rmse_percent": "≤ 0.030",
        "displacement_rmse_samples": "≤ 0.051",
        "edge_width_mm": "≤ 0.9",
    }
    yield from _compared(
        engines, held_out_pairs("channel", options.pairs), "second simulator", limits
    )


def noisy_pairs(count: int) -> Iterator[HeldOutPair]:
    """Yield published-style tissue at 0.3 to 1 %, in turn with 15–20 dB and 5–10 % replaced scatterers."""
    for seed in range(_NOISY_SEED, _NOISY_SEED + count):
        rng = np.random.default_rng(seed)
        replaced = seed % 2 == 1
        pair = simulate_pair(
            rng,
            "published",
            applied_strain=-float(np.exp(rng.uniform(np.log(0.003), np.log(0.01)))),
            echo_snr_db=40.0 if replaced else float(rng.uniform(15.0, 20.0)),
            replaced_share=float(rng.uniform(0.05, 0.10)) if replaced else 0.0,
            truth_stride=16,
        )
        yield HeldOutPair("published", seed, frames_of(pair), pair)


def noisy(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    limits = {"edge_width_mm": "≤ 2.2", "strain_rmse_percent": "≤ 1.05 × the first"}
    pairs = noisy_pairs(2 * options.pairs)
    yield from _compared(engines, pairs, "noisy or decorrelated", limits)


def _residual_pairs(count: int) -> Iterator[SimulatedPair]:
    for seed in range(FIRST_SEED + 850_000, FIRST_SEED + 850_000 + count):
        yield simulate_pair(seed, "published" if seed % 2 else "random", truth_stride=16)


def lateral(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    """Score the lateral motion of networks relative to plain two-dimensional correlation after their warp."""
    estimators = {name: Estimator(open_engine(name)) for name in engines}
    baseline = LateralCorrelation()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for pair in _residual_pairs(2 * options.pairs):
        for name, estimator in estimators.items():
            estimate = estimator(frames_of(pair))
            if estimate.lateral_displacement_m is None or estimate.lateral_strain is None:
                continue
            truth = pair.field.truth(estimate.grid)
            plain, plain_strain = baseline(frames_of(pair), estimate)
            inside = np.zeros(estimate.grid.shape, bool)
            inside[8:-8, 24:-24] = True
            true_strain = np.gradient(
                truth.lateral_displacement_m, estimate.grid.line_pitch_m, axis=0
            )
            errors = [
                np.sqrt(np.mean(np.square(image - wanted)[inside]))
                for image, wanted in (
                    (estimate.lateral_displacement_m, truth.lateral_displacement_m),
                    (plain, truth.lateral_displacement_m),
                    (estimate.lateral_strain, true_strain),
                    (plain_strain, true_strain),
                )
            ]
            found[name].append((errors[0] / errors[1], errors[2] / errors[3]))
    for k, label, limit in ((0, "displacement", "≤ 0.6"), (1, "strain", "≤ 0.5")):
        values = {
            name: statistics.median(r[k] for r in ratios) if ratios else float("nan")
            for name, ratios in found.items()
        }
        yield f"lateral {label} RMSE over plain 2-D correlation's", values, limit


def calibration(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    estimators = {name: Estimator(open_engine(name)) for name in engines}
    shares: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
    for pair in _residual_pairs(2 * options.pairs):
        for name, estimator in estimators.items():
            estimate = estimator(frames_of(pair))
            if estimate.axial_strain_std is None:
                continue
            truth = pair.field.truth(estimate.grid)
            error = np.abs(estimate.axial_strain - truth.axial_strain)[8:-8, 24:-24]
            std = estimate.axial_strain_std[8:-8, 24:-24]
            kept = std <= np.quantile(std, 0.8)
            cut = 1.0 - np.sqrt(np.mean(error[kept] ** 2) / np.mean(error**2))
            shares[name].append(
                (
                    float(100.0 * np.mean(error < std)),
                    float(100.0 * np.mean(error < 2.0 * std)),
                    float(100.0 * cut),
                )
            )
    labels = (
        ("pixels within one σ, %", "68 ± 5"),
        ("pixels within two σ, %", "95 ± 3"),
        ("RMSE cut without the most uncertain fifth, %", "≥ 25"),
    )
    for k, (label, limit) in enumerate(labels):
        values = {
            name: statistics.median(s[k] for s in found) if found else float("nan")
            for name, found in shares.items()
        }
        yield f"calibration: {label}", values, limit


def engine_time(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    """Return the least of several alternating runs, so that other load affects all engines; two threads."""
    frames = np.random.default_rng(0).standard_normal((2, 128, 2608)).astype(np.float32)
    networks = {n: Estimator(open_engine(n, threads=2)) for n in engines if model_path(n)}
    least = dict.fromkeys(networks, float("inf"))
    for _ in range(options.runs):
        for name, estimator in networks.items():
            started = time.perf_counter()
            estimator.run_engine(frames[0], frames[1])
            least[name] = min(least[name], time.perf_counter() - started)
    if not least:
        return
    first = next(iter(least.values()))
    yield "engine time, ms", {name: 1e3 * s for name, s in least.items()}, ""
    yield "engine time over the first network's", {n: s / first for n, s in least.items()}, "≤ 0.55"
    sizes = {name: (model_path(name) or Path()).stat().st_size / 1e6 for name in least}
    yield "ONNX file, MB", sizes, "< 2"


def forearm(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    competitors = [Competitor(open_engine(name), name) for name in engines]
    for path in options.recordings:
        scores = [s for s in score_recording(path, competitors) if s.column.own]
        by_pair: dict[int, dict[str, float]] = {}
        for s in scores:
            by_pair.setdefault(s.pair, {})[s.column.engine] = s.values["correlation"]
        values = {}
        for name in engines:
            leads = [
                figures[name] - max(v for n, v in figures.items() if n in ("ncc", "am"))
                for figures in by_pair.values()
                if {"ncc", "am"} & set(figures)
            ]
            values[name] = min(leads, default=float("nan"))
        yield f"{path.name}: least lead of post-warp correlation over classics", values, "≥ 0"
        found = {name: [] for name in engines}  # type: dict[str, list[float]]
        with open_recording(path) as recording:
            frames = list(recording)
        for name in engines:
            estimator = Estimator(open_engine(name))
            for pre, post in itertools.pairwise(frames):
                found[name].append(inconsistency(estimator(FramePair(pre, post))))
        yield (
            f"{path.name}: |∫ strain over 3 mm − Δu|, 95 % quantile, samples",
            {name: statistics.median(v) for name, v in found.items()},
            "≤ ncc's",
        )


def _each(engines: Sequence[str], figure: Callable[[Estimator], float]) -> dict[str, float]:
    return {name: figure(Estimator(open_engine(name))) for name in engines}


def layers(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    for period_mm, limit in ((3, ""), (4, "≥ ncc's"), (6, "0.9–1.1"), (8, "0.9–1.1")):
        for echoes in ("focused", "plane", *(("real",) if options.recordings else ())):
            values = _each(
                engines,
                lambda e, p=period_mm, kind=echoes: transfer(  # type: ignore[misc]
                    e, 1e-3 * p, kind, recordings=options.recordings
                ),
            )
            yield f"transfer of a period of {period_mm} mm, {echoes} echoes", values, limit


def slip(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    for jump, limit in ((2, ""), (5, "> 0.5"), (8, "> 0.5")):
        for echoes in ("focused", "plane"):
            values = _each(engines, lambda e, j=jump, k=echoes: slip_integral(e, j, k))  # type: ignore[misc]
            yield f"slip of {jump} samples, {echoes} echoes: strain over 3 mm, of J", values, limit


def small(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    values = _each(engines, lambda e: disc_contrast(e, stiffness_ratio=4.0, snr_db=15.0))
    yield "stiff disc of 1.5 mm at −0.3 %, 15 dB: contrast recovered", values, "≥ 0.6"
    values = _each(engines, lambda e: disc_contrast(e, stiffness_ratio=0.35, snr_db=30.0))
    yield "soft disc of 1.5 mm at −0.3 %, 30 dB: contrast recovered", values, "≤ 1.05"


def faults(engines: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    for title, figure, limit in (
        ("pure noise: strain sd, %", noise_strain, "≤ 0.05"),
        ("1–3 mm inside where tissue left: strain RMSE, %", edge_band_error, "≤ 0.03"),
    ):
        found = {name: figure(Estimator(open_engine(name))) for name in engines}
        yield title, {name: 100.0 * value for name, (value, _) in found.items()}, limit
        shown = {name: 100.0 * share for name, (_, share) in found.items()}
        yield f"{title.split(':')[0]}: pixels shown, %", shown, "or 0"
    values = _each(engines, lambda e: 100.0 * abs(turn_bias(e, np.deg2rad(1.0))))
    yield "probe turned by 1°: bias of the strain, %", values, "≤ 0.002"


ROWS: dict[str, Rows] = {
    "time": engine_time,
    "layers": layers,
    "slip": slip,
    "small": small,
    "faults": faults,
    "forearm": forearm,
    "published": published,
    "calibration": calibration,
    "lateral": lateral,
    "noisy": noisy,
    "random": random,
    "channel": channel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engines", default="cnn,ncc,am")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--pairs", type=int, default=10, help="tissues of the published kind")
    parser.add_argument("--runs", type=int, default=20, help="runs of the timing")
    parser.add_argument("--recordings", type=Path, action="append", default=[])
    parser.add_argument("--json-file", type=Path)
    options = parser.parse_args()
    engines = options.engines.split(",")
    table = Table("", *(Path(name).stem for name in engines), "to reach", box=None)
    rows: list[Row] = []
    console = Console(width=160)
    for name in options.rows.split(","):
        try:
            for row in ROWS[name](engines, options):
                rows.append(row)
                title, values, limit = row
                cells = [f"{values.get(n, float('nan')):.3g}" for n in engines]
                table.add_row(title, *cells, limit)
                console.print(f"  {title}: {'  '.join(cells)}", highlight=False)
        except RtelastoError as error:
            console.print(f" {name}: skipped ({error})")
    console.print(table)
    if options.json_file:
        document = [
            {"row": title, "values": {n: float(v) for n, v in values.items()}, "to_reach": limit}
            for title, values, limit in rows
        ]
        options.json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
