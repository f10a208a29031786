"""Transfers of samples and results between host and device; no other file makes any."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.gpu.records import HEADER
from rtelasto.gpu.workspace import HEADER_BYTES, Workspace, address, read_output


class Mirror:
    """A device array and an array like it in pinned host memory.

    With pinned memory the copies run concurrently with kernels and return at once. They use the current
    stream, and can be recorded into a CUDA graph because the addresses do not change.

    Attributes
    ----------
    host
        The array in pinned memory.
    """

    def __init__(self, on_device: Any) -> None:
        import cupyx

        self._on_device = on_device
        self.host: NDArray[Any] = cupyx.empty_pinned(on_device.shape, on_device.dtype)

    def enqueue_upload(self) -> None:
        """Start the copy to the device; on return it may not have begun."""
        self._copy(to_device=True)

    def enqueue_download(self) -> None:
        """Start the copy to the host; it is complete when the stream reaches this point."""
        self._copy(to_device=False)

    def _copy(self, *, to_device: bool) -> None:
        import cupy as cp
        from cupy.cuda import runtime

        stream: Any = cp.cuda.get_current_stream()
        device, host = address(self._on_device), address(self.host)
        target, source = (device, host) if to_device else (host, device)
        kind = runtime.memcpyHostToDevice if to_device else runtime.memcpyDeviceToHost
        runtime.memcpyAsync(target, source, self.host.nbytes, kind, stream.ptr)


class Transfer:
    """Upload and download of one buffer set."""

    def __init__(self, workspace: Workspace) -> None:
        self._layout = layout = workspace.layout
        self.upload, self.output = Mirror(workspace.upload), Mirror(workspace.output)
        shape = (layout.rf_format.n_lines, layout.rf_format.n_samples)
        self._header = self.upload.host[: HEADER.itemsize].view(HEADER)
        self._samples = self.upload.host[HEADER_BYTES:].view(layout.sample_dtype).reshape(shape)

    def stage(self, samples: np.ndarray, *, pre_slot: int, post_slot: int) -> None:
        """Copy a frame, and the slots of it and its partner in the ring, to pinned memory.

        The previous upload must be done. On return the caller may reuse ``samples``.
        """
        self._header["pre_slot"], self._header["post_slot"] = pre_slot, post_slot
        with np.errstate(over="ignore"):  # values outside float32 count as 0 on the device
            np.copyto(self._samples, samples, casting="unsafe")

    def results(self) -> tuple[dict[str, np.ndarray], np.void]:
        """Return copies of the images by name, and the summary; the download must be done."""
        return read_output(self.output.host, self._layout)
