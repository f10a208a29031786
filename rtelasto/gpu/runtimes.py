"""Selects the library that runs a network on the GPU, in order of preference."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from rtelasto.errors import RtelastoError
from rtelasto.gpu.engine import GpuEngine, OrtEngine, PlanEngine
from rtelasto.gpu.plan import Library, Progress, build_plan, library_version
from rtelasto.gpu.plan_cache import PlanKey, cache_folder, cached_plan
from rtelasto.gpu.probe import RUNTIMES, find_gpu, installed

_log = logging.getLogger(__name__)


def runtime_states() -> dict[str, str]:
    """Return each of ``RUNTIMES`` and why it cannot be used; empty if it can."""
    import onnxruntime as ort

    extras = {"tensorrt": "tensorrt", "tensorrt_rtx": "gpu"}
    states = {
        name: "" if installed(name) else f"not installed: pip install 'rtelasto[{extra}]'"
        for name, extra in extras.items()
    }

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
) -> GpuEngine:
    """Open a network in the first of the runtimes that accepts it on this GPU.

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
        If none of them accepts it; the message gives the reason of each.
    """
    reasons = []
    for runtime in runtimes:
        try:
            engine: GpuEngine
            if runtime == "onnxruntime":
                engine = OrtEngine(half_path or path)
            else:
                plan, _ = plan_for(path, half_path, shape, runtime, progress=progress)  # type: ignore[arg-type]
                engine = PlanEngine(plan, runtime)  # type: ignore[arg-type]
        except RtelastoError as error:
            reasons.append(f"{runtime}: {error}")
            _log.warning("skipped %s: %s", runtime, error)
        else:
            _log.info("%s runs %s", runtime, path.stem)
            return engine
    raise RtelastoError(f"no runtime accepts {path.name} on this GPU ({'; '.join(reasons)})")


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
