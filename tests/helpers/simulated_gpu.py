"""The GPU estimator on the simulated device (``host_cuda``), with the shipped network on the CPU."""

from __future__ import annotations

import dataclasses
from typing import Any

import host_cuda
import numpy as np
import onnxruntime as ort

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.strain import ResidualMotion, StretchedPair
from rtelasto.gpu.engine import INPUTS, network_arrays
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.workspace import MORE_OUTPUTS, Workspace
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
        bound._arrays = network_arrays(workspace)
        return bound

    def enqueue(self) -> None:
        def run() -> None:
            outputs = ("displacement", "strain")
            inputs = {name: self._arrays[name] for name in INPUTS}
            for name, values in zip(outputs, self._session.run(outputs, inputs), strict=True):
                self._arrays[name][:] = values
            for name, values in more_outputs(self._arrays["strain"]).items():
                if name in self._arrays:
                    self._arrays[name][:] = values

        host_cuda.enqueue(run)


def more_outputs(strain: np.ndarray) -> dict[str, np.ndarray]:
    """Values for the outputs that the shipped network does not have: lines, lateral strain, deviation."""
    return {
        "lateral_displacement": np.float32(20.0) * strain,
        "lateral_strain": np.float32(-0.5) * strain,
        "strain_std": np.float32(1e-4) + np.float32(0.5) * np.abs(strain),
    }


class WithMoreOutputs:
    """The engine of the CPU, with `more_outputs`."""

    def __init__(self) -> None:
        self._engine = open_engine("cnn")
        self.name, self.samples_per_wavelength = "cnn", self._engine.samples_per_wavelength

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        motion = self._engine.estimate(pair)
        more = more_outputs(motion.axial_strain)
        return dataclasses.replace(
            motion,
            lateral_displacement_m=more["lateral_displacement"]
            * np.float32(pair.grid.line_pitch_m),
            lateral_strain=more["lateral_strain"],
            axial_strain_std=more["strain_std"],
        )


def estimator(**options: Any) -> GpuEstimator:
    network = Network(capturable=options.pop("capturable", True))
    return GpuEstimator("cnn", 6.4, 4, lambda shape: network, on_cpu(), **options)


def on_cpu() -> CpuEstimator:
    return CpuEstimator(open_engine("cnn"))


def with_more_outputs() -> tuple[GpuEstimator, CpuEstimator]:
    """Estimators on either device whose network gives every output of the ONNX contract."""
    return estimator(more_outputs=tuple(MORE_OUTPUTS)), CpuEstimator(WithMoreOutputs())
