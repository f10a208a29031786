"""Checks and measures the GPU path on this machine.

python -m benchmarks.gpu_check --part kernels --json kernels.json
python -m benchmarks.gpu_check --part stages --json stages.json

Each part takes less than four minutes on a data-centre GPU. A check imports what it needs and nothing else;
what is missing makes it "not run". After every check a line is printed and the JSON file is written anew. The
results are compared with the CPU back-end, and the times with the targets of the project for a data-centre
card; a smaller card may miss those times and still be correct. Exit code 1 if a check failed, 2 if there is
no GPU.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.gpu_check.report import Bound, Outcome, print_outcome, run_check, write_outcomes
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import DEFAULT_ENGINE
from rtelasto.gpu.probe import DEVICES, find_gpu

# Of every part, in order: the quick and informative checks first.
PARTS = {
    "kernels": (
        "kernels against the CPU",
        "persistence against the CPU",
        "every kernel alone",
        "PyTorch against the CPU",
        "compute-sanitizer memcheck",
        "compute-sanitizer racecheck",
        "compute-sanitizer synccheck",
        "compute-sanitizer initcheck",
    ),
    "stages": (
        "engine against the CPU",
        "graphs",
        "stages and floor",
        "overlap of pairs",
        "rate without the wire",
        "memory over 10,000 frames",
        "latency on the wire",
        "throughput on the wire",
    ),
    "accuracy": ("accuracy",),
}
_PACKAGES = (
    "numpy",
    "cupy-cuda13x",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
    "onnxruntime",
    "onnxruntime-gpu",
)


def _call(name: str, *arguments: str) -> list[Bound]:
    """Call ``module:function`` of this package; what it imports is imported now."""
    module, _, function = name.partition(":")
    found = getattr(importlib.import_module(f"benchmarks.gpu_check.{module}"), function)
    bounds: list[Bound] = found(*arguments)
    return bounds


def checks(engine: str, device: str) -> dict[str, Callable[[], list[Bound]]]:
    """Return every check by name."""
    known = {
        "kernels against the CPU": ("parity:kernels",),
        "persistence against the CPU": ("persistence:persistence",),
        "every kernel alone": ("kernel_times:kernel_times",),
        "PyTorch against the CPU": ("parity:torch_network", engine),
        "engine against the CPU": ("parity:engine_parity", engine, device),
        "graphs": ("parity:graphs", engine, device),
        "stages and floor": ("speed:stage_times", engine, device),
        "overlap of pairs": ("speed:overlap", engine, device),
        "rate without the wire": ("speed:rate_without_wire", engine, device),
        "memory over 10,000 frames": ("speed:memory", engine, device),
        "latency on the wire": ("wire:latency", engine, device),
        "throughput on the wire": ("wire:throughput", engine, device),
        "accuracy": ("accuracy:accuracy", engine, device),
    }
    for name in (name for part in PARTS.values() for name in part):
        if name.startswith("compute-sanitizer"):
            known[name] = ("sanitizer:sanitizer", name.split()[-1])
    return {name: partial(_call, *known[name]) for names in PARTS.values() for name in names}


def machine() -> dict[str, str]:
    """Describe the machine."""
    rows = {"GPU": str(find_gpu()), "system": f"{platform.platform()}, {platform.processor()}"}
    rows["python"] = platform.python_version()
    for package in _PACKAGES:
        try:
            rows[package] = version(package)
        except PackageNotFoundError:
            rows[package] = "not installed"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and measure the GPU path.")
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--device", default="gpu", choices=[d for d in DEVICES if d != "cpu"])
    parser.add_argument("--part", choices=list(PARTS), action="append", default=[])
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--run-kernels", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        rows = machine()
    except RtelastoError as error:
        print(f"gpu_check: not run: {error}", file=sys.stderr)
        sys.exit(2)
    if options.run_kernels:
        from benchmarks.gpu_check.parity import run_kernels_once

        run_kernels_once()
        return
    for key, value in rows.items():
        print(f"{key}: {value}", flush=True)
    wanted = [name for part in options.part or PARTS for name in PARTS[part]]
    outcomes: list[Outcome] = []
    for name, check in checks(options.engine, options.device).items():
        if name in wanted and (not options.only or any(text in name for text in options.only)):
            outcomes.append(run_check(name, check))
            print_outcome(outcomes[-1], sys.stdout)
            if options.json is not None:
                write_outcomes(options.json, outcomes, rows)
    sys.exit(any(outcome.state == "FAILED" for outcome in outcomes))


if __name__ == "__main__":
    main()
