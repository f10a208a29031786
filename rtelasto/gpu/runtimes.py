"""Selects the library that runs a network on the GPU, in order of preference."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtelasto.errors import RtelastoError, first_line
from rtelasto.gpu.engine import BoundEngine, GpuEngine, OrtEngine, PlanEngine
from rtelasto.gpu.plan import Library, Progress, build_plan, library_version
from rtelasto.gpu.plan_cache import PlanKey, cache_folder, cached_plan
from rtelasto.gpu.probe import RUNTIMES, find_gpu, installed
from rtelasto.gpu.workspace import Workspace

_log = logging.getLogger(__name__)


def runtime_states() -> dict[str, str]:
    """Return each of ``RUNTIMES`` and why it cannot be used; empty if it can."""
    import onnxruntime as ort

    extras = {"tensorrt": "tensorrt", "tensorrt_rtx": "gpu", "torch": "torch"}
    states = {
        name: "" if installed(name) else f"not installed: pip install 'rtelasto[{extra}]'"
        for name, extra in extras.items()
    }
    # Without importing it, which takes seconds.
    if not states["torch"] and version("torch").endswith("+cpu"):
        states["torch"] = "built without CUDA: pip uninstall torch && pip install 'rtelasto[torch]'"
    if not states["torch"] and not installed("onnx"):
        states["torch"] = "without the onnx package: pip install 'rtelasto[torch]'"

    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    states["onnxruntime"] = (
        ""
        if has_cuda
        else "has no CUDA provider: pip uninstall onnxruntime && pip install onnxruntime-gpu"
    )
    assert tuple(states) == RUNTIMES
    return states


def plan_library(wanted: str | None = None) -> Library:
    """Return the library that compiles plans: the requested one, or the first that is installed.

    Raises
    ------
    RtelastoError
        If it, or any of them, is not installed.
    """
    libraries: tuple[Library, ...] = ("tensorrt", "tensorrt_rtx")
    if wanted is not None and wanted not in libraries:
        raise RtelastoError(f"library must be one of {', '.join(libraries)}, got {wanted!r}")
    states = runtime_states()
    for library in libraries:
        if wanted in (None, library) and not states[library]:
            return library
    missing = [name for name in libraries if wanted in (None, name)]
    raise RtelastoError("; ".join(f"{name} is {states[name]}" for name in missing))


def open_gpu_engine(
    path: Path,
    half_path: Path | None,
    shape: tuple[int, int],
    runtimes: tuple[str, ...],
    *,
    progress: Progress | None = None,
) -> FirstThatRuns:
    """Return a network that runs in the first of the runtimes that can run it on this GPU.

    Parameters
    ----------
    path
        Its ONNX file.
    half_path
        Its half-precision variant, if there is one, which the runtimes use instead.
    shape
        (n_lines, n_depths) of the engine's grid.
    runtimes
        Names from :data:`RUNTIMES`; one that fails is skipped with a warning in the log.

    Raises
    ------
    RtelastoError
        If there is no GPU.
    """
    find_gpu()
    source = half_path or path

    def with_plan(library: Library) -> GpuEngine:
        plan, plan_path = plan_for(path, half_path, shape, library, progress=progress)
        return PlanEngine(plan, library, plan_path.with_suffix(".kernels"))

    def with_torch(*, compiled: bool) -> GpuEngine:
        from rtelasto.gpu.pytorch.engine import TorchEngine

        return TorchEngine(source, compiled=compiled)

    ways: dict[str, Callable[[], GpuEngine]] = {
        "tensorrt": partial(with_plan, "tensorrt"),
        "tensorrt_rtx": partial(with_plan, "tensorrt_rtx"),
        "torch": partial(with_torch, compiled=False),
        "torch_compile": partial(with_torch, compiled=True),
        "onnxruntime": lambda: OrtEngine(source),
    }
    return FirstThatRuns(path.name, {name: ways[name] for name in runtimes})


def load_library(runtime: str) -> None:
    """Import the library of a runtime, which can take seconds; errors are reported when it is opened."""
    torch_engine = "rtelasto.gpu.pytorch.engine"
    modules = {"torch": torch_engine, "torch_compile": torch_engine}
    with suppress(Exception):
        importlib.import_module(modules.get(runtime, runtime))


class FirstThatRuns:
    """Runtimes in order of preference, of which the first that can run a network on this GPU is used.

    A runtime is tried to the end: opened, bound to the buffers of a pair, and started once. One that fails
    (no plan, no memory, a provider that is missing) is skipped with a warning in the log.

    Parameters
    ----------
    network
        Its name, for messages.
    ways
        A function that opens each runtime, by name.
    """

    def __init__(self, network: str, ways: dict[str, Callable[[], GpuEngine]]) -> None:
        self._network = network
        self._ways = ways
        self._opened: GpuEngine | None = None
        self._reasons: list[str] = []
        self.runtime = ""

    def bind(self, workspace: Workspace, stream: Any) -> BoundEngine:
        """Bind the network to the buffers of a pair, in the runtime that earlier pairs use.

        Raises
        ------
        RtelastoError
            If none of the runtimes can run it; the message gives the reason of each.
        """
        while self._ways:
            name = next(iter(self._ways))
            try:
                if self._opened is None:
                    self._opened = self._ways[name]()
                bound = self._opened.bind(workspace, stream)
                with stream:
                    bound.enqueue()
                stream.synchronize()
                if isinstance(self._opened, PlanEngine):
                    self._opened.keep_kernels()
            except Exception as error:  # every library raises its own types
                reason = first_line(error)
                self._reasons.append(f"{name}: {reason}")
                _log.warning("skipped %s: %s", name, reason)
                _log.debug("%s failed", name, exc_info=True)
                self._opened = None
                del self._ways[name]
            else:
                if not self.runtime:
                    _log.info("%s runs %s", name, self._network)
                self.runtime = name
                return bound
        reasons = "; ".join(self._reasons)
        raise RtelastoError(f"no runtime runs {self._network} on this GPU ({reasons})")


def plan_for(
    path: Path,
    half_path: Path | None,
    shape: tuple[int, int],
    library: Library,
    *,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> tuple[bytes, Path]:
    """Return the plan of a network on this GPU, from the cache or newly built, and its file.

    Raises
    ------
    RtelastoError
        If there is no GPU, the plan in the cache is corrupt, or the library cannot build one.
    """
    gpu = find_gpu()
    source = half_path or path
    onnx_model = source.read_bytes()
    major, minor = gpu.compute_capability
    key = PlanKey(
        path.stem,
        hashlib.sha256(onnx_model).hexdigest(),
        library,
        library_version(library),
        f"{gpu.name} {major}.{minor}",
        gpu.driver,
        "fp16" if half_path else "fp32",
        shape,
    )

    def build() -> bytes:
        _log.info("building a plan of %s for %s × %s with %s", path.stem, *shape[::-1], library)
        timings = f"timings-{library}-{key.runtime_version}-{major}{minor}.cache"
        return build_plan(
            onnx_model, shape, library, timing_cache=cache_folder() / timings, progress=progress
        )

    return cached_plan(key, build, rebuild=rebuild)
