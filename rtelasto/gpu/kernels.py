"""The kernels on a GPU: compiled once per process, launched on the current stream."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from rtelasto.gpu.source import kernel_source
from rtelasto.gpu.workspace import address

# Compilation is tested for these (Turing, Ampere, Ada, Hopper, Blackwell); any other GPU that the installed
# NVRTC supports works as well.
ARCHITECTURES = ("sm_75", "sm_86", "sm_89", "sm_90", "sm_120")


@lru_cache(maxsize=4)
def _module(device_id: int) -> Any:
    import cupy as cp

    # CuPy keeps the compiled module in its cache folder, by source, options and architecture.
    return cp.RawModule(code=kernel_source(), options=("-std=c++17",), backend="nvrtc")


def compile_kernels() -> None:
    """Compile all kernels for the current device; they are the same for every format of frames."""
    import cupy as cp

    _module(cp.cuda.Device().id).compile()


class Kernels:
    """Launches kernels on one buffer set; an instance is a :class:`~rtelasto.gpu.protocols.Launch`.

    Creating one compiles all kernels, so that none is compiled during a capture.

    Parameters
    ----------
    work
        The ``Work`` record of the buffers, on the device.
    """

    def __init__(self, work: Any) -> None:
        import cupy as cp

        self._work = np.uint64(address(work))
        self._record = work  # it must outlive the launches
        compile_kernels()
        self._module = _module(cp.cuda.Device().id)
        self._functions: dict[str, Any] = {}

    def __call__(self, name: str, grid: tuple[int, ...], step: int = 0, *, threads: int) -> None:
        kernel = self._functions.get(name)
        if kernel is None:
            kernel = self._functions[name] = self._module.get_function(name)
        kernel((*grid, 1, 1)[:3], (threads, 1, 1), (self._work, np.int32(step)))
