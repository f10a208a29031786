"""Measure every speed figure of benchmarks/README.md.

    python -m benchmarks.report [--write] [--quick] [--only stages,peers]

It prints the sections as Markdown; ``--write`` writes them between the markers of benchmarks/README.md. Run
it on an otherwise idle machine: it takes about a quarter of an hour on two cores. ``--quick`` runs every part
briefly, as a test.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks import runtimes, scaling
from benchmarks.measured import write_measured
from benchmarks.peers import compare
from rtelasto.bench.floor import engine_floor, rates_of
from rtelasto.bench.latency import measure_latency
from rtelasto.bench.machine import describe_gpu
from rtelasto.bench.stages import time_stages
from rtelasto.bench.throughput import measure_throughput
from rtelasto.errors import RtelastoError
from rtelasto.host.threads import available_cores
from rtelasto.telemetry.latency import LatencySummary

README = Path(__file__).with_name("README.md")
_ENGINES = ("cnn", "ncc", "am")
_LIVE_FPS = 20.0


def processor() -> str:
    """Return the name of the processor and its relevant instruction sets."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    lines = information.read_text("utf-8").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in pairs}
    flags = fields.get("flags", "").split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(known)})"


def machine(quick: bool) -> str:
    memory = psutil.virtual_memory().total / 2**30
    load = " / ".join(f"{value:.1f}" for value in psutil.getloadavg())
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {processor()}, {available_cores()} cores, "
        f"{memory:.0f} GiB, Python {platform.python_version()}. GPU: {describe_gpu()}. Load averages over "
        f"1, 5 and 15 minutes when the run began: {load}."
    )


def _row(name: str, times: LatencySummary) -> str:
    values = (times.p50_ms, times.p90_ms, times.p99_ms, times.p999_ms, times.max_ms)
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"


_HEAD = "| ms | p50 | p90 | p99 | p99.9 | max |\n| --- | ---: | ---: | ---: | ---: | ---: |"


def stages(quick: bool) -> str:
    measured = {name: time_stages(name, pairs=5 if quick else 100) for name in _ENGINES}
    columns = list(measured["cnn"])
    lines = [
        "| p50 ms | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * len(columns),
        *(
            f"| `{name}` | " + " | ".join(f"{times[c].p50_ms:.2f}" for c in columns) + " |"
            for name, times in measured.items()
        ),
    ]
    cnn = measured["cnn"]
    ratio = measured["ncc"]["engine"].p50_ms / cnn["engine"].p50_ms
    rest = cnn["total"].p50_ms - cnn["engine"].p50_ms
    lines.append(
        f"\nThe engine stage of `cnn` is {ratio:.1f} times as fast as that of `ncc`; all other stages "
        f"of `cnn` together take {rest:.2f} ms."
    )
    return "\n".join(lines)


def live(quick: bool) -> str:
    frames = 40 if quick else 1000
    report = measure_latency("cnn", fps=_LIVE_FPS, frames=frames)
    lines = [
        f"{report.strain_frames} strain frames of {frames} RF frames at {_LIVE_FPS:g} frames/s.\n",
        _HEAD,
        *(_row(name, times) for name, times in report.stages.items()),
        f"\nOther than the engine: {around_engine_ms(report.stages):.2f} ms p50. Jitter against the "
        f"{1e3 / _LIVE_FPS:.0f} ms period: p50 {report.jitter.p50_ms:.2f} ms, p99 "
        f"{report.jitter.p99_ms:.2f} ms. From the start of the process to its first strain frame: "
        f"{report.start_to_first_s:.1f} s. Counters: "
        + ", ".join(f"{name} {count}" for name, count in report.counters.items())
        + ".",
    ]
    return "\n".join(lines)


def around_engine_ms(stages: dict[str, LatencySummary]) -> float:
    """Return the sum of the medians of every stage except the engine and the queue."""
    left_out = ("end to end", "engine", "queue")
    return sum(times.p50_ms for name, times in stages.items() if name not in left_out)


def throughput(quick: bool) -> str:
    seconds, tolerance = (1.0, 0.3) if quick else (5.0, 0.03)
    lines = ["| engine | frames/s without drops | busy ms per frame | floor ms | time / floor |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    notes = ""
    for name in _ENGINES:
        try:
            report = measure_throughput(name, seconds=seconds, tolerance=tolerance)
        except RtelastoError as error:
            lines.append(f"| `{name}` | {error} | – | – | – |")
            continue
        floor = engine_floor(name, rates_of(name))
        if floor is None:
            lines.append(f"| `{name}` | {report.fps:.1f} | {report.busy_ms:.1f} | – | – |")
            continue
        floor_ms, work, rates = 1e3 * floor.floor_s, floor.work, floor.rates
        ratio = 1e3 / report.fps / floor_ms
        lines.append(
            f"| `{name}` | {report.fps:.1f} | {report.busy_ms:.1f} | {floor_ms:.2f} | {ratio:.2f} |"
        )
        notes = (
            f"\nThe floor of `{name}`: {work.operations / 1e9:.2f} GFLOP at "
            f"{rates.multiply_ops_s / 1e9:.0f} GFLOP/s, {work.least_bytes / 1e6:.1f} MB at "
            f"{rates.copy_bytes_s / 1e9:.0f} GB/s; {1e3 * work.layered_s(rates):.2f} ms if every layer "
            "goes through memory."
        )
    return "\n".join(lines) + notes


def memory(quick: bool) -> str:
    frames = 100 if quick else 10_000
    report = measure_latency("cnn", fps=_LIVE_FPS, frames=frames)
    first, last = report.memory_mib
    return (
        f"{frames} frames at {_LIVE_FPS:g} frames/s, {report.strain_frames} strain frames: "
        f"{first:.1f} MiB after the first tenth, {last:.1f} MiB at the end, trend "
        f"{report.memory_slope_mib_per_1000:+.3f} MiB per 1,000 frames; end to end p50 "
        f"{report.stages['end to end'].p50_ms:.1f} ms, p99 {report.stages['end to end'].p99_ms:.1f} ms."
    )


SECTIONS: dict[str, tuple[str, Callable[[bool], str]]] = {
    "machine": ("Machine", machine),
    "stages": ("Stages without the wire (`rtelasto bench`)", stages),
    "live": (f"Latency (`rtelasto bench latency --fps {_LIVE_FPS:g}`)", live),
    "throughput": ("Throughput and floor (`rtelasto bench throughput`)", throughput),
    "runtimes": (
        "CPU runtimes (`python -m benchmarks.runtimes`)",
        lambda quick: runtimes.table(runtimes.compare_runtimes("cnn", 3 if quick else 40)),
    ),
    "scaling": (
        "Frame size (`python -m benchmarks.scaling`)",
        lambda quick: scaling.table(scaling.measure_scaling("cnn", 2 if quick else 15)),
    ),
    "peers": (
        "Peers (`python -m benchmarks.peers`)",
        lambda quick: compare.table(
            compare.compare_peers(list(compare.PEERS), 1 if quick else 7, available_cores())
        ),
    ),
    "memory": (f"Memory (`rtelasto bench latency --fps {_LIVE_FPS:g} --frames 10000`)", memory),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every speed figure of the README.")
    parser.add_argument("--write", action="store_true", help=f"write them to {README.name}")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"no section called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    written = []
    for name in chosen:
        heading, measure = SECTIONS[name]
        section = f"### {heading}\n\n{measure(options.quick)}"
        print(section + "\n", flush=True)
        written.append(section)
    if options.write:
        write_measured(README, "measured", "\n\n".join(written))


if __name__ == "__main__":
    main()
