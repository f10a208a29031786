"""The CUDA kernels compiled by the host's C++ compiler and run block by block on the CPU.

This is not a model of a GPU: it has the same source, grids and memory layout, but no threads. It cannot show
a missing barrier between threads; instead, blocks and the items of every loop can also run in reverse order,
which changes every result that depends on the order.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtelasto.frames.rf import FramePair
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.quality import enqueue_quality
from rtelasto.gpu.records import HEADER
from rtelasto.gpu.source import kernel_source
from rtelasto.gpu.stretch import enqueue_elongation, enqueue_ingest, enqueue_resampling
from rtelasto.gpu.workspace import HEADER_BYTES, Ring, Workspace, address, read_output


def compile_for_host(folder: Path) -> ctypes.CDLL:
    """Compile the kernels to a shared library; skips if there is no C++ compiler."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    text = kernel_source()
    text += '\nextern "C" void set_reverse(int reverse) { run_in_reverse = reverse != 0; }\n'
    source.write_text(text)
    flags = ["-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [compiler, *flags, str(source), "-o", str(library)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


class HostGpu:
    """The stages between upload and download, on NumPy memory."""

    def __init__(self, library: ctypes.CDLL, layout: Layout, *, reverse: bool = False) -> None:
        assert layout.unsupported() == ""
        self.kernels, self.layout, self.reverse = library, layout, reverse
        self.ring = Ring(np, layout, slots=3)  # type: ignore[arg-type]
        self.workspace = Workspace(np, layout, self.ring)  # type: ignore[arg-type]
        self.launched: list[str] = []

    def launch(self, name: str, grid: tuple[int, ...], step: int = 0, *, threads: int) -> None:
        assert 0 < threads <= 512
        self.launched.append(name)
        self.kernels.set_reverse(int(self.reverse))
        nx, ny, nz = (*grid, 1, 1)[:3]
        getattr(self.kernels, name)(ctypes.c_void_p(address(self.workspace.work)), step, nx, ny, nz)

    def upload(self, samples: np.ndarray, pre_slot: int, post_slot: int) -> None:
        header = self.workspace.upload[: HEADER.itemsize].view(HEADER)
        header["pre_slot"], header["post_slot"] = pre_slot, post_slot
        data = np.ascontiguousarray(samples, self.layout.sample_dtype).reshape(-1)
        self.workspace.upload[HEADER_BYTES:] = data.view(np.uint8)
        enqueue_ingest(self.launch, self.layout)

    def stretch(self, pair: FramePair) -> None:
        self.upload(pair.pre.samples, 2, 2)
        self.upload(pair.post.samples, 2, 1)
        self.stretch_ring()

    def stretch_ring(self) -> None:
        """Stretch the pair in the header of the last upload."""
        enqueue_elongation(self.launch, self.layout)
        enqueue_resampling(self.launch, self.layout)

    def quality(self) -> None:
        enqueue_quality(self.launch, self.layout)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.workspace.arrays[name]

    def output(self) -> tuple[dict[str, np.ndarray], np.void]:
        return read_output(self.workspace.output, self.layout)
