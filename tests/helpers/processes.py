"""Runs the real command line in separate processes.

`start` and `finish` pass keyword arguments to `subprocess` (``cwd``, ``env``, ``encoding``, ``stdout``).
``python`` are options of the interpreter, ``program`` replaces ``-m rtelasto``.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from waiting import WAIT_S

from rtelasto.wire.strain import Status

_MODULE = ("-m", "rtelasto")


def command(
    *arguments: object, python: Sequence[str] = (), program: Sequence[str] = _MODULE
) -> list[str]:
    """Return the command for ``rtelasto ARGUMENTS`` in this interpreter."""
    return [sys.executable, *python, *program, *map(str, arguments)]


def start(
    *arguments: object,
    python: Sequence[str] = (),
    program: Sequence[str] = _MODULE,
    **options: Any,
) -> subprocess.Popen[str]:
    """Start ``rtelasto ARGUMENTS`` with its output in pipes."""
    return subprocess.Popen(
        command(*arguments, python=python, program=program), **_with_pipes(options)
    )


def finish(
    *arguments: object,
    python: Sequence[str] = (),
    program: Sequence[str] = _MODULE,
    timeout: float = WAIT_S,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run the command until it exits."""
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
    """Ensure that a process has exited at the end of the block, also after an exception."""
    process = start(*arguments, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WAIT_S)


def wait_for_server(port: int) -> None:
    """Wait until a process listens on a TCP port of this machine; raise OSError after the deadline."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), WAIT_S).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def table(output: str) -> dict[str, str]:
    """Return the final table of a command: rows of a name and a value, two or more spaces apart."""
    rows = re.findall(r"^ *(\S(?:.*?\S)?) {2,}(\S.*?) *$", output, re.MULTILINE)
    return dict(rows)


def process_of(status: Status | None) -> int:
    """Return the process id of the pipeline of ``rtelasto run`` from its last status."""
    assert status is not None
    return int(status.info["process"])
