"""The network engines by PyTorch, on the stream and the buffers of a pair."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtelasto.errors import RtelastoError
from rtelasto.gpu.engine import INPUTS, network_arrays
from rtelasto.gpu.probe import find_gpu
from rtelasto.gpu.pytorch.graph import read_network
from rtelasto.gpu.workspace import Workspace


class BoundNetwork:
    """A network between arrays that do not move: reads the inputs, writes the outputs.

    Parameters
    ----------
    path
        The ONNX file.
    arrays
        By the names of the ONNX contract: ``pre`` and ``post`` (n_lines, n_depths), and the outputs that
        are wanted; float32, of NumPy or CuPy. They share their memory with the network's tensors.
    compiled
        Whether torch.compile fuses the operations; the first run then takes a minute or two.

    Raises
    ------
    RtelastoError
        If the network cannot be read, or its outputs have other shapes than the arrays.
    """

    def __init__(self, path: Path, arrays: dict[str, Any], *, compiled: bool = False) -> None:
        tensors = {name: torch.from_dlpack(array) for name, array in arrays.items()}
        outputs = [name for name in arrays if name not in INPUTS]
        self._inputs = [tensors[name] for name in INPUTS]
        self._outputs = [tensors[name] for name in outputs]
        n_lines, n_depths = self._inputs[0].shape
        module = read_network(path, (n_lines, n_depths), outputs)
        module.to(self._inputs[0].device)
        for name, shape in zip(outputs, module.meta["shapes"], strict=True):
            if shape != tensors[name].shape:
                wanted = " × ".join(str(size) for size in tensors[name].shape)
                raise RtelastoError(f"{path}: {name} is not {wanted} for these frames")
        self._run = torch.compile(module, dynamic=False) if compiled else module

    def run(self) -> None:
        """Do it once; on a GPU, start it on torch's current stream and return."""
        # Convolutions in full single precision where the file says so; TF32 keeps ten bits.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for buffer, result in zip(self._outputs, self._run(*self._inputs), strict=True):
                buffer.copy_(result)


class TorchEngine:
    """PyTorch, for GPUs that neither TensorRT serves.

    Raises
    ------
    RtelastoError
        If there is no GPU, or PyTorch does not find it.
    """

    runtime = "torch"

    def __init__(self, path: Path, *, compiled: bool = False) -> None:
        find_gpu()
        if not torch.cuda.is_available():
            reason = (
                "is built without CUDA" if torch.version.cuda is None else "finds no CUDA device"
            )
            raise RtelastoError(
                f"PyTorch {torch.__version__} {reason}: pip install 'rtelasto[torch]' afresh"
            )
        self._path, self._compiled = path, compiled

    def bind(self, workspace: Workspace, stream: Any) -> BoundTorch:
        return BoundTorch(self._path, workspace, stream, compiled=self._compiled)


class BoundTorch:
    """A network on one buffer set.

    What it allocates on the way comes from a pool of its own: addresses that a CUDA graph has recorded
    are then given to nothing else, and after the first run nothing is asked of the driver.
    """

    capturable = True

    def __init__(self, path: Path, workspace: Workspace, stream: Any, *, compiled: bool) -> None:
        arrays = network_arrays(workspace)
        self._stream: Any = None
        if not isinstance(arrays["pre"], np.ndarray):
            torch.cuda.init()
            # CuPy's device, which need not be the one that torch would use.
            self._device = torch.device("cuda", arrays["pre"].device.id)
            self._stream = torch.cuda.ExternalStream(stream.ptr, device=self._device)
            with torch.cuda.device(self._device):
                self._pool = torch.cuda.MemPool()
        with self._at_home():
            self._network = BoundNetwork(path, arrays, compiled=compiled)

    def _at_home(self) -> ExitStack:
        """On the stream and in the pool of this buffer set."""
        home = ExitStack()
        if self._stream is not None:
            home.enter_context(torch.cuda.stream(self._stream))
            home.enter_context(torch.cuda.use_mem_pool(self._pool, self._device))
        return home

    def enqueue(self) -> None:
        with self._at_home():
            self._network.run()
