"""A CUDA device on the host: streams, events, graphs and copies with CUDA's ordering rules.

Work on a stream runs only when something waits for it, and work of other streams runs first only if an event
requires it. A kernel or copy with a missing wait therefore always reads data that are not there yet, whereas
a GPU would fail only sometimes. Kernels run in their host build (``host_kernels``). The module has only the
names of CuPy that the back-end uses.
"""

from __future__ import annotations

import ctypes
import sys
import types
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

Work = Callable[[], None]


class Event:
    def __init__(self, *, disable_timing: bool = False) -> None:
        self._mark: tuple[Stream, int] | None = None

    def record(self, stream: Stream) -> None:
        stream.push(lambda: None)
        self._mark = (stream, stream.pushed)

    def synchronize(self) -> None:
        if self._mark is not None:
            stream, count = self._mark
            stream.run_up_to(count)

    def waiting(self) -> Work:
        """Return a wait for the current last record."""
        mark = self._mark
        return (lambda: None) if mark is None else (lambda: mark[0].run_up_to(mark[1]))


class Stream:
    every: ClassVar[list[Stream]] = []
    current: ClassVar[Stream | None] = None
    ptr = 0

    def __init__(self, *, non_blocking: bool, priority: int = 0) -> None:
        assert non_blocking, "the default stream cannot be captured"
        self.pushed = self._ran = 0
        self._queue: deque[Work] = deque()
        self._recording: list[Work] | None = None
        self._outer: list[Stream | None] = []
        Stream.every.append(self)

    def __enter__(self) -> Stream:
        self._outer.append(Stream.current)
        Stream.current = self
        return self

    def __exit__(self, *_: object) -> None:
        Stream.current = self._outer.pop()

    def push(self, work: Work) -> None:
        if self._recording is not None:
            self._recording.append(work)
            return
        self._queue.append(work)
        self.pushed += 1

    def run_up_to(self, count: int) -> None:
        while self._ran < count:
            self._ran += 1
            self._queue.popleft()()

    def synchronize(self) -> None:
        assert self._recording is None, "cannot wait for a stream that is recording"
        self.run_up_to(self.pushed)

    def wait_event(self, event: Event) -> None:
        self.push(event.waiting())

    def begin_capture(self, mode: int) -> None:
        assert not self._queue, "work before the capture must be done"
        self._recording = []

    def end_capture(self) -> Graph:
        recorded, self._recording = self._recording, None
        assert recorded, "an empty graph"
        return Graph(recorded)


class Graph:
    def __init__(self, recorded: list[Work]) -> None:
        self._recorded = recorded

    def upload(self, stream: Stream) -> None:
        pass

    def launch(self, stream: Stream) -> None:
        for work in self._recorded:
            stream.push(work)


def enqueue(work: Work) -> None:
    """Enqueue on the current stream."""
    assert Stream.current is not None, "nothing runs on the default stream"
    Stream.current.push(work)


class Array(np.ndarray):
    """An array on the device, which like one of CuPy's is never structured."""

    def view(self, dtype: Any) -> Any:
        assert np.dtype(dtype).names is None, f"CuPy has no arrays of {dtype}"
        return super().view(dtype)


def _zeros(shape: Any, dtype: Any) -> np.ndarray:
    return np.zeros(shape, dtype).view(Array)


def _asarray(values: np.ndarray) -> np.ndarray:
    return np.array(values).view(Array)


class RawModule:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def compile(self) -> None:
        pass

    def get_function(self, name: str) -> Callable[..., None]:
        function = getattr(self._library, name)

        def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple) -> None:
            work, step = arguments
            assert (work.dtype, step.dtype) == (np.uint64, np.int32)
            assert len(grid) == len(block) == 3
            assert min(grid) > 0
            assert block[0] <= 512
            assert grid[1] < 65536
            assert grid[2] < 65536
            enqueue(lambda: function(ctypes.c_void_p(int(work)), int(step), *grid))

        return launch


def _memcpy_async(target: int, source: int, size: int, kind: int, stream: int) -> None:
    enqueue(lambda: ctypes.memmove(target, source, size))


class Device:
    id = 0

    def synchronize(self) -> None:
        for stream in Stream.every:
            stream.synchronize()


def install(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``import cupy`` return this device for the rest of the test."""
    Stream.every.clear()
    library.set_reverse(0)
    runtime: Any = types.ModuleType("cupy.cuda.runtime")
    runtime.memcpyAsync = _memcpy_async
    runtime.memcpyHostToDevice, runtime.memcpyDeviceToHost = 1, 2
    runtime.streamCaptureModeThreadLocal = 1
    cuda: Any = types.ModuleType("cupy.cuda")
    cuda.runtime, cuda.Stream, cuda.Event, cuda.Device = runtime, Stream, Event, Device
    cuda.get_current_stream = lambda: Stream.current
    cupy: Any = types.ModuleType("cupy")
    cupy.cuda = cuda
    cupy.zeros, cupy.asarray, cupy.asnumpy = _zeros, _asarray, np.array
    cupy.RawModule = lambda **_: RawModule(library)
    cupyx: Any = types.ModuleType("cupyx")
    cupyx.empty_pinned = np.empty
    for name, module in {
        "cupy": cupy,
        "cupy.cuda": cuda,
        "cupy.cuda.runtime": runtime,
        "cupyx": cupyx,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    from rtelasto.gpu import kernels

    kernels._module.cache_clear()
