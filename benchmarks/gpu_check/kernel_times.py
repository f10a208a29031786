"""The time of every kernel alone, on a pair of the published size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.gpu_check.frames import PUBLISHED, pairs
from benchmarks.gpu_check.parity import run_pair, without_network
from benchmarks.gpu_check.report import Bound
from benchmarks.gpu_check.timing import device_time_ms, restored_time_ms
from rtelasto.cpu.averaging.measurement import UNIT_VARIANCE, measure, n_nodes
from rtelasto.cpu.pattern_average import TissuePosition
from rtelasto.frames.strain import StrainFrame
from rtelasto.gpu.graph import Sequence, Stage
from rtelasto.gpu.kernels import Kernels
from rtelasto.gpu.pattern_average import (
    GpuPatternAverage,
    enqueue_add,
    enqueue_move,
    enqueue_read,
)
from rtelasto.gpu.protocols import Launch
from rtelasto.gpu.quality import enqueue_quality
from rtelasto.gpu.stretch import enqueue_elongation, enqueue_ingest, enqueue_resampling


def kernel_times() -> list[Bound]:
    """Measure every kernel alone, and the sum over a pair."""
    estimator = without_network()
    frame, lane = run_pair(estimator, next(pairs(PUBLISHED, 0.005)))
    times: dict[str, list[float]] = {}
    timed = _timed(Kernels(lane.workspace.work), lane.stream, lane.workspace.arrays, times)
    for enqueue in (enqueue_ingest, enqueue_elongation, enqueue_resampling, enqueue_quality):
        enqueue(timed, lane.workspace.layout)
    pair_ms = sum(sum(values) for values in times.values())
    _time_average(frame, times)
    return [
        *(
            Bound(f"{name} × {len(values)}", 1e3 * float(np.mean(values)), "µs")
            for name, values in times.items()
        ),
        *(
            # Many launches of these find nothing to do.
            Bound(f"{name}, longest of {len(times[name])}", 1e3 * max(times[name]), "µs")
            for name in _STATEFUL
        ),
        Bound("sum over a pair, without persistence", pair_ms, "ms"),
    ]


def _time_average(frame: StrainFrame, times: dict[str, list[float]]) -> None:
    """Measure the kernels of persistence on a frame that is in the average already, all of it."""
    agreeing = np.full_like(frame.correlation, 0.97)
    pair = measure(frame.replace(correlation=agreeing, quality=0.97))
    still = TissuePosition(0.0, np.zeros(n_nodes(frame.grid), np.float32), 0.0)
    average = GpuPatternAverage(frame.grid, lambda strain: None)
    for _ in range(2):
        average.try_pair(pair, still, 1.0, UNIT_VARIANCE)
        average.accept()
    for enqueue in (enqueue_add, enqueue_read, enqueue_move):
        enqueue(_timed(average.launch, average.stream, {}, times), frame.grid)


# Changes the state from which it starts: launched again, it would find other work or none.
_STATEFUL = ("refine",)


def _timed(
    launch: Launch, stream: Any, arrays: Mapping[str, Any], times: dict[str, list[float]]
) -> Launch:
    def timed(name: str, grid: tuple[int, ...], step: int = 0, *, threads: int) -> None:
        stage = Stage(name, lambda: launch(name, grid, step, threads=threads))
        if name in _STATEFUL:
            time_ms = restored_time_ms(stage.enqueue, arrays["candidates"], stream)
        else:
            time_ms = device_time_ms(Sequence([stage], stream).launch, stream)
        times.setdefault(name, []).append(time_ms)

    return timed
