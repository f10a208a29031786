"""Opens files in another process first, because a damaged file can crash the process that opens it.

libhdf5 is not hardened: a few changed bytes or an unexpected type can make it read out of bounds or loop
forever, and none of our checks can run before its own parsing (tests/corpus/files/hdf5 holds such files). So
a small process opens the file first: every object, every attribute, the first and the last values of every
dataset. If that process crashes, or exceeds its time or memory, the file is refused with an error that says
so, and the asking process continues. SciPy's reader of MATLAB files is not hardened either, so it runs in
that process only, which returns what was asked for (`matlab_elements`).

The process starts with the first file (about 0.3 s), serves the following ones, and exits when it has been
idle for a while or when the process that started it has exited. A request is a line of JSON. So is the
reply, which the bytes of an array may follow.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.host.signal_mask import kept_from_children
from rtelasto.sources.hdf5_storage import check_storage
from rtelasto.sources.limits import (
    LOAD_WALL_S_PER_BYTE,
    LOOK_CPU_S,
    LOOK_CPU_S_PER_BYTE,
    LOOK_MEMORY_BYTES,
    LOOK_WALL_S,
    MAX_CHUNK_BYTES,
)
from rtelasto.sources.spool import spool

_IDLE_S = 10.0
_WHOLE_BYTES = 1 << 20  # datasets up to this size are read whole
_PIECE_BYTES = 1 << 20

_lock = threading.Lock()
_process: subprocess.Popen[bytes] | None = None
_owner = 0


def look_first(path: Path) -> None:
    """Have the other process open an HDF5 file before this one does.

    Faults that do not harm the process that opens the file are left to the reader.

    Raises
    ------
    RtelastoError
        If the HDF5 library crashes on the file or does not finish, or the other process does not start.
    """
    _ask(path, "the HDF5 library", {"kind": "hdf5"})


def list_matlab(path: Path) -> list[dict[str, Any]]:
    """List the variables of a MATLAB file of version 4 or 5, as `matlab_elements.listed` describes them.

    Raises
    ------
    RtelastoError
        If it is not such a file, or SciPy crashes on it.
    """
    answer = _ask(path, "SciPy", {"kind": "matlab_list"})[0]
    return list(answer["variables"])


def load_matlab(path: Path, variable: dict[str, Any]) -> tuple[NDArray[Any], Callable[[], None]]:
    """Load a numeric variable, axes reversed (C order), into a temporary file; and return how to release it.

    Parameters
    ----------
    path
        The MATLAB file.
    variable
        An entry of `list_matlab`.

    Raises
    ------
    RtelastoError
        If the variable is damaged or there is no room for it.
    """
    n_bytes = int(variable["n_bytes"])
    question = {"kind": "matlab_load", "variable": variable, "n_bytes": n_bytes}
    answer, (flat, close) = _ask(path, "SciPy", question, wall_s=n_bytes * LOAD_WALL_S_PER_BYTE)
    return flat.view(np.dtype(answer["dtype"])).reshape(answer["shape"]), close


def _ask(
    path: Path, library: str, question: dict[str, Any], *, wall_s: float = 0.0
) -> tuple[dict[str, Any], tuple[NDArray[np.uint8], Callable[[], None]]]:
    """Return the reply of the other process, and the bytes that follow it."""
    question = question | {"path": str(path.absolute())}
    wall_s += LOOK_WALL_S
    with _lock:
        started = time.monotonic()
        answer, ended = _reply(question, wall_s)
        if answer is None and ended == 0:  # it had just exited because it was idle
            answer, ended = _reply(question, wall_s)
        took_s = time.monotonic() - started
        if answer is not None and "n_bytes" in answer:
            assert _process is not None
            assert _process.stdout is not None
            n_bytes = int(answer["n_bytes"])
            try:
                return answer, spool(_pieces(_process.stdout, n_bytes), n_bytes)
            except BaseException:
                _process.kill()  # the rest of its reply is of no use
                _reap()
                raise
    if answer is None:
        how = f"ended with {_exit_reason(ended)}"
        if -ended in (_signal_number("SIGPROF"), _signal_number("SIGXCPU")) or took_s > wall_s:
            how = "did not finish"
        raise RtelastoError(f"is damaged or hostile: {library} {how} on opening it")
    if "error" in answer:
        raise RtelastoError(answer["error"])
    if "memory" in answer:
        raise RtelastoError(
            f"is damaged or hostile: opening it takes more than {answer['memory'] >> 20} MiB"
        )
    return answer, (np.zeros(0, np.uint8), lambda: None)


def _pieces(stream: IO[bytes], n_bytes: int) -> Iterator[bytes]:
    while n_bytes and (piece := stream.read(min(n_bytes, _PIECE_BYTES))):
        n_bytes -= len(piece)
        yield piece


def _signal_number(name: str) -> int:
    return int(getattr(signal, name, 0)) or sys.maxsize


def _exit_reason(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _reply(question: dict[str, Any], wall_s: float) -> tuple[dict[str, Any] | None, int]:
    """Return the reply of the other process; None, and its exit code, if it has exited."""
    process = _running()
    assert process.stdin is not None
    assert process.stdout is not None
    deadline = threading.Timer(wall_s, process.kill)
    deadline.daemon = True
    deadline.start()
    try:
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        line = b""
    finally:
        deadline.cancel()
    if line.endswith(b"\n"):
        return json.loads(line), 0
    return None, _reap()


def _running() -> subprocess.Popen[bytes]:
    global _process, _owner
    if _owner != os.getpid():  # after a fork, the process belongs to the parent
        _process = None
    if _process is None:
        _owner = os.getpid()
        with kept_from_children():
            _process = subprocess.Popen(
                # Warnings that the user turns into errors are not the file's fault.
                [sys.executable, "-W", "ignore", "-m", "rtelasto.sources.first_look"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert _process.stdout is not None
        # Wait until it reports ready, so that a slow or failed start is not blamed on a file.
        if not _process.stdout.readline():
            raise RtelastoError(
                "cannot be checked: the process that opens HDF5 files first does not start (exit code "
                f"{_reap()}); run `python -m rtelasto.sources.first_look` to see why"
            )
    return _process


def _reap() -> int:
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
    """Touch all that a reader could touch; exceptions are ignored, because the reader will meet them too."""
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


def _bound_memory(n_bytes: int = 0) -> int:
    """Limit this process's memory to the fixed bound plus twice the requested size; return it in bytes."""
    bound = LOOK_MEMORY_BYTES + 2 * n_bytes
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    return bound


