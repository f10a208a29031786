"""An HDF5 file opened by another process first, because damage in it can end the process that opens it.

libhdf5 is not hardened: a few changed bytes or an unexpected type can make it read where it must not, or
loop for ever, and no check of ours comes before its own parsing (tests/corpus/files/hdf5 holds such files).
So a small process opens the file before we do: every object, every attribute, the first and
the last values of every dataset. If it ends, or takes longer or more memory than it may, the file is
refused with a line that says so, and whoever asked goes on.

The process is started with the first file (about 0.3 s), serves the next ones, and ends by itself when it
has had nothing to do for a while or whoever started it is gone. Questions and answers are lines of text.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py

from rtelasto.errors import RtelastoError
from rtelasto.sources.hdf5_storage import check_storage
from rtelasto.sources.limits import (
    LOOK_CPU_S,
    LOOK_CPU_S_PER_BYTE,
    LOOK_MEMORY_BYTES,
    LOOK_WALL_S,
    MAX_CHUNK_BYTES,
)

_LINGER_S = 10.0
_WHOLE_BYTES = 1 << 20  # datasets up to here are read whole
_DONE, _MEMORY = "done", "memory"

_lock = threading.Lock()
_process: subprocess.Popen[str] | None = None
_owner = 0


def look_first(path: Path) -> None:
    """Have an HDF5 file opened elsewhere before it is opened here.

    Whatever is wrong with the file but does not harm who opens it is for the reader to find.

    Raises
    ------
    RtelastoError
        If the HDF5 library does not survive the file, or does not come to an end with it, or the other
        process does not start.
    """
    with _lock:
        started = time.monotonic()
        answer, ended = _ask(path)
        if not answer and ended == 0:  # it had just gone home
            answer, ended = _ask(path)
    if answer == _MEMORY:
        raise RtelastoError(
            f"is damaged or made to harm: opening it takes more than {LOOK_MEMORY_BYTES >> 20} MiB"
        )
    if not answer:
        how = f"ended with {_ending(ended)}"
        if -ended in (_number("SIGPROF"), _number("SIGXCPU")) or (
            time.monotonic() - started > LOOK_WALL_S
        ):
            how = "did not come to an end"
        raise RtelastoError(f"is damaged or made to harm: the HDF5 library {how} on opening it")


def _number(name: str) -> int:
    return int(getattr(signal, name, 0)) or sys.maxsize


def _ending(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _ask(path: Path) -> tuple[str, int]:
    """What the other process says of the file; nothing, and its exit code, if it is gone."""
    process = _running()
    assert process.stdin is not None
    assert process.stdout is not None
    deadline = threading.Timer(LOOK_WALL_S, process.kill)
    deadline.daemon = True
    deadline.start()
    try:
        process.stdin.write(json.dumps(str(path.absolute())) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
    except OSError:
        answer = ""
    finally:
        deadline.cancel()
    if answer:
        return answer, 0
    return "", _end()


def _running() -> subprocess.Popen[str]:
    global _process, _owner
    if _owner != os.getpid():  # after a fork it is the parent's
        _process = None
    if _process is None:
        _owner = os.getpid()
        _process = subprocess.Popen(
            # Warnings that the user wants as errors are not the file's fault.
            [sys.executable, "-W", "ignore", "-m", "rtelasto.sources.first_look"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        assert _process.stdout is not None
        # It says that it is ready, so that neither its start nor a failure of it counts for a file.
        if not _process.stdout.readline():
            raise RtelastoError(
                "cannot be looked at: the process that opens HDF5 files first does not start (exit code "
                f"{_end()}); `python -m rtelasto.sources.first_look` says why"
            )
    return _process


def _end() -> int:
    global _process
    process, _process = _process, None
    if process is None:
        return 0
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    return code


def _open_everything(path: str) -> None:
    """Touch all that a reader could touch; damage that is only an exception is for the reader to find."""
    with contextlib.suppress(Exception), h5py.File(path, "r", locking=False) as file:
        names = ["/"]
        file.visit_links(names.append)
        for name in names:
            try:
                _touch(file, name)
            except MemoryError:
                raise
            except Exception:
                continue


def _touch(file: h5py.File, name: str) -> None:
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        return
    item = file[name]
    dict(item.attrs)
    if not isinstance(item, h5py.Dataset):
        return
    check_storage(item)
    if not item.shape or item.size * item.dtype.itemsize <= _WHOLE_BYTES:
        item[()]
    elif math.prod(item.shape[1:]) * item.dtype.itemsize <= MAX_CHUNK_BYTES:
        for i in sorted({0, item.shape[0] // 2, item.shape[0] - 1}):
            item[i]


def _bound_resources() -> None:
    """Memory, and no core dumps; where the system has such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (LOOK_MEMORY_BYTES, LOOK_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_time(path: str | None) -> None:
    """Let the system end this process when a file has taken its processor time; None: no limit."""
    if hasattr(signal, "setitimer"):
        size = os.path.getsize(path) if path is not None and os.path.isfile(path) else 0
        budget_s = 0.0 if path is None else LOOK_CPU_S + size * LOOK_CPU_S_PER_BYTE
        signal.setitimer(signal.ITIMER_PROF, budget_s)


def _serve() -> None:
    """Answer one line for each line with a path, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is told and closes the pipe
    _bound_resources()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    answer = "ready"
    while True:
        answers.write(answer + "\n")
        answers.flush()
        if os.name == "posix" and not select.select([sys.stdin], [], [], _LINGER_S)[0]:
            return
        line = sys.stdin.readline()
        if not line:
            return
        path = json.loads(line)
        _bound_time(path)
        try:
            _open_everything(path)
            answer = _DONE
        except MemoryError:
            answer = _MEMORY
        _bound_time(None)


if __name__ == "__main__":
    _serve()
