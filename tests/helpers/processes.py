"""Runs the real command line in processes of its own.

What `start` and `finish` take by keyword goes to `subprocess` (``cwd``, ``env``, ``encoding``, ``stdout``);
``python`` are options of the interpreter, ``program`` what it runs instead of ``-m rtelasto``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rtelasto.wire.strain import Status

DEADLINE_S = 120.0
_MODULE = ("-m", "rtelasto")


def command(
    *arguments: object, python: Sequence[str] = (), program: Sequence[str] = _MODULE
) -> list[str]:
    """The words of ``rtelasto ARGUMENTS`` in this interpreter."""
    return [sys.executable, *python, *program, *map(str, arguments)]


def start(
    *arguments: object,
    python: Sequence[str] = (),
    program: Sequence[str] = _MODULE,
    **options: Any,
) -> subprocess.Popen[str]:
    """``rtelasto ARGUMENTS`` with its output in pipes."""
    return subprocess.Popen(
        command(*arguments, python=python, program=program), **_with_pipes(options)
    )


def finish(
    *arguments: object,
    python: Sequence[str] = (),
    program: Sequence[str] = _MODULE,
    timeout: float = DEADLINE_S,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        command(*arguments, python=python, program=program),
        timeout=timeout,
        check=False,
        **_with_pipes(options),
    )


def _with_pipes(options: dict[str, Any]) -> dict[str, Any]:
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    return pipes | options


@contextmanager
def running(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that has ended at the end of the block, however the block ends."""
    process = start(*arguments, **options)
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
    """The id of the process that the pipeline of ``rtelasto run`` worked in when it reported its status."""
    assert status is not None
    return int(status.info["process"])
