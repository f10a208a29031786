"""Runs the real command line in processes of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rtelasto.wire.strain import Status

DEADLINE_S = 120.0


def start(*arguments: str) -> subprocess.Popen[str]:
    """``rtelasto ARGUMENTS`` with its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "rtelasto", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        [sys.executable, "-m", "rtelasto", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone at the end of the block, whatever happens in it."""
    process = start(*arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def table(output: str) -> dict[str, str]:
    """The closing table of a command: rows of a name and a value, two or more spaces apart."""
    rows = re.findall(r"^ *(\S(?:.*?\S)?) {2,}(\S.*?) *$", output, re.MULTILINE)
    return dict(rows)


def process_of(status: Status | None) -> int:
    """The id of the process that the pipeline of ``rtelasto run`` worked in when it told its status."""
    assert status is not None
    return int(status.info["process"])
