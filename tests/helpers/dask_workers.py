"""Runs a Dask scheduler and workers as processes, and reads what an archive's run has left in a folder."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import running
from waiting import WAIT_S

_DASK = ("-m", "dask")


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``dask scheduler`` on loopback; yield its process and address."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    with running("scheduler", *options, program=_DASK, **_silent()) as process:
        wait_until(lambda: file.exists() and bool(file.read_text()))
        yield process, json.loads(file.read_text())["address"]


@contextmanager
def worker(address: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``dask worker`` without a nanny, so that a kill is a kill."""
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    with running("worker", address, *options, program=_DASK, **_silent()) as process:
        yield process


def _silent() -> dict[str, object]:
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def writes(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether a process has an unfinished file of a folder open; on Linux."""
    descriptors = Path(f"/proc/{process.pid}/fd")
    for descriptor in descriptors.iterdir():
        try:
            name = os.readlink(descriptor)
        except OSError:
            continue
        if name.startswith(str(folder)) and name.endswith(".tmp"):
            return True
    return False


def rows(out: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the summary by the name of the recording."""
    with (out / "summary.csv").open(newline="") as file:
        return {Path(row["recording"]).name: row for row in csv.DictReader(file)}


def states(out: Path) -> list[str]:
    return sorted(row["state"] for row in rows(out).values())


def leftovers(out: Path) -> list[Path]:
    """Return hidden files and folders: unfinished outputs, and parts of recordings."""
    return [path for path in out.rglob("*") if path.name.startswith(".")]
