"""``rtelasto doctor``: what this machine can run, and how fast; or what is wrong with a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rtelasto.bench.machine import describe_machine
from rtelasto.bench.stages import time_stages
from rtelasto.cli.terminal import busy, console, print_table, stop_on_signals
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import DEFAULT_ENGINE
from rtelasto.host.compiled import n_compiled, where_kept
from rtelasto.host.threads import check_threads
from rtelasto.pipeline.devices import Choice, choose


def doctor(
    *,
    pairs: int = 5,
    warm: bool = False,
    threads: int | None = None,
    rf: str | None = None,
    keys: Path | None = None,
    seconds: float = 5.0,
) -> None:
    """Show what this machine can run: libraries, GPU, threads, and the time per pair of each engine.

    With --rf, look at a stream of RF frames instead, and say what is wrong with it and what to do.

    Parameters
    ----------
    pairs
        Number of pairs of 2608 × 128 to time on each engine.
    warm
        Time nothing; compile everything that commands would compile on first use on this processor.
    threads
        Cores to use; by default all that are available to this process.
    rf
        Endpoint of the sender of RF frames to look at, such as tcp://127.0.0.1:5555.
    keys
        Folder of keys (rtelasto keys) for a sender on another machine.
    seconds
        How long to look at the stream, in s.
    """
    check_threads(threads)
    if rf is not None:
        _look_at_stream(rf, keys, seconds)
        return
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
    choice = choose(DEFAULT_ENGINE)
    print_table(f"Networks run on: {choice.device}", dict(enumerate_reasons(choice)))
    if choice.device == "gpu":
        with busy("getting the GPU ready"):
            stages = time_stages(DEFAULT_ENGINE, pairs=max(pairs, 50), device="gpu")
        console.print(f"  {DEFAULT_ENGINE}  {stages['total'].p50_ms:.2f} ms per pair of 2608 × 128")


def _look_at_stream(rf: str, keys: Path | None, seconds: float) -> None:
    if not 0.5 <= seconds <= 60.0:
        raise RtelastoError(f"seconds must lie in 0.5…60 s, got {seconds:g}")
    from rtelasto.live.stream_check.check import StreamCheck
    from rtelasto.transport.receivers import Receiver

    check = StreamCheck(rf)
    with (
        stop_on_signals() as stop,
        busy(f"looking at {rf} for {seconds:g} s"),
        Receiver(rf, counters=check.counters, keys=keys, deliver=check.add) as receiver,
    ):
        stop.wait(seconds)
        receiver.check()
    with busy("judging the frames"):
        report = check.report()
    print_table("The stream", {"from": rf} | report.facts)
    console.print()
    for finding in report.findings:
        console.print(f"{finding.name}: {finding.sentence}")
        console.print(f"    {finding.advice}")
    console.print(
        "docs/troubleshooting.md has more on each"
        if report.findings
        else "nothing is wrong with it"
    )


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
