"""What a start on a GPU waits for: no plan of a size that no scanner sent, no kernels compiled twice."""

from __future__ import annotations

import importlib
import inspect

import pytest
from simulated_gpu import Network, on_cpu

from rtelasto.frames.rf import FramePair
from rtelasto.frames.strain import StrainFrame
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.probe import installed
from rtelasto.pipeline.pairing import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline


@pytest.mark.slow
@pytest.mark.usefixtures("simulated_device")
def test_no_plan_is_built_before_the_size_of_the_frames_is_known() -> None:
    shapes: list[tuple[int, int]] = []
    loaded: list[str] = []

    def engine_for(shape: tuple[int, int]) -> Network:
        shapes.append(shape)
        return Network()

    gpu = GpuEstimator(
        "cnn", 6.4, 4, engine_for, on_cpu(), prepare=lambda: loaded.append("library")
    )
    gpu.warm_up()
    assert (shapes, loaded) == ([], ["library"])


@pytest.mark.skipif(
    not installed("tensorrt_rtx"),
    reason="tensorrt-rtx is not installed (pip install '.[gpu-test]')",
)
def test_tensorrt_rtx_can_keep_the_kernels_that_it_compiles() -> None:
    trt = importlib.import_module("tensorrt_rtx")
    assert hasattr(trt.ICudaEngine, "create_runtime_config")
    for name in (
        "set_execution_context_allocation_strategy",
        "create_runtime_cache",
        "set_runtime_cache",
    ):
        assert hasattr(trt.IRuntimeConfig, name)
    for name in ("serialize", "deserialize"):
        assert hasattr(trt.IRuntimeCache, name)
    assert "runtime_config" in inspect.getdoc(trt.ICudaEngine.create_execution_context)


class _CountedEstimator:
    """An estimator of which attributes are looked up only where it is used."""

    device = "cpu"
    lookups = 0

    def __call__(self, pair: FramePair) -> StrainFrame:
        raise AssertionError("no pair is estimated in this test")

    def __getattr__(self, name: str) -> object:
        type(self).lookups += 1
        raise AttributeError(name)


def test_a_frame_does_not_wait_for_a_check_of_the_estimator_against_a_protocol() -> None:
    """On Python 3.11 such a check asks the estimator for every name of the protocol, 13 µs each time."""
    pipeline = Pipeline(_CountedEstimator(), PairPolicy())
    before = _CountedEstimator.lookups
    for _ in range(10):
        assert pipeline.room == 1
    assert _CountedEstimator.lookups == before
