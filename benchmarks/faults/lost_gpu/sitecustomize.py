"""A simulated GPU that can be lost, for every process with this folder on PYTHONPATH.

The complete GPU back-end runs on the simulated device of the tests (``host_cuda``: streams, events, graphs,
and the host build of the kernels in the library that RTELASTO_HOST_KERNELS names). In the process whose id is
in the file that RTELASTO_LOST_GPU names, copies between host and device fail when they run. As with CUDA, the
context is then lost permanently, and only a new process gets another.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[3]


class CUDARuntimeError(RuntimeError):
    """The exception has the same name as in CuPy."""


def _install() -> None:
    sys.path[:0] = [str(_ROOT), str(_ROOT / "tests/helpers")]
    import host_cuda
    import simulated_gpu

    import rtelasto.pipeline.devices

    lost = Path(os.environ["RTELASTO_LOST_GPU"])

    def copy_if_there(target: int, source: int, size: int, kind: int, stream: int) -> None:
        def work() -> None:
            if lost.read_text() == str(os.getpid()):
                raise CUDARuntimeError("cudaErrorDevicesUnavailable: no GPU answers any more")
            ctypes.memmove(target, source, size)

        host_cuda.enqueue(work)

    class Patch:
        @staticmethod
        def setitem(modules: dict[str, Any], name: str, module: Any) -> None:
            modules[name] = module

    host_cuda._memcpy_async = copy_if_there
    host_cuda.install(ctypes.CDLL(os.environ["RTELASTO_HOST_KERNELS"]), Patch())
    rtelasto.pipeline.devices.open_estimator = lambda *_, **__: simulated_gpu.estimator()


if "RTELASTO_LOST_GPU" in os.environ:
    _install()
