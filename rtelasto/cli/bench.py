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
from rtelasto.frames.strain import DEFAULT_ENGINE
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
        "rtelasto bench --channel",
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
    engine: str = DEFAULT_ENGINE,
    pairs: int = 50,
    channel: bool = False,
    threads: int | None = None,
    cpu_runtime: str = "onnxruntime",
    device: str = "cpu",
    json_file: Path | None = None,
    force: bool = False,
) -> None:
    """Time the stages of the pipeline on simulated 2608 × 128 int16 frames.

    Two warm-up pairs and the wire itself are not timed. With `--channel`, time the step before these stages
    instead: 128 channels of 1, 3 and 5 plane waves, and IQ pixels, to RF lines, on one core and on all.

    Parameters
    ----------
    engine
        Engine to time.
    pairs
        Number of pairs; with `--channel`, number of frames of every kind.
    channel
        Time channel data and IQ pixels to RF lines instead of the stages; no engine runs.
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
    if channel:
        _bench_channel(pairs, threads, device, json_file)
        return
    with busy(f"timing {pairs} pairs with {engine}"):
        stages = time_stages(
            engine, pairs=pairs, threads=threads, cpu_runtime=cpu_runtime, device=device
        )
    print_stages(f"{engine}, {pairs} pairs", stages)
    console.print(f"{1e3 / stages['total'].p50_ms:.1f} pairs/s")
    if json_file is not None:
        write_json(json_file, {name: asdict(times) for name, times in stages.items()})


def _bench_channel(frames: int, threads: int | None, device: str, json_file: Path | None) -> None:
    from rtelasto.bench.channel import N_CHANNELS, time_channel

    if device not in ("cpu", "gpu"):
        raise RtelastoError(f"device must be cpu or gpu with --channel, got {device}")
    with busy(f"timing {frames} frames of channel data and IQ of every kind"):
        found = time_channel(frames=frames, threads=threads, on_gpu=device == "gpu")
    table = Table(
        "to RF lines",
        title=f"{N_CHANNELS} channels or lines, {frames} frames each",
        title_justify="left",
        box=None,
    )
    for column in ("samples", "cores", "p50 ms", "p90 ms", "processor ms", "frames/s"):
        table.add_column(column, justify="right")
    for row in found:
        kind = "IQ" if row.kind == "iq" else "plane waves: " + str(row.n_angles)
        times = (
            f"{row.times.p50_ms:.1f}",
            f"{row.times.p90_ms:.1f}",
            f"{row.processor_ms:.1f}",
            f"{row.fps:.0f}",
        )
        table.add_row(kind, str(row.n_samples), str(row.cores), *times)
    console.print(table)
    if json_file is not None:
        write_json(json_file, {"conversions": [asdict(row) | {"fps": row.fps} for row in found]})


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
    with OutputFile(path) as temporary:
        text = json.dumps({"written_by": WRITTEN_BY, **content}, indent=1)
        temporary.write_text(text + "\n", "utf-8")
