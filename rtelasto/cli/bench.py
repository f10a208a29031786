"""``rtelasto bench``: where the time of a pair goes on this machine, and below it ``accuracy``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from cyclopts import App
from rich.table import Table

from rtelasto.cli.terminal import console, examples, notes
from rtelasto.errors import RtelastoError

app = App(
    name="bench",
    help="Time the stages of the pipeline, or measure the engines' accuracy.",
    help_format="markdown",
    help_epilogue=examples(
        "rtelasto bench",
        "rtelasto bench --engine ncc --pairs 100 --json-file bench.json",
        "rtelasto bench accuracy --published 2 --random 0",
    ),
)
# By import path and without a help of its own here: the function's, with its examples, is shown.
app.command("rtelasto.cli.accuracy:accuracy", name="accuracy")


@app.default
def bench(
    *,
    engine: str = "cnn",
    pairs: int = 50,
    threads: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Time the stages of the pipeline on simulated 2608 × 128 int16 frames.

    Two pairs warm up and are left out, as is the wire itself.

    Parameters
    ----------
    engine
        Engine to time.
    pairs
        How many pairs.
    threads
        Threads of a network's runtime; by default one per core.
    json_file
        Also write the figures here.
    """
    # Not at the top: the list of commands imports this module.
    from rtelasto.timing import time_stages

    if pairs < 1:
        raise RtelastoError(f"pairs must be at least 1, got {pairs}")
    with notes.status(f"timing {pairs} pairs with {engine}"):
        stages = time_stages(engine, pairs=pairs, threads=threads)
    table = Table("stage", "p50 ms", "p99 ms", "max ms", title=f"{engine}, {pairs} pairs", box=None)
    for name, times in stages.items():
        table.add_row(name, f"{times.p50_ms:.2f}", f"{times.p99_ms:.2f}", f"{times.max_ms:.2f}")
    console.print(table)
    console.print(f"{1e3 / stages['total'].p50_ms:.1f} pairs/s")
    if json_file is not None:
        try:
            json_file.write_text(
                json.dumps({name: asdict(times) for name, times in stages.items()}, indent=1) + "\n"
            )
        except OSError as error:
            raise RtelastoError(f"{json_file}: cannot be written ({error.strerror})") from None
