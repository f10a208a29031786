"""Time and peak memory of fused patch extraction and of explicit patches, for one pair of frames.

python -m benchmarks.patches

The same ``wu2018`` weights in three forms, each in a separate process:

- ``onnx``: the dense graph in ONNX Runtime, as in engines, without patches;
- ``dense``: the dense form in PyTorch;
- ``explicit``: every patch is extracted, then processed by the patch network in chunks (of the size in the
  row), in PyTorch, for the same output (every fourth sample of every line, both stages).

The time is from frames in memory to displacement and strain in memory, median of the runs after one warm-up
run. Reading weights, exporting and opening the runtime are excluded. The explicit form is timed on some
chunks spread over the frame and scaled to all of its patches (``--whole`` runs them all); its memory does not
depend on their number. Peak memory is the largest resident size, sampled every 2 ms, minus that before the
first run: the memory in addition to the weights and the runtime.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rtelasto_engines.network.patch_layers import pad_frame
from rtelasto_engines.network.wu2018 import AXIAL_STRIDE, Wu2018, displacement_image


class Row(TypedDict):
    """The measurement of one form: seconds per pair, bytes, operations per pair."""

    form: str
    median_s: float
    max_s: float
    peak_bytes: int
    gflop: float


class PeakMemory:
    """Largest resident size of this process while the block runs, in bytes above that at its start."""

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._start = self._largest = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self._largest = max(self._largest, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak_bytes(self) -> int:
        return self._largest - self._start


def network() -> Wu2018:
    torch.manual_seed(0)
    # Channels last is faster for both PyTorch forms on a CPU.
    return Wu2018().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def patches(frame: Tensor, patch: tuple[int, int], mode: str, first: int, count: int) -> Tensor:
    """Patches ``first`` … ``first + count`` of a frame (lines, samples), centred on every fourth sample."""
    padded = pad_frame(frame[None], patch, mode)[0]
    views = padded.unfold(0, patch[0], 1).unfold(1, patch[1], AXIAL_STRIDE)
    index = torch.arange(first, min(first + count, views.shape[0] * views.shape[1]))
    return views[index // views.shape[1], index % views.shape[1]]


def explicit_stage(
    stage: Callable[..., Tensor],
    frames: list[Tensor],
    patch: tuple[int, int],
    mode: str,
    chunk: int,
    sampled: int,
) -> tuple[Tensor, float]:
    """Run one stage over explicit patches; return its output image (zero where not run) and s per frame."""
    shape = (frames[0].shape[0], math.ceil(frames[0].shape[1] / AXIAL_STRIDE))
    output = torch.zeros(math.prod(shape))
    starts = list(range(0, output.numel(), chunk))
    n_sampled = max(1, sampled // chunk)
    if n_sampled < len(starts):
        # Full chunks from the middles of equal parts of the frame.
        full = output.numel() // chunk
        starts = [starts[full * (2 * i + 1) // (2 * n_sampled)] for i in range(n_sampled)]
    started = time.perf_counter()
    for first in starts:
        result = stage(*(patches(frame, patch, mode, first, chunk) for frame in frames))
        output[first : first + len(result)] = result
    done = sum(min(chunk, output.numel() - first) for first in starts)
    seconds = (time.perf_counter() - started) * output.numel() / done
    return output.reshape(shape), seconds


def explicit(model: Wu2018, pre: Tensor, post: Tensor, chunk: int, sampled: int) -> float:
    """Run both stages over explicit patches; return seconds per pair."""
    first, second = model.displacement_stage, model.strain_stage
    image, seconds = explicit_stage(first, [pre, post], first.patch, "constant", chunk, sampled)
    strain = explicit_stage(
        second, [displacement_image(image)], second.patch, "replicate", chunk, sampled
    )
    return seconds + strain[1]


def measure(form: str, chunk: int, options: argparse.Namespace, onnx_path: str) -> Row:
    """Measure one form in its own process, with explicit patches ``chunk`` at a time."""
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(1)
    pre = torch.randn(options.lines, options.samples, generator=generator)
    post = pre.roll(2, -1)
    if form == "onnx":
        import onnxruntime as ort

        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        session = ort.InferenceSession(onnx_path, settings, providers=["CPUExecutionProvider"])
        inputs = {"pre": pre.numpy(), "post": post.numpy()}

        def run() -> float:
            started = time.perf_counter()
            session.run(None, inputs)
            return time.perf_counter() - started
    else:
        model = network()

        def run() -> float:
            if form == "explicit":
                return explicit(model, pre, post, chunk, options.sampled)
            started = time.perf_counter()
            model(pre[None], post[None])
            return time.perf_counter() - started

    with torch.inference_mode():
        with PeakMemory() as memory:
            run()
        seconds = [run() for _ in range(options.runs)]
    return Row(
        form=f"{form} {chunk}" if chunk else form,
        median_s=statistics.median(seconds),
        max_s=max(seconds),
        peak_bytes=memory.peak_bytes,
        gflop=gflop(form, options.lines, options.samples),
    )


def gflop(form: str, n_lines: int, n_samples: int) -> float:
    """Return multiplications and additions per pair, in 1e9, counted by PyTorch without executing them."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = Wu2018().eval()
        if form != "explicit":
            model(*[torch.zeros(1, n_lines, n_samples)] * 2)
            return counter.get_total_flops() / 1e9
        first, second = model.displacement_stage, model.strain_stage
        first(*[torch.zeros(1, *first.patch)] * 2)
        second(torch.zeros(1, *second.patch))
    return counter.get_total_flops() * n_lines * math.ceil(n_samples / AXIAL_STRIDE) / 1e9


