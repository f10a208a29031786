"""``benchmarks.gpu_check`` without a GPU: what it says, and how it tells what came of a check."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import host_cuda
import numpy as np
import pytest

from benchmarks.gpu_check.__main__ import checks
from benchmarks.gpu_check.frames import FORMATS, pairs, relative
from benchmarks.gpu_check.parity import run_kernels_once
from benchmarks.gpu_check.persistence import persistence
from benchmarks.gpu_check.report import (
    Bound,
    NotRun,
    print_outcome,
    run_check,
    write_outcomes,
)
from rtelasto.errors import RtelastoError
from rtelasto.gpu.source import kernel_source

ROOT = Path(__file__).parents[1]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_says_so_in_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    # Without CuPy, that is what is missing.
    assert line.startswith(("gpu_check: not run: no GPU", "gpu_check: not run: a GPU needs"))


def test_a_check_is_made_for_everything_that_only_a_gpu_can_show() -> None:
    names = " ".join(checks("cnn", "gpu"))
    for what in ("kernels", "engine", "graphs", "memory", "sanitizer", "stages", "latency"):
        assert what in names
    assert "throughput" in names


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "kept"),
    [
        (1.0, 2.0, False, True),
        (3.0, 2.0, False, False),
        (3.0, 2.0, True, True),
        (1.0, 2.0, True, False),
        (float("nan"), 2.0, False, False),
        (float("nan"), 2.0, True, False),
        (9.0, None, False, True),
    ],
)
def test_bounds(value: float, limit: float | None, at_least: bool, kept: bool) -> None:
    assert Bound("figure", value, "ms", limit, at_least).kept == kept


def _raise(error: Exception) -> list[Bound]:
    raise error


def test_every_way_that_a_check_can_end_is_told(tmp_path: Path) -> None:
    outcomes = [
        run_check("good", lambda: [Bound("time", 1.0, "ms", limit=2.0), Bound("other", 5.0)]),
        run_check("bad", lambda: [Bound("time", 3.0, "ms", limit=2.0)]),
        run_check("told", lambda: [Bound("rate", 7.0, "GB/s")]),
        run_check("absent", lambda: _raise(NotRun("no such tool"))),
        run_check("refused", lambda: _raise(RtelastoError("no plan"))),
        run_check("broken", lambda: _raise(ZeroDivisionError("oops"))),
    ]
    states = ["passed", "FAILED", "measured", "not run", "FAILED", "FAILED"]
    assert [outcome.state for outcome in outcomes] == states
    assert "ZeroDivisionError" in outcomes[-1].reason
    said = io.StringIO()
    for outcome in outcomes:
        print_outcome(outcome, said)
    for text in ("time 3 ms (≤ 2)", "no such tool", "no plan", "rate 7 GB/s"):
        assert text in said.getvalue()
    path = tmp_path / "gpu.json"
    write_outcomes(path, outcomes, {"GPU": "Some GPU"})
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [check["state"] for check in content["checks"]] == states
    assert content["checks"][0]["bounds"][0] == {
        "name": "time",
        "value": 1.0,
        "unit": "ms",
        "limit": 2.0,
        "at_least": False,
    }


def test_the_pairs_that_are_checked_strain_as_said() -> None:
    for dtype in ("int16", "float32"):
        first, second = pairs(FORMATS[2], 0.005, dtype=dtype)
        assert first.post is second.pre
        assert first.pre.samples.dtype == dtype
    assert relative(np.array([1.1, 1.1]), np.array([1.0, 1.0])) == pytest.approx(0.1)


@pytest.mark.usefixtures("simulated_device")
def test_the_sanitizers_see_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = set()
    find = host_cuda.RawModule.get_function

    def get_function(module: host_cuda.RawModule, name: str) -> Callable[..., None]:
        launched.add(name)
        return find(module, name)

    monkeypatch.setattr(host_cuda.RawModule, "get_function", get_function)
    run_kernels_once()
    assert launched == set(re.findall(r"^KERNEL\((\w+),", kernel_source(), re.MULTILINE))


@pytest.mark.usefixtures("simulated_device")
def test_persistence_is_compared_where_its_frames_count() -> None:
    bounds = {bound.name: bound for bound in persistence(FORMATS[2], n_pairs=12)}
    assert bounds["relative_strain, relative RMS difference"].kept
    assert bounds["relative_strain_std, relative RMS difference"].kept
    assert bounds["pairs in the average"].value == 12
