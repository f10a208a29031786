"""Transfers of samples and results between host and device; no other file makes any."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtelasto.gpu.source import HEADER
from rtelasto.gpu.workspace import HEADER_BYTES, Workspace, address, output_bytes, read_output


class Transfer:
    """Pinned host memory for one buffer set's upload and download.

    With pinned memory the copies run concurrently with kernels and return at once. Both copies use the
    current stream, and both can be recorded into a CUDA graph because the addresses do not change.
    """

    def __init__(self, workspace: Workspace) -> None:
        import cupyx

        self._workspace = workspace
        self._upload = cupyx.empty_pinned(workspace.upload.shape, np.uint8)
        self._output = cupyx.empty_pinned(output_bytes(workspace.layout), np.uint8)
        layout = workspace.layout
        shape = (layout.rf_format.n_lines, layout.rf_format.n_samples)
        self._header = self._upload[: HEADER.itemsize].view(HEADER)
        self._samples = self._upload[HEADER_BYTES:].view(layout.sample_dtype).reshape(shape)

    def stage(self, samples: np.ndarray, *, pre_slot: int, post_slot: int) -> None:
        """Copy a frame, and the slots of it and its partner in the ring, to pinned memory.

        The previous upload must be done. On return the caller may reuse ``samples``.
        """
        self._header["pre_slot"], self._header["post_slot"] = pre_slot, post_slot
        with np.errstate(over="ignore"):  # values outside float32 count as 0 on the device
            np.copyto(self._samples, samples, casting="unsafe")

    def enqueue_upload(self) -> None:
        """Start the copy of the staged frame; on return the copy may not have begun."""
        self._copy(address(self._workspace.upload), self._upload, to_device=True)

    def enqueue_download(self) -> None:
        """Start the copy of the results; it is complete when the stream reaches this point."""
        self._copy(address(self._workspace.output), self._output, to_device=False)

    def results(self) -> tuple[dict[str, np.ndarray], np.void]:
        """Return copies of the images by name, and the summary; the download must be done."""
        return read_output(self._output, self._workspace.layout)

    @staticmethod
    def _copy(device: int, host: np.ndarray, *, to_device: bool) -> None:
        import cupy as cp
        from cupy.cuda import runtime

        stream: Any = cp.cuda.get_current_stream()
        target, source = (device, host.ctypes.data) if to_device else (host.ctypes.data, device)
        kind = runtime.memcpyHostToDevice if to_device else runtime.memcpyDeviceToHost
        runtime.memcpyAsync(target, source, host.nbytes, kind, stream.ptr)
