"""Rows of the gates on known fields, frames of noise and recordings, and the time of the networks."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rtelasto.accuracy.compare import Competitor
from rtelasto.accuracy.gates.images import (
    Estimator,
    disc_contrast,
    edge_band_error,
    inconsistency,
    noise_strain,
    slip_integral,
    transfer,
    turn_bias,
)
from rtelasto.accuracy.gates.row import GateOptions, Row
from rtelasto.accuracy.recordings import score_recording
from rtelasto.frames.rf import FramePair
from rtelasto.pipeline.engines import model_path, open_engine
from rtelasto.sources import open_recording

_TIMED_RUNS = 20


def engine_time(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    """Return the least of several alternating runs, so that other load affects all engines; two threads."""
    frames = np.random.default_rng(0).standard_normal((2, 128, 2608)).astype(np.float32)
    networks = {n: Estimator(open_engine(n, threads=2)) for n in engines if model_path(n)}
    least = dict.fromkeys(networks, float("inf"))
    for _ in range(_TIMED_RUNS):
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


def forearm(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
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


def layers(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    for period_mm, limit in ((3, ""), (4, "≥ ncc's"), (6, "0.9–1.1"), (8, "0.9–1.1")):
        for echoes in ("focused", "plane", *(("real",) if options.recordings else ())):
            values = _each(
                engines,
                lambda e, p=period_mm, kind=echoes: transfer(  # type: ignore[misc]
                    e, 1e-3 * p, kind, recordings=options.recordings
                ),
            )
            yield f"transfer of a period of {period_mm} mm, {echoes} echoes", values, limit


def slip(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    for jump, limit in ((2, ""), (5, "> 0.5"), (8, "> 0.5")):
        for echoes in ("focused", "plane"):
            values = _each(engines, lambda e, j=jump, k=echoes: slip_integral(e, j, k))  # type: ignore[misc]
            yield f"slip of {jump} samples, {echoes} echoes: strain over 3 mm, of J", values, limit


def small(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
    values = _each(engines, lambda e: disc_contrast(e, stiffness_ratio=4.0, snr_db=15.0))
    yield "stiff disc of 1.5 mm at −0.3 %, 15 dB: contrast recovered", values, "≥ 0.6"
    values = _each(engines, lambda e: disc_contrast(e, stiffness_ratio=0.35, snr_db=30.0))
    yield "soft disc of 1.5 mm at −0.3 %, 30 dB: contrast recovered", values, "≤ 1.05"


def faults(engines: Sequence[str], options: GateOptions) -> Iterator[Row]:
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
