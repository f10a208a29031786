"""Builds plans: an ONNX file compiled for a GPU by TensorRT or by TensorRT for RTX.

Both libraries have the same interface, so there is one code path; the names used here are common to TensorRT
10 and 11. Networks are strongly typed: the ONNX file defines the precision.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsInt

from rtelasto.errors import RtelastoError
from rtelasto.gpu.plan_cache import write_whole

Library = Literal["tensorrt", "tensorrt_rtx"]
# (fraction done, name of the current step)
Progress = Callable[[float, str], None]


def library_version(library: Library) -> str:
    return version(library.replace("_", "-"))


@lru_cache(maxsize=2)
def logger(library: Library) -> Any:
    """Return the logger of the library, one per process: the library keeps the first logger it gets."""
    trt = importlib.import_module(library)
    return trt.Logger(trt.Logger.ERROR)


def build_plan(
    onnx_model: bytes,
    shape: tuple[int, int],
    library: Library,
    *,
    target: str | None = None,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Compile an ONNX file for frames of one size.

    Parameters
    ----------
    onnx_model
        Contents of the file.
    shape
        (n_lines, n_depths) of the engine's grid.
    library
        Compiles it; the plan runs only with the same library and version.
    target
        Only for TensorRT for RTX: the target compute capability, such as ``"8.6"``, on a machine with or
        without a GPU. None builds for the GPU of this machine.
    timing_cache
        Only for TensorRT: file of its timing measurements, which make the next build faster.
    progress
        Called during the build, from threads of the library.

    Raises
    ------
    RtelastoError
        In one line: the library cannot read the network or cannot build it for this target.
    """
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = importlib.import_module(library)

    builder = trt.Builder(logger(library))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger(library))
    if not parser.parse(onnx_model):
        reasons = "; ".join(parser.get_error(k).desc() for k in range(parser.num_errors))
        raise RtelastoError(f"{library} cannot read the network: {' '.join(reasons.split())}")
    config = builder.create_builder_config()
    # Layers in fp32 need their precision, so no TF32. A graph captures one stream only.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.max_aux_streams = 0
    profile = builder.create_optimization_profile()
    for k in range(network.num_inputs):
        size = trt.Dims2(*shape)
        profile.set_shape(network.get_input(k).name, size, size, size)
    config.add_optimization_profile(profile)
    if library == "tensorrt_rtx":
        _for_rtx(trt, config, target)
    elif target is not None:
        raise RtelastoError(f"target {target}: tensorrt builds for the GPU of this machine only")
    else:
        _use_timing_cache(config, timing_cache)
    if progress is not None:
        config.progress_monitor = _progress_monitor(library, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        where = f"compute capability {target}" if target else "this GPU"
        raise RtelastoError(f"{library} {library_version(library)} cannot build for {where}")
    if library == "tensorrt" and timing_cache is not None:
        write_whole(timing_cache, _contents(config.get_timing_cache().serialize()))
    return _contents(plan)


def _contents(memory: Any) -> bytes:
    """Return the contents of the library's host memory, which supports the buffer protocol."""
    return bytes(memoryview(memory))


def _for_rtx(trt: Any, config: Any, target: str | None) -> None:
    """Set the target, and let the caller allocate memory so that the plan can be captured (RTX only)."""
    config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    name = "CURRENT" if target is None else f"SM{target.replace('.', '')}"
    capability = getattr(trt.ComputeCapability, name, None)
    config.num_compute_capabilities = 1
    if capability is None or not config.set_compute_capability(capability, 0):
        raise RtelastoError(f"target {target}: tensorrt_rtx cannot build for it")


def _use_timing_cache(config: Any, path: Path | None) -> None:
    contents = path.read_bytes() if path is not None and path.exists() else b""
    # Measurements of another version are ignored; they are not an error.
    config.set_timing_cache(config.create_timing_cache(contents), ignore_mismatch=True)


def _progress_monitor(library: Library, progress: Progress) -> Any:
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = importlib.import_module(library)

    class Monitor(trt.IProgressMonitor):
        """Reports the progress of the outermost phase, and the name of the phase within it."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._outermost = ""
            self._steps, self._done = 1, 0

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: SupportsInt) -> None:
            if not parent_phase:
                self._outermost, self._steps, self._done = phase_name, int(num_steps), 0
            progress(self._done / self._steps, phase_name)

        def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
            if phase_name == self._outermost:
                self._done = int(step) + 1
            progress(min(self._done / self._steps, 1.0), phase_name)
            return True

        def phase_finish(self, phase_name: str) -> None:
            if phase_name == self._outermost:
                progress(1.0, phase_name)

    return Monitor()
