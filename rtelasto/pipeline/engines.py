"""Opens engines by name: the classical ones of this package and the networks shipped as ONNX files."""

from __future__ import annotations

from pathlib import Path

from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import StrainEngine
from rtelasto.host.threads import limit_threads

CLASSICAL = {
    "ncc": "windowed normalized cross-correlation, least-squares strain",
    "am": "regularised analytic minimisation (Rivaz et al. 2011), Kalman-smoothed strain",
}


def engine_names() -> dict[str, str]:
    """Return the names of all engines, each with a description of one line."""
    from rtelasto_engines import shipped_models

    networks = {name: card.summary for name, card in shipped_models().items()}
    return {**networks, **CLASSICAL}


def open_engine(
    name: str, *, threads: int | None = None, runtime: str = "onnxruntime"
) -> StrainEngine:
    """Open an engine on the CPU.

    Parameters
    ----------
    name
        A name from :func:`engine_names`, or the path of an ONNX file that follows this project's contract
        (``docs/engines.md``).
    threads
        Cores to use, in this engine's runtime and from now on in all kernels of this process; None uses
        every core, or keeps a limit that was set before.
    runtime
        Runtime of a network: onnxruntime, openvino or openvino-bf16 (`rtelasto.cpu.network.runtimes`).

    Raises
    ------
    RtelastoError
        If there is no such engine, the ONNX file cannot be read or breaks the contract, the runtime is not
        available, or ``threads`` is not a valid number of threads.
    """
    limit_threads(threads)
    if name == "ncc":
        from rtelasto.cpu.classical.ncc import NccEngine

        return NccEngine()
    if name == "am":
        from rtelasto.cpu.classical.am import AmEngine

        return AmEngine()
    path = model_path(name)
    if path is None:
        raise RtelastoError(
            f"engine must be one of {', '.join(engine_names())} or an .onnx file, got {name!r}"
        )
    from rtelasto.cpu.engine import OnnxEngine
    from rtelasto.cpu.staged_engine import StagedEngine

    stages = _stages(name, path)
    if stages and runtime == "onnxruntime":
        return StagedEngine(path, stages, threads=threads)
    return OnnxEngine(path, threads=threads, runtime=runtime)


def model_path(name: str) -> Path | None:
    """Return the ONNX file of a network, shipped or named by its path; None for any other name."""
    from rtelasto_engines import shipped_models

    models = shipped_models()
    if name in models:
        return models[name].path
    return Path(name) if name.endswith(".onnx") else None


def _stages(name: str, path: Path) -> tuple[Path, ...]:
    """Return the files of both stages: those that are shipped, or beside an ONNX file; or nothing."""
    from rtelasto_engines import shipped_models

    models = shipped_models()
    if name in models:
        return models[name].stages
    beside = path.with_suffix(".tracking.onnx"), path.with_suffix(".strain.onnx")
    return beside if all(stage.exists() for stage in beside) else ()
