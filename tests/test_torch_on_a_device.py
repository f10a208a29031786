"""The whole GPU path with PyTorch's network, on the simulated device, against the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the runtime torch needs the extra 'torch'")

import host_cuda
from simulated_gpu import on_cpu

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import FramePair, RfFormat
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.pytorch.engine import BoundTorch
from rtelasto.gpu.workspace import Workspace
from rtelasto_engines import shipped_models

pytestmark = pytest.mark.slow

FORMAT = RfFormat(
    n_lines=24, n_samples=700, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


class _OnHost:
    """PyTorch's network on NumPy memory, started in the order of the simulated stream."""

    runtime = "torch"
    capturable = True

    def bind(self, workspace: Workspace, stream: Any) -> _OnHost:
        bound = _OnHost()
        path = shipped_models()["cnn"].path
        bound._network = BoundTorch(path, workspace, stream, compiled=False)
        return bound

    def enqueue(self) -> None:
        host_cuda.enqueue(self._network.enqueue)


@pytest.mark.usefixtures("simulated_device")
def test_pairs_in_flight_with_pytorch_are_those_of_the_cpu() -> None:
    gpu = GpuEstimator("cnn", 6.4, 4, lambda shape: _OnHost(), on_cpu())
    first, second, third = timing_frames(FORMAT, strain=0.004)
    pairs = [FramePair(first, second), FramePair(second, third)]
    for pair in pairs:
        gpu.start(pair)
    for pair in pairs:
        got, wanted = gpu.collect(), on_cpu()(pair)
        np.testing.assert_allclose(got.axial_strain, wanted.axial_strain, atol=2e-6)
        np.testing.assert_allclose(
            got.axial_displacement_m, wanted.axial_displacement_m, atol=2.5e-9
        )
        assert got.quality == pytest.approx(wanted.quality, abs=1e-4)
