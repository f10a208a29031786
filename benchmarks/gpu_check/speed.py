"""Speed without the wire: stage times by CUDA events, the floor, overlap, rates, memory."""

from __future__ import annotations

import time
from collections.abc import Sequence as Listed
from itertools import cycle, islice

from benchmarks.gpu_check.frames import PUBLISHED, frames, pairs
from benchmarks.gpu_check.model import NODE_S
from benchmarks.gpu_check.parity import gpu_estimator, run_pair
from benchmarks.gpu_check.report import Bound
from benchmarks.gpu_check.timing import device_time_ms
from rtelasto.bench.floor import graph_work
from rtelasto.bench.rates import gpu_rates
from rtelasto.frames.rf import FramePair
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.graph import Sequence
from rtelasto.pipeline.devices import network_files
from rtelasto.pipeline.pair_policy import PairPolicy

_MIB = 2**20


def stages(engine: str, device: str) -> dict[str, float]:
    """Return the time in ms of every stage, each as a separate graph, and of the two graphs of a frame."""
    estimator = gpu_estimator(engine, device)
    _, lane = run_pair(estimator, next(pairs(PUBLISHED, 0.005)))
    times: dict[str, float] = {}
    for group, stream in (
        (lane.ingest_stages, lane.upload_stream),
        (lane.pair_stages, lane.stream),
    ):
        for stage in group:
            times[stage.name] = device_time_ms(Sequence([stage], stream).launch, stream)
        name = " → ".join((group[0].name, group[-1].name))
        times[f"graph {name}"] = device_time_ms(Sequence(group, stream).launch, stream)
    return times


def stage_times(engine: str, device: str) -> list[Bound]:
    """Measure every stage; check engine + stretch against 0.5 ms, and the engine against its floor."""
    times = stages(engine, device)
    single, half = network_files(engine)
    work, rates = graph_work(half or single, PUBLISHED), gpu_rates()
    floor_ms = 1e3 * (work.layered_s(rates) + NODE_S * len(work.layers))
    return [
        *(Bound(name, value, "ms") for name, value in times.items()),
        Bound(
            "engine + stretch",
            times["elongation"] + times["resampling"] + times["engine"],
            "ms",
            limit=0.5,
        ),
        Bound("copy rate", rates.copy_bytes_s / 1e9, "GB/s"),
        Bound("multiply rate, fp16", rates.multiply_ops_s / 1e12, "TFLOP/s"),
        Bound("engine over its layered floor", times["engine"] / floor_ms, limit=1.5),
        Bound("layered floor of the engine, 2 µs a node included", floor_ms, "ms"),
    ]


def overlap(engine: str, device: str, *, n_pairs: int = 400) -> list[Bound]:
    """Compare two pairs in flight with one, with the frames and the ring of every pairing."""
    bounds = []
    for pairing, lag in (("consecutive", 1), ("lag 4", 4), ("adaptive", 4)):
        history = PairPolicy.parse(pairing).history
        estimator = gpu_estimator(engine, device, history=history)
        # As from a scanner, every frame is a new one.
        moving = frames(PUBLISHED, 0.002, n_frames=4)
        every = [
            type(frame)(frame.samples, frame.format, frame.stamp)
            for frame in islice(cycle(moving), n_pairs + lag)
        ]
        sequence = [FramePair(pre, post) for pre, post in zip(every, every[lag:], strict=False)]
        stream(estimator, sequence[:50])
        one_s, two_s = (stream(estimator, sequence, in_flight=n) for n in (1, 2))
        bounds.append(Bound(f"{pairing}, pairs per second", len(sequence) / two_s))
        gain = one_s / two_s
        bounds.append(
            Bound(f"{pairing}, gain of two in flight over one", gain, limit=1.1, at_least=True)
        )
    return bounds


def rate_without_wire(engine: str, device: str, *, n_pairs: int = 2000) -> list[Bound]:
    """Measure pairs per second with two pairs in flight, on one thread, without sending or receiving."""
    estimator = gpu_estimator(engine, device)
    stream(estimator, _to_and_fro(100))
    seconds = stream(estimator, _to_and_fro(n_pairs))
    return [Bound("pairs per second, no wire", n_pairs / seconds, limit=1000.0, at_least=True)]


def _to_and_fro(n_pairs: int) -> list[FramePair]:
    first, second = pairs(PUBLISHED, 0.005)
    back = [FramePair(second.post, first.post), FramePair(first.post, first.pre)]
    return list(islice(cycle([first, second, *back]), n_pairs))


def stream(estimator: GpuEstimator, sequence: Listed[FramePair], *, in_flight: int = 2) -> float:
    """Estimate all pairs, so many at a time; return the seconds that it took."""
    started = time.perf_counter()
    pending = 0
    for pair in sequence:
        if pending == in_flight:
            estimator.collect()
            pending -= 1
        estimator.start(pair)
        pending += 1
    for _ in range(pending):
        estimator.collect()
    return time.perf_counter() - started


def memory(engine: str, device: str, *, n_pairs: int = 10_000) -> list[Bound]:
    """Measure the growth of device and host memory over so many frames, after a tenth of them."""
    import cupy as cp
    import psutil

    estimator = gpu_estimator(engine, device)
    stream(estimator, _to_and_fro(n_pairs // 10))
    process = psutil.Process()

    def used() -> tuple[int, int]:
        free, total = cp.cuda.runtime.memGetInfo()
        return total - free, process.memory_info().rss

    device_before, host_before = used()
    stream(estimator, _to_and_fro(n_pairs))
    device_after, host_after = used()
    return [
        Bound("device memory growth", (device_after - device_before) / _MIB, "MiB", limit=0.0),
        Bound("host memory growth", (host_after - host_before) / _MIB, "MiB", limit=4.0),
        Bound("device memory in use", device_after / _MIB, "MiB"),
    ]
