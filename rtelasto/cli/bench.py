"""``rtelasto bench``: time each stage of a pair on this machine; its subcommands measure more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.table import Table

from rtelasto.cli.terminal import busy, console, examples
from rtelasto.errors import RtelastoError
from rtelasto.host.threads import check_threads
from rtelasto.sinks.output_check import FIGURES, WRITTEN_BY, check_outputs
from rtelasto.sinks.output_file import OutputFile
from rtelasto.telemetry.latency import LatencySummary

app = App(
    name="bench",
    help="Time the pipeline on this machine, or measure the engines' accuracy.",
    help_format="markdown",
    help_epilogue=examples(
        "rtelasto bench",
        "rtelasto bench --engine ncc --pairs 100 --json-file bench.json",
        "rtelasto bench latency --fps 20",
        "rtelasto bench throughput",
        "rtelasto bench accuracy --published 2 --random 0",
    ),
)
# By import path and without help text here: the help is the function's own, with its examples.
app.command("rtelasto.cli.accuracy:accuracy", name="accuracy")
app.command("rtelasto.cli.bench_live:latency", name="latency")
app.command("rtelasto.cli.bench_live:throughput", name="throughput")


@app.default
def bench(
    *,
    engine: str = "cnn",
    pairs: int = 50,
    threads: int | None = None,
    cpu_runtime: str = "onnxruntime",
    device: str = "cpu",
    json_file: Path | None = None,
    force: bool = False,
) -> None:
    """Time the stages of the pipeline on simulated 2608 × 128 int16 frames.

    Two warm-up pairs and the wire itself are not timed.

    Parameters
    ----------
    engine
        Engine to time.
    pairs
        Number of pairs.
    threads
        Cores to use; by default all that are available to this process.
    cpu_runtime
        Runtime of a network on the CPU: onnxruntime, openvino, openvino-bf16.
    device
        Where the network runs, as for `rtelasto run`: cpu, gpu, auto, …
    json_file
        Also write the figures to this file.
    force
        Replace an existing file even if rtelasto did not write it.
    """
    # Not at the top: this module is imported for the list of commands.
    from rtelasto.bench.stages import time_stages

    check_threads(threads)
    if pairs < 1:
        raise RtelastoError(f"pairs must be at least 1, got {pairs}")
    check_outputs(("--json-file", json_file, FIGURES), force=force)
    with busy(f"timing {pairs} pairs with {engine}"):
        stages = time_stages(
            engine, pairs=pairs, threads=threads, cpu_runtime=cpu_runtime, device=device
        )
    print_stages(f"{engine}, {pairs} pairs", stages)
    console.print(f"{1e3 / stages['total'].p50_ms:.1f} pairs/s")
    if json_file is not None:
        write_json(json_file, {name: asdict(times) for name, times in stages.items()})


def print_stages(title: str, stages: Mapping[str, LatencySummary]) -> None:
    """Print a table of times in ms, one row per stage."""
    table = Table("stage, ms", title=title, title_justify="left", box=None)
    for column in ("p50", "p90", "p99", "p99.9", "max"):
        table.add_column(column, justify="right")
    for name, times in stages.items():
        values = (times.p50_ms, times.p90_ms, times.p99_ms, times.p999_ms, times.max_ms)
        table.add_row(name, *(f"{value:.2f}" for value in values))
    console.print(table)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write figures to a file, ``written_by`` first; raise RtelastoError if it cannot be written."""
    output = OutputFile(path)
    try:
        text = json.dumps({"written_by": WRITTEN_BY, **content}, indent=1)
        output.temporary.write_text(text + "\n", "utf-8")
    except OSError as error:
        output.discard()
        raise output.failure(error) from error
    except BaseException:
        output.discard()
        raise
    output.commit()
