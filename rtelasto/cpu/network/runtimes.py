"""The CPU runtimes that can run the graph of an engine.

=================  =======  =====================================================================
name               needs    arithmetic
=================  =======  =====================================================================
``onnxruntime``    —        float32; the reference that the shipped scores were measured with
``openvino``       extra    float32, the same numbers to rounding
``openvino-bf16``  extra    bfloat16 inside, on processors that multiply it: faster, less accurate
=================  =======  =====================================================================

``benchmarks/README.md`` lists the times and differences of all three.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import MissingExtraError, RtelastoError, first_line
from rtelasto.frames.rf import Float32Image

RUNTIMES = ("onnxruntime", "openvino", "openvino-bf16")

# A compiled graph serves one frame size: enough for two streams, or for switching between two depths.
_COMPILED_SIZES = 2


class Runtime(Protocol):
    """Runs the graph on two frames of one shape.

    The returned images are those of ``outputs``, in that order, and belong to the caller.
    """

    outputs: tuple[str, ...]

    def run(self, pre: Float32Image, post: Float32Image) -> tuple[Float32Image, ...]: ...


def check_runtime(name: str) -> None:
    """Raise RtelastoError unless ``name`` is one of `RUNTIMES`."""
    if name not in RUNTIMES:
        raise RtelastoError(f"cpu_runtime must be one of {', '.join(RUNTIMES)}, got {name!r}")


class OnnxRuntime:
    """ONNX Runtime.

    Raises
    ------
    RtelastoError
        If the file cannot be read.
    """

    def __init__(self, path: Path, threads: int | None) -> None:
        # Some builds send usage reports to their vendor, and log a warning if they cannot.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime as ort

        options = ort.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        # Threads that spin while waiting would take cores from the other stages, from the receiver and from
        # the scanner's own software on the same machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime raises its own types for every kind of bad file
            raise RtelastoError(f"{path}: not a readable ONNX file ({first_line(error)})") from None
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, pre: Float32Image, post: Float32Image) -> tuple[Float32Image, ...]:
        return tuple(self.compute({"pre": pre, "post": post}).values())

    def compute(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of a graph of any inputs, by name."""
        found = self._session.run(self.outputs, dict(inputs))
        return dict(zip(self.outputs, found, strict=True))


class OpenVino:
    """OpenVINO. The first frame of each size is compiled, which takes about half a second.

    Raises
    ------
    MissingExtraError
        If OpenVINO is not installed.
    RtelastoError
        If bfloat16 is requested and this processor does not support it, or OpenVINO cannot read the graph.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None,
        *,
        outputs: tuple[str, ...] = ("displacement", "strain"),
        bf16: bool,
    ) -> None:
        self.outputs = outputs
        self._core = _openvino_core()
        if bf16 and not _multiplies_bf16(self._core):
            raise RtelastoError(
                "runtime openvino-bf16 needs a processor with bfloat16 arithmetic (AVX512_BF16 or "
                "AMX): use --cpu-runtime openvino"
            )
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._path = path
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def run(self, pre: Float32Image, post: Float32Image) -> tuple[Float32Image, ...]:
        request = self._request_for(pre.shape)
        request.infer({"pre": pre, "post": post}, share_inputs=True)
        # The arrays of the request are overwritten by the next pair.
        return tuple(request.get_tensor(name).data.copy() for name in self.outputs)

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._requests:
            try:
                model = self._core.read_model(str(self._path))
                model.reshape({"pre": list(shape), "post": list(shape)})
                compiled = self._core.compile_model(model, "CPU", self._options)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[-200:]
                raise RtelastoError(
                    f"{self._path}: OpenVINO cannot run it ({reason}); use --cpu-runtime onnxruntime"
                ) from None
            self._requests[shape] = compiled.create_infer_request()
            if len(self._requests) > _COMPILED_SIZES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shape)
        return self._requests[shape]


def _openvino_core() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("the runtime openvino", "openvino") from None
    return openvino.Core()


def _multiplies_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def usable_runtimes() -> dict[str, str]:
    """Return, for every runtime, an empty string or the reason why it cannot be used on this machine."""
    try:
        core = _openvino_core()
    except MissingExtraError as error:
        return {name: "" if name == "onnxruntime" else str(error) for name in RUNTIMES}
    bf16 = "" if _multiplies_bf16(core) else "this processor has no bfloat16 arithmetic"
    return {"onnxruntime": "", "openvino": "", "openvino-bf16": bf16}
