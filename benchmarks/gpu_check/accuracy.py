"""Accuracy of the GPU path on held-out tissue, over that of the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from benchmarks.gpu_check.parity import gpu_estimator
from benchmarks.gpu_check.report import Bound
from rtelasto.accuracy.compare import Column, Competitor, compare
from rtelasto.accuracy.summary import spread
from rtelasto.accuracy.tissues import held_out_pairs
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair
from rtelasto.frames.strain import StrainFrame
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.pipeline.devices import open_estimator


class _OnGpu(Competitor):
    """The GPU path in the accuracy comparison, stretch and quality included."""

    def __init__(self, estimator: GpuEstimator) -> None:
        self.name = "gpu"
        self._estimate = estimator

    def strains(self, pair: FramePair) -> Iterator[tuple[Column, StrainFrame]]:
        yield Column(self.name), self._estimate(pair)


def accuracy(engine: str, device: str, *, tissues: int = 6) -> list[Bound]:
    """Compare the scores of the GPU and of the CPU on held-out tissue."""
    importlib.import_module("skfem")  # the simulator needs it, and says so later
    on_cpu = open_estimator(engine, device="cpu")
    assert isinstance(on_cpu, CpuEstimator)
    competitors = [Competitor(on_cpu.engine, "cpu"), _OnGpu(gpu_estimator(engine, device))]
    result = compare(competitors, held_out_pairs("published", tissues))
    bounds = []
    for metric in ("strain_rmse_percent", "displacement_rmse_samples"):
        medians = {
            name: spread([s for s in result.scores if s.column.label == name], metric).median
            for name in ("cpu", "gpu")
        }
        change = abs(medians["gpu"] / medians["cpu"] - 1.0)
        bounds.append(Bound(f"{metric}, relative change", change, limit=0.02))
    return bounds
