"""The hardware and software of a machine that matter for strain. Every probe returns text; none raises."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

import psutil

_LIBRARIES = {
    "CPU runtime (onnxruntime)": "onnxruntime",
    "numba": "numba",
    "ZeroMQ (pyzmq)": "pyzmq",
    "zea files (h5py)": "h5py",
}
_EXTRAS = {
    "CuPy": ("cupy-cuda13x", "gpu"),
    "TensorRT": ("tensorrt", "tensorrt"),
    "TensorRT for RTX": ("tensorrt-rtx", "gpu"),
    "ONNX Runtime for GPUs": ("onnxruntime-gpu", "gpu"),
    "second CPU runtime (openvino)": ("openvino", "openvino"),
    "simulation (scikit-fem)": ("scikit-fem", "sim"),
    "pictures (matplotlib)": ("matplotlib", "plot"),
    "videos (imageio-ffmpeg)": ("imageio-ffmpeg", "video"),
    "live viewer (starlette)": ("starlette", "view"),
    "recorder (hdf5plugin)": ("hdf5plugin", "record"),
    "OpenIGTLink (pyigtl)": ("pyigtl", "igtl"),
    "metrics (prometheus-client)": ("prometheus-client", "metrics"),
    "many recordings (distributed)": ("distributed", "archive"),
    "PyTorch, runs networks on GPUs and trains them": ("torch", "torch"),
}


def describe_machine() -> dict[str, str]:
    """Return names and findings in the order of printing."""
    memory = psutil.virtual_memory()
    rows = {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": f"{os.cpu_count()} ({psutil.cpu_count(logical=False)} physical)",
        "memory": f"{memory.total / 2**30:.0f} GiB, {memory.available / 2**30:.0f} GiB free",
        "GPU": describe_gpu(),
    }
    for label, package in _LIBRARIES.items():
        rows[label] = _version(package) or "missing: reinstall rtelasto"
    for label, (package, extra) in _EXTRAS.items():
        rows[label] = _version(package) or f"not installed: pip install 'rtelasto[{extra}]'"
    return rows


def describe_gpu() -> str:
    """Return the NVIDIA GPU as reported by its driver, or the reason why none can be used."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none found (no nvidia-smi): engines run on the CPU"
    query = ["--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi failed ({' '.join(str(error).split())}): engines run on the CPU"
    names = "; ".join(answer.stdout.split("\n")).strip("; ")
    if importlib.util.find_spec("cupy") is None:
        return f"{names}, not used: pip install 'rtelasto[gpu]'"
    return names


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
