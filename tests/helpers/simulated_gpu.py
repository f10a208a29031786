"""The GPU estimator on the simulated device (``host_cuda``), with the shipped network on the CPU."""

from __future__ import annotations

from typing import Any

import host_cuda
import numpy as np
import onnxruntime as ort

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.gpu.engine import BUFFERS, INPUTS
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.workspace import Workspace
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines import shipped_models


class Network:
    """The shipped network between the buffers of a pair, in stream order; recorded or not."""

    runtime = "host"

    def __init__(self, *, capturable: bool = True) -> None:
        self.capturable = capturable
        self._session = ort.InferenceSession(
            str(shipped_models()["cnn"].path), providers=["CPUExecutionProvider"]
        )
        self._arrays: dict[str, np.ndarray] = {}

    def bind(self, workspace: Workspace, stream: Any) -> Network:
        bound = Network.__new__(Network)
        bound.capturable, bound._session = self.capturable, self._session
        bound._arrays = {name: workspace.arrays[buffer] for name, buffer in BUFFERS.items()}
        return bound

    def enqueue(self) -> None:
        def run() -> None:
            outputs = [name for name in self._arrays if name not in INPUTS]
            inputs = {name: self._arrays[name] for name in INPUTS}
            for name, values in zip(outputs, self._session.run(outputs, inputs), strict=True):
                self._arrays[name][:] = values

        host_cuda.enqueue(run)


def estimator(**options: Any) -> GpuEstimator:
    network = Network(capturable=options.pop("capturable", True))
    return GpuEstimator("cnn", 6.4, 4, lambda shape: network, on_cpu(), **options)


def on_cpu() -> CpuEstimator:
    return CpuEstimator(open_engine("cnn"))