def _no_core_dumps() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_time(path: str | None) -> None:
    """Let the system kill this process when a file exceeds its processor time; None removes the limit."""
    if hasattr(signal, "setitimer"):
        size = os.path.getsize(path) if path is not None and os.path.isfile(path) else 0
        budget_s = 0.0 if path is None else LOOK_CPU_S + size * LOOK_CPU_S_PER_BYTE
        signal.setitimer(signal.ITIMER_PROF, budget_s)


def _work(question: dict[str, Any]) -> tuple[dict[str, Any], NDArray[Any] | None]:
    """Return the reply to a request, and the array that follows it."""
    path = question["path"]
    if question["kind"] == "hdf5":
        _bound_time(path)
        _open_everything(path)
        return {}, None
    from rtelasto.sources import matlab_elements  # imports SciPy: before the timer starts

    _bound_time(path)
    if question["kind"] == "matlab_list":
        return {"variables": matlab_elements.listed(path)}, None
    array = matlab_elements.loaded(path, question["variable"])
    return {"dtype": array.dtype.str, "shape": array.shape, "n_bytes": array.nbytes}, array


def _serve() -> None:
    """Reply to each line that holds a request, until there are no more."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the asking process gets it too and closes the pipe
    _no_core_dumps()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that a library prints must not mix with replies
    answer: dict[str, Any] = {"ready": True}
    array: NDArray[Any] | None = None
    while True:
        answers.write(json.dumps(answer).encode() + b"\n")
        if array is not None:
            answers.write(array.reshape(-1).view(np.uint8).data)
            array = None
        answers.flush()
        if os.name == "posix" and not select.select([sys.stdin], [], [], _IDLE_S)[0]:
            return
        line = sys.stdin.readline()
        if not line:
            return
        question = json.loads(line)
        bound = _bound_memory(question.get("n_bytes", 0))
        try:
            answer, array = _work(question)
        except MemoryError:
            answer = {"memory": bound}
        except RtelastoError as error:
            answer = {"error": str(error)}
        _bound_time(None)


if __name__ == "__main__":
    _serve()
