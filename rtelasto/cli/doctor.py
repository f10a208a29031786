"""``rtelasto doctor``: what this machine can run, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rtelasto.bench.machine import describe_machine
from rtelasto.bench.stages import time_stages
from rtelasto.cli.terminal import busy, console, print_table
from rtelasto.host.compiled import n_compiled, where_kept
from rtelasto.host.threads import check_threads
from rtelasto.pipeline.devices import Choice, choose


def doctor(*, pairs: int = 5, warm: bool = False, threads: int | None = None) -> None:
    """Show what this machine can run: libraries, GPU, threads, and the time per pair of each engine.

    Parameters
    ----------
    pairs
        Number of pairs of 2608 × 128 to time on each engine.
    warm
        Time nothing; compile everything that commands would compile on first use on this processor.
    threads
        Cores to use; by default all that are available to this process.
    """
    check_threads(threads)
    if warm:
        _warm(threads)
        return
    from rtelasto.cpu.network.runtimes import usable_runtimes
    from rtelasto.pipeline.engines import engine_names, model_path

    print_table("This machine", describe_machine() | {"compiled code": where_kept()})
    console.print()
    rows = {}
    for name in engine_names():
        for runtime, obstacle in (usable_runtimes() if model_path(name) else {"": ""}).items():
            label = f"{name}, {runtime}" if runtime else name
            if obstacle:
                rows[label] = obstacle
                continue
            with busy(f"timing {label}"):
                stages = time_stages(
                    name, pairs=pairs, threads=threads, cpu_runtime=runtime or "onnxruntime"
                )
            rows[label] = f"{stages['total'].p50_ms:.0f} ms per pair of 2608 × 128"
    print_table("Engines on the CPU (a network's runtime: --cpu-runtime)", rows)
    console.print()
    choice = choose("cnn")
    print_table(f"Networks run on: {choice.device}", dict(enumerate_reasons(choice)))
    if choice.device == "gpu":
        with busy("getting the GPU ready"):
            stages = time_stages("cnn", pairs=max(pairs, 50), device="gpu")
        console.print(f"  cnn  {stages['total'].p50_ms:.2f} ms per pair of 2608 × 128")


def _warm(threads: int | None) -> None:
    from rtelasto.bench.warm import compile_everything

    begun_s = time.monotonic()
    with busy("compiling for this processor"):
        compile_everything(threads=threads)
    seconds, compiled = time.monotonic() - begun_s, n_compiled()
    done = (
        f"{compiled} kernels compiled in {seconds:.0f} s" if compiled else "nothing left to compile"
    )
    console.print(f"{done}; cached in {where_kept()}")


def enumerate_reasons(choice: Choice) -> Iterator[tuple[str, str]]:
    """Yield what was tried, in order, and the result of each."""
    for reason in choice.reasons:
        name, separator, finding = reason.partition(": ")
        yield (name, finding) if separator else ("because", reason)
    if choice.runtimes:
        yield "tried in this order", ", ".join(choice.runtimes)
