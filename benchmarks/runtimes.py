"""Time of the CPU runtimes and their options on one stretched pair, and difference from the default.

    python -m benchmarks.runtimes [--runs 20]

Runs alternate, so that other load affects all of them equally. The time is from a stretched pair in memory to
displacement and strain in memory, after three warm-up rounds. The difference is the root mean square over the
image, in samples and in % strain, for comparison with the errors in the model card. ``spinning`` is ONNX
Runtime with its default: threads that spin while waiting.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import onnxruntime as ort

from rtelasto.bench.stages import timing_frames
from rtelasto.cpu.network.runtimes import OnnxRuntime, OpenVino, Runtime, usable_runtimes
from rtelasto.cpu.stretch import Stretch
from rtelasto.frames.rf import Float32Image, FramePair
from rtelasto.pipeline.engines import model_path
from rtelasto.telemetry.latency import LatencySummary

_WARM_UP = 3


class Spinning:
    """ONNX Runtime with its defaults."""

    def __init__(self, path: str) -> None:
        self._session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(self, pre: Float32Image, post: Float32Image) -> tuple[Float32Image, Float32Image]:
        displacement, strain = self._session.run(None, {"pre": pre, "post": post})[:2]
        return displacement, strain


def open_runtimes(engine: str) -> dict[str, Runtime]:
    """Open every runtime of this machine, the default one first."""
    path = model_path(engine)
    if path is None:
        raise SystemExit(f"{engine} is not a network")
    runtimes: dict[str, Runtime] = {
        "onnxruntime": OnnxRuntime(path, None),
        "onnxruntime, 1 thread": OnnxRuntime(path, 1),
        "onnxruntime, spinning": Spinning(str(path)),
    }
    usable = usable_runtimes()
    for name in ("openvino", "openvino-bf16"):
        if not usable[name]:
            runtimes[name] = OpenVino(path, None, bf16=name == "openvino-bf16")
    return runtimes


def compare_runtimes(engine: str, runs: int) -> dict[str, tuple[LatencySummary, float, float]]:
    """Return per runtime: times, RMS difference in displacement (samples) and in strain (%)."""
    frames = timing_frames()
    pair = Stretch()(FramePair(frames[0], frames[1]))
    runtimes = open_runtimes(engine)
    times_ns: dict[str, list[int]] = {name: [] for name in runtimes}
    images = {}
    for round_ in range(_WARM_UP + runs):
        for name, runtime in runtimes.items():
            started = time.perf_counter_ns()
            images[name] = runtime.run(pair.pre, pair.post)
            if round_ >= _WARM_UP:
                times_ns[name].append(time.perf_counter_ns() - started)
    reference = images["onnxruntime"]

    def rms(name: str, image: int) -> float:
        return float(np.sqrt(np.mean(np.square(images[name][image] - reference[image]))))

    return {
        name: (LatencySummary.of(values), rms(name, 0), 100.0 * rms(name, 1))
        for name, values in times_ns.items()
    }


def table(rows: dict[str, tuple[LatencySummary, float, float]]) -> str:
    lines = [
        "| runtime | p50 ms | p99 ms | RMS difference, samples | RMS difference, % strain |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, (times, samples, strain) in rows.items():
        lines.append(
            f"| {name} | {times.p50_ms:.1f} | {times.p99_ms:.1f} | {samples:.1e} | {strain:.1e} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the CPU runtimes.")
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    print(table(compare_runtimes(options.engine, options.runs)))


if __name__ == "__main__":
    main()
