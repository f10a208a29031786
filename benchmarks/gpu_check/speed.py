"""Speed: stage times by CUDA events, the floor, memory, and the real wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from benchmarks.gpu_check.parity import PUBLISHED, gpu_estimator, pairs
from benchmarks.gpu_check.report import Bound
from rtelasto.bench.floor import engine_floor
from rtelasto.bench.latency import measure_latency
from rtelasto.bench.rates import gpu_rates
from rtelasto.bench.throughput import measure_throughput
from rtelasto.frames.rf import FramePair
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.graph import Sequence

_REPEATS = 300
_WARM_UP = 20
_MIB = 2**20


def _event_times_ms(launch: Callable[[], None], stream: Any) -> np.ndarray:
    """Return the device time of every launch, by a pair of events around each."""
    import cupy as cp

    times = []
    for _ in range(_WARM_UP + _REPEATS):
        begin, end = cp.cuda.Event(), cp.cuda.Event()
        begin.record(stream)
        launch()
        end.record(stream)
        end.synchronize()
        times.append(cp.cuda.get_elapsed_time(begin, end))
    return np.array(times[_WARM_UP:])


def stages(engine: str, device: str) -> dict[str, float]:
    """Return the p50 in ms of every stage, each as a separate graph, and of the two graphs of a frame."""
    estimator = gpu_estimator(engine, device)
    estimator.start(next(pairs(PUBLISHED, 0.005)))
    lane = estimator.newest_lane
    estimator.collect()
    times: dict[str, float] = {}
    for group, stream in (
        (lane.ingest_stages, lane.upload_stream),
        (lane.pair_stages, lane.stream),
    ):
        for stage in group:
            alone = Sequence([stage], stream)
            times[stage.name] = float(np.median(_event_times_ms(alone.launch, stream)))
        whole = Sequence(group, stream)
        name = " → ".join((group[0].name, group[-1].name))
        times[f"graph {name}"] = float(np.median(_event_times_ms(whole.launch, stream)))
    return times


def stage_times(engine: str, device: str) -> list[Bound]:
    """Return the time of every stage, and of engine + stretch (limit 0.5 ms; relative to the floor)."""
    times = stages(engine, device)
    floor = engine_floor(engine, gpu_rates())
    assert floor is not None, f"{engine} is not a network"
    core_ms = times["elongation"] + times["resampling"] + times["engine"]
    floor_ms = 1e3 * floor.floor_s
    return [
        *(Bound(name, value, "ms") for name, value in times.items()),
        Bound("engine + stretch", core_ms, "ms", limit=0.5),
        Bound("copy rate", floor.rates.copy_bytes_s / 1e9, "GB/s"),
        Bound("multiply rate, fp16", floor.rates.multiply_ops_s / 1e12, "TFLOP/s"),
        Bound("floor", floor_ms, "ms"),
        Bound("floor if layers go through memory", 1e3 * floor.work.layered_s(floor.rates), "ms"),
        Bound("engine + stretch over the floor", core_ms / floor_ms, limit=3.0),
    ]


def rate_without_wire(engine: str, device: str, *, frames: int = 2000) -> list[Bound]:
    """Measure frames per second with two pairs in flight, on one thread, without sending or receiving."""
    estimator = gpu_estimator(engine, device)
    _stream(estimator, 100)
    started = time.perf_counter()
    _stream(estimator, frames)
    return [Bound("pairs per second, no wire", frames / (time.perf_counter() - started))]


def _stream(estimator: GpuEstimator, n_pairs: int) -> None:
    first, second = pairs(PUBLISHED, 0.005)
    back = [FramePair(second.post, first.post), FramePair(first.post, first.pre)]
    cycle = [first, second, *back]
    for k in range(n_pairs):
        if not estimator.room:
            estimator.collect()
        estimator.start(cycle[k % len(cycle)])
    while estimator.room < 2:
        estimator.collect()


def memory(engine: str, device: str, *, frames: int = 10_000) -> list[Bound]:
    """Measure the growth of device and host memory over many frames, after a tenth of them."""
    import cupy as cp

    estimator = gpu_estimator(engine, device)
    _stream(estimator, frames // 10)
    process = psutil.Process()

    def used() -> tuple[int, int]:
        free, total = cp.cuda.runtime.memGetInfo()
        return total - free, process.memory_info().rss

    device_before, host_before = used()
    _stream(estimator, frames)
    device_after, host_after = used()
    return [
        Bound("device memory growth", (device_after - device_before) / _MIB, "MiB", limit=0.0),
        Bound("host memory growth", (host_after - host_before) / _MIB, "MiB", limit=4.0),
        Bound("device memory in use", device_after / _MIB, "MiB"),
    ]


def latency(engine: str, device: str, *, fps: float = 500.0, frames: int = 5000) -> list[Bound]:
    """Measure the latency of a live run on the real wire, send call → strain received."""
    report = measure_latency(engine, fps=fps, frames=frames, options=("--device", device))
    whole = report.stages["end to end"]
    bounds = [
        Bound(f"{name}, p50", times.p50_ms, "ms")
        for name, times in report.stages.items()
        if name != "end to end"
    ]
    return [
        Bound("end to end, p50", whole.p50_ms, "ms"),
        Bound("end to end, p99", whole.p99_ms, "ms", limit=2.0),
        Bound("frames that did not become strain", frames - report.strain_frames, limit=0),
        Bound("memory growth per 1,000 frames", report.memory_slope_mib_per_1000, "MiB"),
        *bounds,
    ]


def throughput(engine: str, device: str) -> list[Bound]:
    """Measure the highest rate on the real wire without dropped frames."""
    report = measure_throughput(engine, options=("--device", device))
    return [
        Bound("strain frames per second", report.fps, limit=1000.0, at_least=True),
        Bound("pipeline busy per frame", report.busy_ms, "ms"),
    ]
