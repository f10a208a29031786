"""Correctness: compares results of the GPU with those of the CPU, and with its own in another order."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu_check.report import Bound, NotRun
from rtelasto.accuracy.compare import Column, Competitor, compare
from rtelasto.accuracy.summary import spread
from rtelasto.accuracy.tissues import held_out_pairs
from rtelasto.bench.stages import timing_frames
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.quality import post_warp_correlation
from rtelasto.cpu.stretch import Stretch
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import ResidualMotion, StrainFrame
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.workspace import Workspace
from rtelasto.pipeline.devices import open_estimator

PUBLISHED = RfFormat(
    n_lines=128, n_samples=2608, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
FORMATS = (
    PUBLISHED,
    RfFormat(
        n_lines=192,
        n_samples=1664,
        sampling_freq_hz=31.25e6,
        center_freq_hz=7.8125e6,
        line_pitch_m=2e-4,
    ),  # L12-5 at 4 samples per wavelength
    RfFormat(
        n_lines=33, n_samples=1001, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    ),  # odd sizes
)
STRAINS = (0.0005, 0.005, 0.03)


def gpu_estimator(engine: str, device: str, *, eager: bool = False) -> GpuEstimator:
    """Open an estimator on the GPU, or raise an error with the reason why there is none."""
    estimator = open_estimator(engine, device=device)
    assert isinstance(estimator, GpuEstimator)
    estimator.eager = eager
    return estimator


def pairs(rf_format: RfFormat, strain: float, *, dtype: str = "int16") -> Iterator[FramePair]:
    """Return two pairs of simulated speckle that share a frame."""
    frames = [
        RfFrame(frame.samples.astype(dtype), rf_format, FrameStamp(frame.frame_id))
        for frame in timing_frames(rf_format, strain=strain)
    ]
    yield from (FramePair(pre, post) for pre, post in itertools.pairwise(frames))


def relative(got: np.ndarray, wanted: np.ndarray) -> float:
    """Return the RMS of the difference relative to the RMS of the reference."""
    difference = np.asarray(got, np.float64) - wanted
    return float(np.sqrt(np.mean(difference**2) / np.mean(np.square(wanted, dtype=np.float64))))


class _NoNetwork:
    """Replaces the engine: a fixed residual, rough and leading out of the image."""

    runtime = "none"
    capturable = True

    def bind(self, workspace: Workspace, stream: Any) -> _NoNetwork:
        import cupy as cp

        shape = workspace.layout.rows.shape
        steps = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        residual = 0.3 * np.cumsum(steps, axis=1, dtype=np.float32)
        workspace.arrays["residual_samples"].set(residual)
        workspace.arrays["residual_strain"].set(np.float32(0.01) * steps)
        cp.cuda.Device().synchronize()
        return self

    def enqueue(self) -> None:
        pass


def kernels(formats: tuple[RfFormat, ...] = FORMATS) -> list[Bound]:
    """Compare stretch and quality with the CPU for every format, strain and sample type; no network."""
    worst = {"stretch": 0.0, "correlation": 0.0}

    def fallback(pair: FramePair) -> StrainFrame:
        raise NotRun(f"the kernels do not support {pair.pre.format}")

    estimator = GpuEstimator("none", 6.4, 4, lambda shape: _NoNetwork(), fallback)
    cases = itertools.product(formats, STRAINS, ("int16", "float32"))
    for rf_format, strain, dtype in cases:
        stretch = Stretch(estimator.samples_per_wavelength)
        for pair in pairs(rf_format, strain, dtype=dtype):
            frame, arrays = _with_buffers(estimator, pair)
            wanted = stretch(pair)
            for name in ("pre", "post"):
                worst["stretch"] = max(
                    worst["stretch"], relative(arrays[name], getattr(wanted, name))
                )
            step_m = np.float32(wanted.grid.axial_step_m)
            residual = ResidualMotion(
                arrays["residual_samples"] * step_m, arrays["residual_strain"], frame.grid
            )
            correlation = post_warp_correlation(wanted, residual)
            worst["correlation"] = max(
                worst["correlation"], relative(frame.correlation, correlation)
            )
    return [
        Bound("stretch, relative RMS difference", worst["stretch"], limit=1e-4),
        Bound("correlation, relative RMS difference", worst["correlation"], limit=1e-4),
    ]


def _with_buffers(
    estimator: GpuEstimator, pair: FramePair
) -> tuple[StrainFrame, dict[str, np.ndarray]]:
    """Return the strain of a pair, and the contents of the buffers."""
    import cupy as cp

    estimator.start(pair)
    lane = estimator.newest_lane
    frame = estimator.collect()
    names = ("pre", "post", "residual_samples", "residual_strain")
    return frame, {name: cp.asnumpy(lane.workspace.arrays[name]) for name in names}


def engine_parity(engine: str, device: str) -> list[Bound]:
    """Compare the whole path in half precision with that of the CPU in single precision."""
    on_gpu, on_cpu = gpu_estimator(engine, device), open_estimator(engine, device="cpu")
    errors = {"strain": 0.0, "displacement": 0.0}
    for strain in STRAINS:
        for pair in pairs(PUBLISHED, strain):
            got, wanted = on_gpu(pair), on_cpu(pair)
            errors["strain"] = max(
                errors["strain"], relative(got.axial_strain, wanted.axial_strain)
            )
            errors["displacement"] = max(
                errors["displacement"],
                relative(got.axial_displacement_m, wanted.axial_displacement_m),
            )
    return [
        Bound("strain, relative RMS difference", errors["strain"], limit=0.01),
        Bound("displacement, relative RMS difference", errors["displacement"], limit=0.01),
    ]


def graphs(engine: str, device: str) -> list[Bound]:
    """Compare replayed graphs with the same stages started one by one, and two pairs in flight with one."""
    replayed, eager = gpu_estimator(engine, device), gpu_estimator(engine, device, eager=True)
    every = [pair for strain in STRAINS for pair in pairs(PUBLISHED, strain)]
    one_by_one = [replayed(pair) for pair in every]
    from_eager = max(
        relative(eager(pair).axial_strain, frame.axial_strain)
        for pair, frame in zip(every, one_by_one, strict=True)
    )
    overlapped = []
    for pair in every:
        if not replayed.room:
            overlapped.append(replayed.collect())
        replayed.start(pair)
    while len(overlapped) < len(every):
        overlapped.append(replayed.collect())
    from_overlap = max(
        relative(got.axial_strain, wanted.axial_strain)
        for got, wanted in zip(overlapped, one_by_one, strict=True)
    )
    return [
        Bound("graph against eager, relative RMS difference", from_eager, limit=1e-5),
        Bound("two in flight against one, relative RMS difference", from_overlap, limit=1e-5),
    ]


class _OnGpu(Competitor):
    """The GPU path in the accuracy comparison, including stretch and quality."""

    def __init__(self, estimator: GpuEstimator) -> None:
        self.name = "gpu"
        self._estimate = estimator

    def strains(self, pair: FramePair) -> Iterator[tuple[Column, StrainFrame]]:
        yield Column(self.name), self._estimate(pair)


def accuracy(engine: str, device: str, *, tissues: int = 6) -> list[Bound]:
    """Compare scores on held-out tissue, GPU relative to CPU."""
    try:
        import skfem  # noqa: F401
    except ImportError:
        raise NotRun("scikit-fem is not installed: pip install 'rtelasto[sim]'") from None
    on_cpu = open_estimator(engine, device="cpu")
    assert isinstance(on_cpu, CpuEstimator)
    competitors = [Competitor(on_cpu.engine, "cpu"), _OnGpu(gpu_estimator(engine, device))]
    result = compare(competitors, held_out_pairs("published", tissues))
    bounds = []
    for metric in ("strain_rmse_percent", "displacement_rmse_samples"):
        medians = {
            name: spread([s for s in result.scores if s.column.label == name], metric).median
            for name in ("cpu", "gpu")
        }
        change = abs(medians["gpu"] / medians["cpu"] - 1.0)
        bounds.append(Bound(f"{metric}, relative change", change, limit=0.02))
    return bounds


def sanitizer(program: str, tool: str) -> list[Bound]:
    """Run compute-sanitizer over the kernels on small frames, in a separate process.

    Exit code 9 is from the sanitizer, 3 is a wrong result.
    """
    command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, "-m"]
    command += ["benchmarks.gpu_check", "--only-kernels"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode not in (0, 3, 9):
        raise NotRun(f"{tool} exited with code {done.returncode}: {done.stderr.strip()[-300:]}")
    summary = [line for line in done.stdout.splitlines() if "ERROR SUMMARY" in line]
    return [Bound(f"{tool} exit code; {summary[-1] if summary else ''}", done.returncode, limit=0)]
