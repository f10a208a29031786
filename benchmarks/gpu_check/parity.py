"""Correctness: compares results of the GPU with those of the CPU, and with its own in another order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.gpu_check.frames import (
    FORMATS,
    MOTIONS,
    PUBLISHED,
    STRAINS,
    frames,
    pairs,
    relative,
)
from benchmarks.gpu_check.report import Bound, NotRun
from benchmarks.gpu_check.timing import device_time_ms
from rtelasto.cpu.stretch import Stretch
from rtelasto.cpu.total_motion import total_motion
from rtelasto.frames.rf import FramePair, RfFormat
from rtelasto.frames.strain import ResidualMotion, StrainFrame, compose
from rtelasto.gpu.engine import INPUTS, network_arrays
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.graph import Sequence, Stage
from rtelasto.gpu.session import Lane
from rtelasto.gpu.workspace import MORE_OUTPUTS, Workspace
from rtelasto.pipeline.devices import choose, open_estimator
from rtelasto.pipeline.persistence import Persistence

SMALL = (
    RfFormat(
        n_lines=33, n_samples=601, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    ),
)


def gpu_estimator(
    engine: str, device: str, *, eager: bool = False, history: int = 16
) -> GpuEstimator:
    """Return an estimator on the GPU.

    Raises
    ------
    NotRun
        If no runtime for networks is installed.
    """
    choice = choose(engine, "auto" if device == "gpu" else device)
    if choice.device != "gpu":
        raise NotRun(f"no runtime for networks ({'; '.join(choice.reasons[1:])})")
    estimator = open_estimator(engine, device=device, history=history)
    assert isinstance(estimator, GpuEstimator)
    estimator.eager = eager
    return estimator


def run_pair(estimator: GpuEstimator, pair: FramePair) -> tuple[StrainFrame, Lane]:
    """Return the strain of a pair, and the buffer set that still holds what led to it."""
    estimator.start(pair)
    lane = estimator.newest_lane
    return estimator.collect(), lane


class _NoNetwork:
    """Replaces the engine: a fixed residual, rough; by its default size it leads out of the image."""

    runtime = "none"
    capturable = True

    def __init__(self, samples: float) -> None:
        self._samples = samples

    def bind(self, workspace: Workspace, stream: Any) -> _NoNetwork:
        import cupy as cp

        shape = workspace.layout.rows.shape
        steps = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        size = np.float32(self._samples)
        residual = size * np.cumsum(steps, axis=1, dtype=np.float32)
        strain = size / np.float32(30.0) * steps
        # In a quarter of the lines the displacement is right and the strain is not, so that it is changed.
        residual[-(shape[0] // 4) :], strain[-(shape[0] // 4) :] = 0.0, 0.02
        workspace.arrays["residual_samples"][...] = cp.asarray(residual)
        workspace.arrays["residual_strain"][...] = cp.asarray(strain)
        for k, name in enumerate(workspace.layout.more_outputs):
            # About a line, one per cent, and a thousandth.
            values = np.float32(10.0**-k) * np.abs(np.roll(steps, k, axis=1))
            workspace.arrays[MORE_OUTPUTS[name][0]][...] = cp.asarray(values)
        cp.cuda.Device().synchronize()
        return self

    def enqueue(self) -> None:
        pass


def without_network(
    *, residual_samples: float = 0.3, more_outputs: tuple[str, ...] = ()
) -> GpuEstimator:
    """Return an estimator with a fixed residual in place of a network, which differs so much between rows."""

    def fallback(pair: FramePair) -> StrainFrame:
        raise NotRun(f"the kernels do not support {pair.pre.format}")

    network = _NoNetwork(residual_samples)
    return GpuEstimator("none", 6.4, 4, lambda shape: network, fallback, more_outputs=more_outputs)


def run_kernels_once() -> None:
    """Run all kernels on small frames and compare nothing, for compute-sanitizer."""
    estimator = without_network(more_outputs=tuple(MORE_OUTPUTS))
    for pair in pairs(SMALL[0], STRAINS[1]):
        estimator(pair)
    Persistence(1.0, estimator.average).warm_up()


def kernels(formats: tuple[RfFormat, ...] = FORMATS) -> list[Bound]:
    """Compare stretch, strain and quality with the CPU for every format and motion; no network."""
    worst: dict[str, float] = {}
    estimator = without_network(more_outputs=tuple(MORE_OUTPUTS))
    settled = 1.0
    dtypes = ("int16", "float32")
    for rf_format, (strain, turn_lines), dtype in itertools.product(formats, MOTIONS, dtypes):
        stretch = Stretch(estimator.samples_per_wavelength)
        for pair in pairs(rf_format, strain, turn_lines=turn_lines, dtype=dtype):
            frame, arrays = _with_buffers(estimator, pair)
            wanted = stretch(pair)
            for name in ("pre", "post"):
                difference = relative(arrays[name], getattr(wanted, name))
                worst["stretch"] = max(worst.get("stretch", 0.0), difference)
            residual = ResidualMotion(
                arrays["displacement"] * np.float32(wanted.grid.axial_step_m),
                arrays["strain"],
                frame.grid,
                arrays["lateral_displacement"] * np.float32(wanted.grid.line_pitch_m),
                arrays["lateral_strain"],
                arrays["strain_std"],
            )
            before = compose(wanted.elongation, residual).axial_strain
            motion, matched, correlation = total_motion(wanted, residual, rf_format.wavelength_m)
            settled = min(settled, float((motion.axial_strain != before).mean()))
            for name, image, reference in (
                ("post-warp correlation", frame.displacement_correlation, matched),
                ("strain", frame.axial_strain, motion.axial_strain),
                ("correlation", frame.correlation, correlation),
                ("lateral motion", frame.lateral_displacement_m, motion.lateral_displacement_m),
                ("lateral strain", frame.lateral_strain, motion.lateral_strain),
                ("deviation", frame.axial_strain_std, motion.axial_strain_std),
            ):
                assert image is not None
                assert reference is not None
                worst[name] = max(worst.get(name, 0.0), relative(image, reference))
    assert settled > 0.02, f"strain is changed in {settled:.1%} of the pixels: this checks nothing"
    return [
        Bound(f"{name}, relative RMS difference", difference, limit=1e-4)
        for name, difference in worst.items()
    ]


def _with_buffers(
    estimator: GpuEstimator, pair: FramePair
) -> tuple[StrainFrame, dict[str, np.ndarray]]:
    """Return the strain of a pair, and what went into the network and came out of it."""
    import cupy as cp

    frame, lane = run_pair(estimator, pair)
    arrays = network_arrays(lane.workspace)
    return frame, {name: cp.asnumpy(array) for name, array in arrays.items()}


def engine_parity(engine: str, device: str) -> list[Bound]:
    """Compare the whole path in half precision with the CPU in single precision."""
    on_gpu, on_cpu = gpu_estimator(engine, device), open_estimator(engine, device="cpu")
    errors = {"strain": 0.0, "displacement": 0.0}
    for strain in STRAINS:
        for pair in pairs(PUBLISHED, strain):
            got, wanted = on_gpu(pair), on_cpu(pair)
            for name, image, reference in (
                ("strain", got.axial_strain, wanted.axial_strain),
                ("displacement", got.axial_displacement_m, wanted.axial_displacement_m),
            ):
                errors[name] = max(errors[name], relative(image, reference))
    return [
        Bound("strain, relative RMS difference", errors["strain"], limit=0.01),
        Bound("displacement, relative RMS difference", errors["displacement"], limit=0.01),
    ]


def graphs(engine: str, device: str) -> list[Bound]:
    """Compare replayed graphs with eager launches, and two pairs in flight with one."""
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


def torch_network(engine: str) -> list[Bound]:
    """Compare PyTorch on the GPU with ONNX Runtime on the CPU, eager and as a graph, and time both."""
    import cupy as cp
    import onnxruntime as ort

    from rtelasto.cpu.engine import OnnxEngine
    from rtelasto.gpu.pytorch.engine import TorchEngine
    from rtelasto.pipeline.devices import network_files

    single, half = network_files(engine)
    estimator = without_network(more_outputs=OnnxEngine(single).more_outputs)
    _, lane = run_pair(estimator, FramePair(*frames(PUBLISHED, 0.005, n_frames=2)))
    inputs = {name: cp.asnumpy(lane.workspace.arrays[name]) for name in ("pre", "post")}
    session = ort.InferenceSession(str(single), providers=["CPUExecutionProvider"])
    arrays = network_arrays(lane.workspace)
    names = [name for name in arrays if name not in INPUTS]
    wanted = dict(zip(names, session.run(names, inputs), strict=True))
    bounds = []
    for label, path, limit in (("fp32", single, 1e-4), ("fp16", half, 0.01)):
        if path is None:
            continue
        bound = TorchEngine(path).bind(lane.workspace, lane.stream)
        for eager in (True, False):
            network = Sequence([Stage("engine", bound.enqueue)], lane.stream, eager=eager)
            time_ms = device_time_ms(network.launch, lane.stream)
            how = f"{label} {'eager' if eager else 'captured'}"
            for name in names:
                got = cp.asnumpy(arrays[name])
                bounds.append(Bound(f"{name} {how}", relative(got, wanted[name]), limit=limit))
            bounds.append(Bound(f"time {how}", time_ms, "ms"))
    return bounds
