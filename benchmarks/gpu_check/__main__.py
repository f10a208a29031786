"""Checks and measures the GPU path on this machine.

python -m benchmarks.gpu_check --json gpu.json

It measures the stages by CUDA events, each as a separate graph, 300 launches after 20, and latency and
throughput with the processes of ``rtelasto bench`` on loopback, 2608 × 128 int16. It compares the results
with the CPU back-end and with the targets of the project for a data-centre card; a smaller card may miss the
time targets and still be correct. It needs no internet connection, and scikit-fem only for the accuracy
check. The exit code is 1 if a check failed, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from benchmarks.gpu_check import parity, speed
from benchmarks.gpu_check.report import (
    Bound,
    NotRun,
    Outcome,
    print_outcomes,
    run_check,
    write_outcomes,
)
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.gpu.probe import DEVICES, find_gpu

_SMALL = (
    RfFormat(
        n_lines=33, n_samples=601, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    ),
)
_SANITIZER_TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
_PACKAGES = ("rtelasto", "cupy-cuda13x", "tensorrt", "tensorrt-rtx", "onnxruntime-gpu")


def checks(engine: str, device: str) -> dict[str, Callable[[], list[Bound]]]:
    """Return every check by name, the quick and most informative ones first."""
    program = shutil.which("compute-sanitizer")

    def sanitizer(tool: str) -> list[Bound]:
        if program is None:
            raise NotRun("compute-sanitizer is not on the path (it comes with the CUDA toolkit)")
        return parity.sanitizer(program, tool)

    return {
        "kernels against the CPU": parity.kernels,
        "engine against the CPU": lambda: parity.engine_parity(engine, device),
        "graphs": lambda: parity.graphs(engine, device),
        "accuracy": lambda: parity.accuracy(engine, device),
        "stages and floor": lambda: speed.stage_times(engine, device),
        "rate without the wire": lambda: speed.rate_without_wire(engine, device),
        "memory over 10,000 frames": lambda: speed.memory(engine, device),
        "latency on the wire": lambda: speed.latency(engine, device),
        "throughput on the wire": lambda: speed.throughput(engine, device),
        **{f"compute-sanitizer {tool}": partial(sanitizer, tool) for tool in _SANITIZER_TOOLS},
    }


def machine() -> dict[str, str]:
    """Describe the machine."""
    rows = {"GPU": str(find_gpu()), "system": f"{platform.platform()}, {platform.processor()}"}
    for package in _PACKAGES:
        try:
            rows[package] = version(package)
        except PackageNotFoundError:
            rows[package] = "not installed"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and measure the GPU path.")
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--device", default="gpu", choices=[d for d in DEVICES if d != "cpu"])
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--only-kernels", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        rows = machine()
    except RtelastoError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        sys.exit(2)
    if options.only_kernels:
        outcome = run_check("kernels", lambda: parity.kernels(_SMALL))
        print(outcome.state, outcome.reason, *outcome.bounds, sep="\n")
        sys.exit(0 if outcome.state == "passed" else 3)
    console = Console(highlight=False, markup=False)
    outcomes: list[Outcome] = []
    for name, check in checks(options.engine, options.device).items():
        if options.only and not any(text in name for text in options.only):
            outcomes.append(Outcome(name, "not run", reason="not selected"))
            continue
        with console.status(name):
            outcomes.append(run_check(name, check))
    print_outcomes(outcomes, rows, console)
    if options.json is not None:
        write_outcomes(options.json, outcomes, rows)
    sys.exit(any(outcome.state == "FAILED" for outcome in outcomes))


if __name__ == "__main__":
    main()
