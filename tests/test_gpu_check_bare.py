"""``benchmarks.gpu_check`` on a borrowed machine: it imports nothing that such a machine lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MISSING = (
    "zmq", "cyclopts", "platformdirs", "filelock", "rich", "psutil", "scipy", "skfem", "matplotlib",
)  # fmt: skip
BARE = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def bare(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as if nothing but NumPy, CuPy, ONNX Runtime, numba, h5py and msgpack were installed."""
    command = [sys.executable, "-c", BARE + program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.usefixtures("no_gpu")
def test_on_a_bare_machine_without_a_gpu_it_ends_in_one_line() -> None:
    program = "sys.argv[0] = 'gpu_check'; from benchmarks.gpu_check.__main__ import main; main()"
    done = bare(program, "--part", "kernels", "--json", "unwritten.json")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    # Without CuPy, that is what is missing.
    assert line.startswith(("gpu_check: not run: no GPU", "gpu_check: not run: a GPU needs"))
    assert done.stdout == ""
    assert not (ROOT / "unwritten.json").exists()


def test_a_check_that_needs_what_is_missing_is_not_run() -> None:
    program = """
import json
from benchmarks.gpu_check.__main__ import checks
from benchmarks.gpu_check.report import run_check
made = checks("cnn", "gpu")
outcomes = [run_check(name, made[name]) for name in ("latency on the wire", "accuracy")]
print(json.dumps([(outcome.state, outcome.reason) for outcome in outcomes]))
"""
    done = bare(program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        ["not run", "zmq is not installed"],
        ["not run", "scipy is not installed"],
    ]


@pytest.mark.slow
def test_what_the_checks_compare_with_runs_on_a_bare_machine() -> None:
    program = """
import benchmarks.gpu_check.parity, benchmarks.gpu_check.speed, benchmarks.gpu_check.sanitizer
from benchmarks.gpu_check.frames import FORMATS, pairs
from rtelasto.bench.floor import graph_work
from rtelasto.pipeline.devices import network_files, open_estimator
pair = next(pairs(FORMATS[2], 0.005))
strain = open_estimator("cnn", device="cpu")(pair).applied_strain
print(strain, len(graph_work(network_files("cnn")[1], FORMATS[2]).layers))
"""
    done = bare(program)
    assert done.returncode == 0, done.stderr
    strain, n_layers = done.stdout.split()
    assert float(strain) == pytest.approx(-0.005, abs=1e-4)
    assert int(n_layers) > 100


def test_every_check_belongs_to_a_part_that_can_be_asked_for() -> None:
    from benchmarks.gpu_check.__main__ import PARTS, checks

    names = [name for part in PARTS.values() for name in part]
    assert sorted(names) == sorted(checks("cnn", "gpu"))
    assert len(set(names)) == len(names)
