"""Rows of the gates on simulated tissue: accuracy, noise, lateral motion and calibration."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from rtelasto.accuracy.compare import Competitor, Score, compare
from rtelasto.accuracy.gates.images import Estimator
from rtelasto.accuracy.gates.lateral_correlation import LateralCorrelation
from rtelasto.accuracy.gates.row import GateOptions, Row
from rtelasto.accuracy.tissues import FIRST_SEED, HeldOutPair, held_out_pairs
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair

_NOISY_SEED = FIRST_SEED + 800_000


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


def published(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    limits = {
        "strain_rmse_percent": "≤ 0.010",
        "displacement_rmse_samples": "≤ 0.013",
        "edge_width_mm": "≤ 0.68",
    }
    yield from _compared(engines, held_out_pairs("published", options.pairs), "published", limits)


def random(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    limits = {
        "strain_rmse_percent": "≤ 0.030",
        "displacement_rmse_samples": "≤ 0.066",
        "failed": "0",
    }
    yield from _compared(engines, held_out_pairs("random", 4 * options.pairs), "random", limits)


def channel(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
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
        yield HeldOutPair("published", seed, pair.frames, pair)


def noisy(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    limits = {"edge_width_mm": "≤ 2.2", "strain_rmse_percent": "≤ 1.05 × the first"}
    pairs = noisy_pairs(2 * options.pairs)
    yield from _compared(engines, pairs, "noisy or decorrelated", limits)


def _residual_pairs(count: int) -> Iterator[SimulatedPair]:
    for seed in range(FIRST_SEED + 850_000, FIRST_SEED + 850_000 + count):
        yield simulate_pair(seed, "published" if seed % 2 else "random", truth_stride=16)


def lateral(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    """Score the lateral motion of networks relative to plain two-dimensional correlation after their warp."""
    estimators = {name: Estimator(open_engine(name)) for name in engines}
    baseline = LateralCorrelation()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for pair in _residual_pairs(2 * options.pairs):
        for name, estimator in estimators.items():
            estimate = estimator(pair.frames)
            if estimate.lateral_displacement_m is None or estimate.lateral_strain is None:
                continue
            truth = pair.field.truth(estimate.grid)
            plain, plain_strain = baseline(pair.frames, estimate)
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


def calibration(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    estimators = {name: Estimator(open_engine(name)) for name in engines}
    shares: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
    for pair in _residual_pairs(2 * options.pairs):
        for name, estimator in estimators.items():
            estimate = estimator(pair.frames)
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
