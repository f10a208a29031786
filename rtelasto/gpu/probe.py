"""Detects the GPU, before loading any library that would abort the process without one.

The TensorRT runtimes abort the process on a machine without a driver, so everything in ``rtelasto.gpu`` that
uses a device calls this module first.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rtelasto.errors import MissingExtraError, RtelastoError, first_line

# The libraries that can run a network on a GPU, fastest first.
RUNTIMES = ("tensorrt", "tensorrt_rtx", "torch", "onnxruntime")
# The values of --device. The last one runs PyTorch in a way that takes minutes to start.
DEVICES = ("auto", "cpu", "gpu", *RUNTIMES, "torch_compile")


@dataclass(frozen=True, slots=True)
class Gpu:
    """The GPU in use: name, compute capability, memory in bytes, and the driver's CUDA version."""

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    driver: str

    def __str__(self) -> str:
        major, minor = self.compute_capability
        gibibytes = self.memory_bytes / 2**30
        return f"{self.name}, {gibibytes:.0f} GiB, capability {major}.{minor}, CUDA {self.driver}"


def installed(module: str) -> bool:
    """Return whether a library can be imported; type stubs of the same name do not count."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def find_cupy_a_folder() -> None:
    """Give CuPy a folder for compiled code, which it requires, if the user's cannot be written."""
    if "CUPY_CACHE_DIR" in os.environ:
        return
    try:
        (Path.home() / ".cupy" / "kernel_cache").mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        folder = tempfile.mkdtemp(prefix="rtelasto-cupy-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["CUPY_CACHE_DIR"] = folder


@lru_cache(maxsize=1)
def find_gpu() -> Gpu:
    """Return the current CUDA device.

    Raises
    ------
    RtelastoError
        In one line: CuPy is not installed or broken, there is no driver, or no device.
    """
    if not installed("cupy"):
        raise MissingExtraError("a GPU", "gpu")
    try:
        find_cupy_a_folder()
        import cupy
        from cupy.cuda import runtime

        if runtime.getDeviceCount() < 1:
            raise RtelastoError("no GPU: the driver reports no CUDA device; use --device cpu")
        device = cupy.cuda.Device()
        properties = runtime.getDeviceProperties(device.id)
        driver = runtime.driverGetVersion()
    except RtelastoError:
        raise
    except (
        Exception
    ) as error:  # CuPy raises its own exceptions, and ImportError if CUDA is incomplete
        reason = first_line(error)
        if shutil.which("nvidia-smi") is None:
            reason = f"no NVIDIA driver on this machine ({reason})"
        raise RtelastoError(f"no GPU: {reason}; use --device cpu") from None
    name = properties["name"]
    return Gpu(
        name.decode() if isinstance(name, bytes) else str(name),
        (int(properties["major"]), int(properties["minor"])),
        int(properties["totalGlobalMem"]),
        f"{driver // 1000}.{driver % 1000 // 10}",
    )


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, each as ``CUDA_VISIBLE_DEVICES`` names it.

    Raises
    ------
    RtelastoError
        If there is none (`find_gpu`).
    """
    find_gpu()
    from cupy.cuda import runtime

    count = runtime.getDeviceCount()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen:
        # CUDA leaves out the first one that does not exist, and all after it.
        return [name.strip() for name in chosen.split(",")][:count]
    return [str(number) for number in range(count)]
