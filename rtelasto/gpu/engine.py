"""The network engines on a GPU: a plan, or ONNX Runtime, on the stream and buffers of a pair.

They read ``pre`` and ``post`` from the output buffers of the stretch stage and write ``residual_samples``,
``residual_strain`` and what else they give to the input buffers of the quality stage; nothing is copied.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.onnx_atan import without_atan
from rtelasto.gpu.plan import Library, logger
from rtelasto.gpu.plan_cache import write_whole
from rtelasto.gpu.probe import find_gpu, installed
from rtelasto.gpu.workspace import MORE_OUTPUTS, Workspace, address

INPUTS = ("pre", "post")


def buffer_names(layout: Layout) -> dict[str, str]:
    """Return the buffer of every input and output of a network, by its name in the ONNX contract."""
    more = {name: MORE_OUTPUTS[name][0] for name in layout.more_outputs}
    outputs = {"displacement": "residual_samples", "strain": "residual_strain"}
    return {**{name: name for name in INPUTS}, **outputs, **more}


def network_arrays(workspace: Workspace) -> dict[str, Any]:
    """Return the inputs and outputs of a network on a buffer set, by their names in the ONNX contract."""
    names = buffer_names(workspace.layout)
    return {name: workspace.arrays[buffer] for name, buffer in names.items()}


class BoundEngine(Protocol):
    """An engine with its inputs and outputs at fixed addresses.

    ``capturable`` is true if :meth:`enqueue` may be recorded into a CUDA graph.
    """

    capturable: bool

    def enqueue(self) -> None:
        """Start the engine on the stream to which it was bound."""
        ...


class GpuEngine(Protocol):
    """A network that can be bound to the buffers of pairs."""

    runtime: str

    def bind(self, workspace: Workspace, stream: Any) -> BoundEngine: ...


class PlanEngine:
    """A plan, deserialised once and bound to each buffer set.

    Parameters
    ----------
    plan
        The compiled network.
    library
        The library that compiled it.
    kernels
        The file in which TensorRT for RTX keeps the kernels that it compiles at the first run.

    Raises
    ------
    RtelastoError
        If there is no GPU, or the library does not accept the plan on this one.
    """

    def __init__(self, plan: bytes, library: Library, kernels: Path | None = None) -> None:
        find_gpu()  # creating a runtime without a driver would abort the process
        if TYPE_CHECKING:
            import tensorrt as trt
        else:
            trt = importlib.import_module(library)
        self.runtime: str = library
        # The library requires the runtime to outlive its engines.
        self._runtime = trt.Runtime(logger(library))
        self._engine: Any = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise RtelastoError(
                f"{library} does not accept its plan on this GPU: rebuild it with "
                "rtelasto engines build --rebuild, or use --device onnxruntime"
            )
        self._library = library
        self._kernels, self._kept = kernels, 0
        managed: Any = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._how = managed
        if library == "tensorrt_rtx":
            self._how = self._engine.create_runtime_config()
            self._how.set_execution_context_allocation_strategy(managed)
            self._cache = self._how.create_runtime_cache()
            if kernels is not None and kernels.exists():
                # One of another version, GPU or driver is rejected and changes nothing.
                self._cache.deserialize(kernels.read_bytes())
            self._how.set_runtime_cache(self._cache)

    def bind(self, workspace: Workspace, stream: Any) -> BoundPlan:
        context = self._engine.create_execution_context(self._how)
        if context is None:
            raise RtelastoError(f"{self._library} cannot create an execution context on this GPU")
        n_bytes = max(int(self._engine.device_memory_size_v2), 1)
        return BoundPlan(context, n_bytes, self._library, workspace, stream)

    def keep_kernels(self) -> None:
        """Write what TensorRT for RTX compiled in the first run, so that the next start loads it."""
        if self._library != "tensorrt_rtx" or self._kernels is None:
            return
        contents = bytes(memoryview(self._cache.serialize()))
        if len(contents) != self._kept:
            self._kept = len(contents)
            with suppress(OSError):  # the next start compiles them again
                write_whole(self._kernels, contents)


class BoundPlan:
    """An execution context of a plan, in memory that we own and that does not move."""

    def __init__(
        self, context: Any, n_bytes: int, library: Library, workspace: Workspace, stream: Any
    ) -> None:
        import cupy as cp

        if TYPE_CHECKING:
            import tensorrt as trt
        else:
            trt = importlib.import_module(library)
        self._context = context
        self._memory = cp.cuda.alloc(n_bytes)  # CuPy's addresses are multiples of 512
        self._context.set_device_memory(self._memory.ptr, n_bytes)
        self._stream = stream
        shape = workspace.layout.grid.shape
        for name in INPUTS:
            if not self._context.set_input_shape(name, trt.Dims2(*shape)):
                raise RtelastoError(f"{library}: the plan is for other frames than {shape}")
        for name, array in network_arrays(workspace).items():
            if not self._context.set_tensor_address(name, address(array)):
                raise RtelastoError(f"{library}: the plan has no tensor {name!r}")
        asks = getattr(self._context, "is_stream_capturable", None)
        self.capturable = True if asks is None else bool(asks(stream.ptr))

    def enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.ptr):
            raise RuntimeError("the plan could not be started")


class OrtEngine:
    """ONNX Runtime's CUDA provider, for GPUs that neither TensorRT nor TensorRT for RTX supports.

    Raises
    ------
    RtelastoError
        If the installed ONNX Runtime has no CUDA provider, or the provider does not start.
    """

    runtime = "onnxruntime"

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        find_gpu()
        # From the packages that onnxruntime-gpu installs them with; the provider searches the system alone.
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls(directory="")
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            raise RtelastoError(
                "onnxruntime has no CUDA provider here: "
                "pip uninstall onnxruntime && pip install onnxruntime-gpu"
            )
        # The package may be missing; the network then waits for the host at every arctangent.
        self._model: str | bytes = without_atan(path) if installed("onnx") else str(path)

    def bind(self, workspace: Workspace, stream: Any) -> BoundOrt:
        return BoundOrt(self._model, workspace, stream)


class BoundOrt:
    """A session whose inputs and outputs are in CuPy's memory and which uses CuPy's stream."""

    # The provider supports only its own graphs; recorded into ours, its allocations would fail.
    capturable = False

    def __init__(self, model: str | bytes, workspace: Workspace, stream: Any) -> None:
        import cupy as cp
        import onnxruntime as ort

        device_id = cp.cuda.Device().id
        provider = (
            "CUDAExecutionProvider",
            {
                "device_id": str(device_id),
                "user_compute_stream": str(stream.ptr),
                "use_tf32": "0",
                # Not by trying every algorithm, which takes seconds for each of the sessions.
                "cudnn_conv_algo_search": "HEURISTIC",
            },
        )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self._session = ort.InferenceSession(model, options, providers=[provider])
        if self._session.get_providers()[0] != "CUDAExecutionProvider":
            raise RtelastoError(
                "onnxruntime's CUDA provider did not start: its CUDA and cuDNN libraries are missing "
                "(pip install 'onnxruntime-gpu[cuda,cudnn]')"
            )
        self._binding = self._session.io_binding()
        for name, array in network_arrays(workspace).items():
            bind = self._binding.bind_input if name in INPUTS else self._binding.bind_output
            bind(name, "cuda", device_id, np.float32, array.shape, address(array))
        self._options = ort.RunOptions()
        # The stream orders everything, so the host need not wait.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def enqueue(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)
