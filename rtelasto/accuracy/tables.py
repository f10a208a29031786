"""A comparison as tables and as JSON."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from rtelasto.accuracy.compare import FAILURE_SAMPLES, TRUTH, Column, Comparison, Score
from rtelasto.accuracy.metrics import SAMPLE_M, agreement
from rtelasto.accuracy.recordings import RecordingScore
from rtelasto.accuracy.summary import Shown, Spread, ratios, spread
from rtelasto.accuracy.tissues import KINDS, Kind

METRICS = {
    "displacement_rmse_samples": ("u RMSE, samples", 3),
    "displacement_snr_db": ("SNRd, dB", 1),
    "strain_rmse_percent": ("strain RMSE, %", 3),
    "strain_snr_db": ("SNRe, dB", 1),
    "strain_cnr_db": ("CNRe, dB", 1),
    "inclusion_bias_percent": ("bias in inclusion, %", 1),
    "edge_width_mm": ("20–80 % edge, mm", 2),
    "correlation": ("post-warp correlation", 3),
}
_BINNED = ("displacement_rmse_samples", "strain_rmse_percent", "correlation")
BINS: dict[str, tuple[str, tuple[float, ...]]] = {
    "echo_snr_db": ("echo SNR, dB", (10.0, 20.0, 30.0, 45.0)),
    "applied_strain_percent": ("applied strain, %", (0.0, 0.3, 1.0, 2.0, 5.5)),
    "center_freq_mhz": ("centre frequency, MHz", (3.0, 5.0, 7.0, 10.0)),
}


def _cell(figure: Spread, digits: int, quartiles: bool) -> Text:
    if figure.count == 0:
        return Text("–")
    text = Text(f"{figure.median:.{digits}f}".replace("-", "−"))
    if quartiles and figure.count > 1:
        spread_text = f"\n{figure.lower:.{digits}f}…{figure.upper:.{digits}f}"
        text.append(spread_text.replace("-", "−"), style="dim")
    return text


def summary_table(
    comparison: Comparison, shown: Shown, kind: Kind, *, quartiles: bool = True
) -> Table:
    """Return medians over the pairs, quartiles below; figures of the truth first, if it has any."""
    truth = comparison.select(kind, Column(TRUTH))
    title = f"{kind} tissues, {len(truth)} pairs: median" + (", quartiles" if quartiles else "")
    with_truth = kind != "random"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    table.add_column("")
    if with_truth:
        table.add_column(TRUTH, justify="right")
    for column in shown.columns:
        table.add_column(column.label, justify="right")
    for metric, (label, digits) in METRICS.items():
        figures = [spread(comparison.select(kind, c), metric) for c in shown.columns]
        if not any(figure.count for figure in figures):
            continue
        row = [_cell(figure, digits, quartiles) for figure in figures]
        if with_truth:
            ceiling = metric in ("strain_snr_db", "strain_cnr_db", "edge_width_mm")
            row.insert(0, _cell(spread(truth, metric), digits, quartiles) if ceiling else Text())
        table.add_row(label, *row)
    failed = [str(sum(s.failed for s in comparison.select(kind, c))) for c in shown.columns]
    lead = [f"failed (> {FAILURE_SAMPLES:g} sample)", *([""] if with_truth else [])]
    table.add_row(*lead, *failed)
    return table


def _in_bin(condition: str, low: float, high: float) -> Callable[[Score], bool]:
    return lambda score: low <= score.conditions[condition] < high


def binned_table(comparison: Comparison, shown: Shown, kind: Kind = "random") -> Table:
    """Return median RMSEs and correlation by echo SNR, applied strain and centre frequency."""
    truth = comparison.select(kind, Column(TRUTH))
    table = Table(
        title=f"{kind} tissues: displacement RMSE in samples, strain RMSE in % strain, correlation",
        title_justify="left",
        box=None,
        padding=(0, 1),
    )
    table.add_column("")
    table.add_column("pairs", justify="right")
    for column in shown.columns:
        table.add_column(column.label, justify="right")
    for condition, (label, edges) in BINS.items():
        for low, high in itertools.pairwise(edges):
            inside = _in_bin(condition, low, high)
            count = sum(map(inside, truth))
            if not count:
                continue
            cells = []
            for column in shown.columns:
                scores = [s for s in comparison.select(kind, column) if inside(s)]
                medians = [
                    f"{spread(scores, metric).median:.{METRICS[metric][1]}f}" for metric in _BINNED
                ]
                cells.append("\n".join(medians))
            table.add_row(f"{label} {low:g}–{high:g}", str(count), *cells)
    return table


def as_json(
    comparison: Comparison, shown: Shown, recordings: Sequence[RecordingScore] = ()
) -> dict[str, Any]:
    """Return all results: summaries of all columns, including strain windows, and every pair."""
    kinds: dict[str, Any] = {}
    for kind in KINDS:
        truth = comparison.select(kind, Column(TRUTH))
        if not truth:
            continue
        kinds[kind] = {
            "pairs": len(truth),
            "reference_over_best_rival": ratios(comparison, shown, kind),
            "columns": {
                column.label: {
                    "failed": sum(s.failed for s in scores),
                    **{metric: dataclasses.asdict(spread(scores, metric)) for metric in METRICS},
                }
                for column in comparison.columns
                if (scores := comparison.select(kind, column))
            },
            TRUTH: {
                metric: dataclasses.asdict(spread(truth, metric))
                for metric in ("strain_snr_db", "strain_cnr_db", "edge_width_mm")
            },
        }
    agreements = {
        label: {
            "displacement_samples": dataclasses.asdict(
                agreement(points.pooled("displacement"), points.pooled("true_displacement"))
            ),
            "strain_percent": dataclasses.asdict(
                agreement(points.pooled("strain"), points.pooled("true_strain"))
            ),
        }
        for label, points in comparison.points.items()
    }
    document = {
        "sample_m": SAMPLE_M,
        "failed_above_samples": FAILURE_SAMPLES,
        "reference": shown.reference,
        "matched_edge_columns": [column.label for column in shown.matched],
        "rival_columns": [column.label for column in shown.rivals],
        "summary": kinds,
        "agreement": agreements,
        "pairs": [
            {
                "kind": s.kind,
                "seed": s.seed,
                "column": s.column.label,
                "engine": s.column.engine,
                "strain_window_samples": s.column.strain_window,
                **s.conditions,
                **s.values,
            }
            for s in comparison.scores
        ],
        "recordings": [
            {
                "recording": s.recording,
                "pair": s.pair,
                "column": s.column.label,
                "strain_window_samples": s.column.strain_window,
                **s.values,
            }
            for s in recordings
        ],
    }
    return {key: _finite(value) for key, value in document.items()}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
