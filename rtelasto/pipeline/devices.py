"""Selects the device and runtime of an engine, and records the reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.gpu.probe import DEVICES, RUNTIMES, find_gpu
from rtelasto.pipeline.engines import CLASSICAL, model_path, open_engine

if TYPE_CHECKING:
    from rtelasto.gpu.estimator import GpuEstimator


@dataclass(frozen=True, slots=True)
class Choice:
    """A device, the runtimes to try on it in order, and the reasons, one line each."""

    device: str
    runtimes: tuple[str, ...]
    reasons: tuple[str, ...]
    insisted: bool = False
    """Whether the CPU will not do where the device fails."""


def choose(engine: str, device: str = "auto") -> Choice:
    """Choose where an engine runs.

    Parameters
    ----------
    engine
        Its name, or the path of an ONNX file.
    device
        ``auto`` uses the GPU if there is one with a runtime for networks, else the CPU; ``gpu`` requires
        the GPU; the name of a runtime requires that runtime, and ``torch_compile`` requires PyTorch and fuses
        its operations by torch.compile.

    Raises
    ------
    RtelastoError
        If a required device or runtime is not available.
    """
    if device not in DEVICES:
        raise RtelastoError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    if device == "cpu":
        return Choice("cpu", (), ("the CPU was requested",))
    if engine in CLASSICAL:
        if device != "auto":
            raise RtelastoError(f"device {device}: {engine} runs on the CPU only")
        return Choice("cpu", (), (f"{engine} runs on the CPU only",))
    from rtelasto.gpu.runtimes import runtime_states

    try:
        reasons = [f"GPU: {find_gpu()}"]
    except RtelastoError as error:
        if device != "auto":
            raise RtelastoError(f"device {device}: {error}") from None
        return Choice("cpu", (), (str(error),))
    states = runtime_states()
    reasons += [f"{name}: {state or 'can be used'}" for name, state in states.items()]
    # The way to run PyTorch needs what PyTorch needs.
    states["torch_compile"] = states["torch"]
    wanted = RUNTIMES if device in ("auto", "gpu") else (device,)
    usable = tuple(name for name in wanted if not states[name])
    if usable:
        return Choice("gpu", usable, tuple(reasons), insisted=device != "auto")
    if device != "auto":
        missing = "; ".join(f"{name} {states[name]}" for name in wanted)
        raise RtelastoError(f"device {device}: no runtime for networks ({missing})")
    return Choice("cpu", (), tuple(reasons))


def open_estimator(
    engine: str,
    *,
    device: str = "auto",
    threads: int | None = None,
    cpu_runtime: str = "onnxruntime",
    history: int = 16,
    progress: Callable[[float, str], None] | None = None,
) -> CpuEstimator | GpuEstimator:
    """Open an estimator on the device that :func:`choose` selects.

    Parameters
    ----------
    engine
        A name from ``engine_names()``, or the path of an ONNX file.
    device
        One of :data:`DEVICES`.
    threads
        Cores to use on the CPU, in kernels and in a network's runtime (`open_engine`).
    cpu_runtime
        Runtime of a network on the CPU: ``onnxruntime``, ``openvino`` or ``openvino-bf16``.
    history
        How many frames back pairs reach.
    progress
        Called with the fraction done and a phase while a plan is built.

    Raises
    ------
    RtelastoError
        If there is no such engine, or a required device or runtime is not available.
    """
    choice = choose(engine, device)
    on_cpu = open_engine(engine, threads=threads, runtime=cpu_runtime)
    if choice.device == "cpu":
        return CpuEstimator(on_cpu)
    from rtelasto.cpu.engine import OnnxEngine
    from rtelasto.gpu.estimator import GpuEstimator
    from rtelasto.gpu.runtimes import load_library, open_gpu_engine

    assert isinstance(on_cpu, OnnxEngine)
    path, half_path = network_files(engine)
    return GpuEstimator(
        on_cpu.name,
        on_cpu.samples_per_wavelength,
        on_cpu.axial_stride,
        lambda shape: open_gpu_engine(path, half_path, shape, choice.runtimes, progress=progress),
        CpuEstimator(on_cpu),
        history,
        on_cpu.more_outputs,
        may_fall_back=not choice.insisted,
        prepare=lambda: load_library(choice.runtimes[0]),
    )


def network_files(engine: str) -> tuple[Path, Path | None]:
    """Return the ONNX file of a network and its half-precision variant, if it has one.

    Raises
    ------
    RtelastoError
        If the name is not that of a network.
    """
    from rtelasto_engines import shipped_models

    path, shipped = model_path(engine), shipped_models().get(engine)
    if path is not None:
        half_path = None if shipped is None else shipped.half_path
        return path, half_path if half_path is not None and half_path.exists() else None
    raise RtelastoError(f"engine must be a network or an .onnx file, got {engine!r}")
