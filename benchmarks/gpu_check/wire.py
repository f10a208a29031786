"""Speed on the real wire: `rtelasto bench`'s own processes on loopback."""

from __future__ import annotations

import importlib

from benchmarks.gpu_check.parity import gpu_estimator
from benchmarks.gpu_check.report import Bound


def _need(*modules: str) -> None:
    """Raise ModuleNotFoundError here, and not in a process of its own, for what a live run imports."""
    for module in modules:
        importlib.import_module(module)


def latency(engine: str, device: str, *, fps: float = 500.0, n_frames: int = 5000) -> list[Bound]:
    """Measure a live run on the real wire, from the send call until the strain is received."""
    _need("zmq", "cyclopts", "rich", "psutil")
    from rtelasto.bench.latency import measure_latency

    gpu_estimator(engine, device)
    report = measure_latency(engine, fps=fps, frames=n_frames, options=("--device", device))
    whole = report.stages["end to end"]
    return [
        Bound("end to end, p50", whole.p50_ms, "ms"),
        Bound("end to end, p99", whole.p99_ms, "ms", limit=2.0),
        Bound("frames without strain", n_frames - report.strain_frames, limit=0),
        Bound("memory growth per 1,000 frames", report.memory_slope_mib_per_1000, "MiB"),
        *(
            Bound(f"{name}, p50", times.p50_ms, "ms")
            for name, times in report.stages.items()
            if name != "end to end"
        ),
    ]


def throughput(engine: str, device: str) -> list[Bound]:
    """Measure the highest rate on the real wire with nothing dropped."""
    _need("zmq", "cyclopts", "rich", "psutil")
    from rtelasto.bench.throughput import measure_throughput

    gpu_estimator(engine, device)
    report = measure_throughput(engine, options=("--device", device))
    return [
        Bound("strain frames per second", report.fps, limit=1000.0, at_least=True),
        Bound("pipeline busy per frame", report.busy_ms, "ms"),
    ]
