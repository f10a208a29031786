"""``rtelasto engines``: list the engines; its subcommand ``build`` compiles one for a GPU."""

from __future__ import annotations

from cyclopts import App
from rich.progress import Progress

from rtelasto.cli.terminal import console, examples, notes
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import DEFAULT_ENGINE

app = App(
    name="engines",
    help="List the engines that --engine can name, or compile one for this machine's GPU.",
    help_format="markdown",
    help_epilogue=examples(
        "rtelasto engines",
        "rtelasto engines build",
        "rtelasto engines build cnn-lateral --lines 192 --samples 2662 --library tensorrt_rtx",
    ),
)


@app.default
def engines() -> None:
    """List the engines that --engine can name."""
    from rtelasto.pipeline.engines import engine_names

    names = engine_names()
    width = max(map(len, names))
    for name, summary in names.items():
        console.print(f"{name:{width}} {summary}", soft_wrap=True)


@app.command
def build(
    engine: str = DEFAULT_ENGINE,
    *,
    lines: int = 128,
    samples: int = 2608,
    library: str | None = None,
    fp32: bool = False,
    rebuild: bool = False,
) -> None:
    """Compile a network for this machine's GPU, ahead of the first run.

    `run` does the same when it needs a plan that does not exist, and frames wait meanwhile. Plans are
    stored in the user's cache folder, one for each network, library version, GPU, driver, precision and
    size. Building an existing plan does nothing.

    Parameters
    ----------
    engine
        The network: a shipped one, or an .onnx file.
    lines
        Lines of a frame.
    samples
        Samples of a line on the engine's grid, 6.4 per wavelength.
    library
        tensorrt or tensorrt_rtx; by default the first one that is installed.
    fp32
        Compile the single-precision network instead of its half-precision variant.
    rebuild
        Compile it even if the plan exists, for example because it is damaged.
    """
    from rtelasto.frames.rf import MAX_LINES, MAX_SAMPLES
    from rtelasto.gpu.probe import find_gpu
    from rtelasto.gpu.runtimes import plan_for, plan_library
    from rtelasto.pipeline.devices import network_files

    for name, value, low, high in (
        ("lines", lines, 4, MAX_LINES),
        ("samples", samples, 64, MAX_SAMPLES),
    ):
        if not low <= value <= high:
            raise RtelastoError(f"{name} must lie in {low}…{high}, got {value}")
    path, half_path = network_files(engine)
    if not path.is_file():
        raise RtelastoError(f"{path}: no such file")
    gpu = find_gpu()
    chosen = plan_library(library)
    notes.print(f"{engine} for {samples} × {lines} with {chosen} on {gpu}")
    with Progress(console=notes, transient=True) as bar:
        task = bar.add_task("compiling", total=1.0)
        _, plan_path = plan_for(
            path,
            None if fp32 else half_path,
            (lines, samples),
            chosen,
            rebuild=rebuild,
            progress=lambda done, phase: bar.update(task, completed=done, description=phase),
        )
    console.print(str(plan_path), soft_wrap=True)
