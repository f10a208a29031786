"""``rtelasto doctor``: what this machine can run, and how fast."""

from __future__ import annotations

from rtelasto.cli.terminal import console, print_table
from rtelasto.machine import describe_machine
from rtelasto.timing import time_stages


def doctor(*, pairs: int = 5) -> None:
    """Say what this machine can run: libraries, GPU, threads, and the time a pair takes on each engine.

    Parameters
    ----------
    pairs
        Pairs of 2608 × 128 to time on each engine.
    """
    from rtelasto.registry import engine_names

    print_table("This machine", describe_machine())
    console.print()
    rows = {}
    for name in engine_names():
        stages = time_stages(name, pairs=pairs)
        rows[name] = f"{stages['total'].p50_ms:.0f} ms a pair of 2608 × 128"
    print_table("Engines on the CPU", rows)