def matrix_gflop_s(threads: int) -> float:
    """Return the rate of float32 matrix multiplication, the limit for all forms."""
    torch.set_num_threads(threads)
    matrix = torch.randn(1024, 1024)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2.0 * 1024**3 / min(seconds) / 1e9


def same_output(onnx_path: str) -> float:
    """Return the largest relative difference between the explicit and the ONNX form on a small frame."""
    import onnxruntime as ort

    model = network()
    pre = torch.randn(16, 256, generator=torch.Generator().manual_seed(2))
    post = pre.roll(2, -1)
    session = ort.InferenceSession(onnx_path, providers=["CPUExecutionProvider"])
    expected = session.run(["displacement"], {"pre": pre.numpy(), "post": post.numpy()})[0]
    stage = model.displacement_stage
    with torch.inference_mode():
        image, _ = explicit_stage(stage, [pre, post], stage.patch, "constant", 100, pre.numel())
    return float(np.abs(image.numpy() - expected).max() / np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description="Fused against explicit patch extraction.")
    parser.add_argument("--lines", type=int, default=128)
    parser.add_argument("--samples", type=int, default=2608)
    parser.add_argument(
        "--chunks", type=int, nargs="+", default=[256, 1024, 4096], help="patches at a time"
    )
    parser.add_argument("--sampled", type=int, default=8192, help="patches timed per stage")
    parser.add_argument("--whole", action="store_true", help="time every patch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.whole:
        options.sampled = options.lines * options.samples
    from rtelasto_engines.export import export

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "wu2018.onnx")
        export(network(), Path(path), {})
        difference = same_output(path)
        assert difference < 1e-4, f"explicit and fused differ by {difference:.1e}"
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            forms = [("onnx", 0), ("dense", 0), *(("explicit", chunk) for chunk in options.chunks)]
            rows = [pool.apply(measure, (*form, options, path)) for form in forms]
    report(rows, options, difference)


def report(rows: list[Row], options: argparse.Namespace, difference: float) -> None:
    depths = math.ceil(options.samples / AXIAL_STRIDE)
    patch = Wu2018().displacement_stage.patch
    n_patches = options.lines * depths
    print(
        f"{options.samples} × {options.lines} samples, output {depths} × {options.lines}, "
        f"{options.threads} threads, median of {options.runs} runs"
    )
    timed = min(options.sampled, n_patches)
    print(f"explicit: {n_patches} patches, about {timed} of them timed per stage, both stages")
    print(f"largest difference explicit − onnx: {difference:.1e} of the displacement")
    print(f"matrix multiplication on this machine: {matrix_gflop_s(options.threads):.0f} GFLOP/s\n")
    print(f"{'form':<15}{'s a pair':>10}{'max s':>10}{'peak MB':>10}{'GFLOP':>10}{'GFLOP/s':>10}")
    for row in rows:
        print(
            f"{row['form']:<15}{row['median_s']:>10.3f}{row['max_s']:>10.3f}"
            f"{row['peak_bytes'] / 1e6:>10.0f}{row['gflop']:>10.1f}{row['gflop'] / row['median_s']:>10.1f}"
        )
    patch_bytes = 2 * 4 * math.prod(patch)
    print(
        f"\nstage 1's patches alone, all at once: {n_patches * patch_bytes / 1e9:.2f} GB; "
        f"at every sample, as published: {AXIAL_STRIDE * n_patches * patch_bytes / 1e9:.2f} GB"
    )
    if options.json:
        content = {
            "lines": options.lines,
            "samples": options.samples,
            "threads": options.threads,
            "patches": n_patches,
            "patches_timed": timed,
            "difference": difference,
            "rows": rows,
        }
        options.json.write_text(json.dumps(content, indent=2), "utf-8")


if __name__ == "__main__":
    main()
