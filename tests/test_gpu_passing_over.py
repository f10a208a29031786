"""A runtime that fails late: the next one runs the network, then the CPU, and the log says why."""

from __future__ import annotations

from typing import Any

import host_cuda
import numpy as np
import pytest
from simulated_gpu import Network, on_cpu

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.gpu.engine import BoundEngine
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.graph import Sequence, Stage
from rtelasto.gpu.runtimes import FirstThatRuns
from rtelasto.gpu.workspace import Workspace

pytestmark = pytest.mark.usefixtures("simulated_device")

FORMAT = RfFormat(
    n_lines=16, n_samples=420, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


class _Failing:
    """A network that can be bound and not started, or cannot even be bound."""

    runtime = "failing"
    capturable = True

    def __init__(self, *, when: str) -> None:
        self._when = when

    def bind(self, workspace: Workspace, stream: Any) -> BoundEngine:
        if self._when == "bind":
            raise RtelastoError("it cannot make an execution context on this GPU")
        return self

    def enqueue(self) -> None:
        raise OSError("libcudnn.so.9: cannot open shared object file")


def _refused() -> Network:
    raise RtelastoError("it does not take its plan on this GPU")


def pair() -> FramePair:
    noise = np.random.default_rng(3).integers(-999, 999, (2, 16, 420)).astype(np.int16)
    return FramePair(
        RfFrame(noise[0], FORMAT, FrameStamp(0)), RfFrame(noise[1], FORMAT, FrameStamp(1))
    )


WAYS: dict[str, Any] = {
    "refused": _refused,
    "unbound": lambda: _Failing(when="bind"),
    "unstarted": lambda: _Failing(when="enqueue"),
}


def gpu(ways: dict[str, Any], *, may_fall_back: bool = True) -> GpuEstimator:
    return GpuEstimator(
        "cnn",
        6.4,
        4,
        lambda shape: FirstThatRuns("cnn.onnx", dict(ways)),
        on_cpu(),
        may_fall_back=may_fall_back,
    )


@pytest.mark.slow
def test_the_next_runtime_is_taken_and_a_line_says_why(caplog: pytest.LogCaptureFixture) -> None:
    estimator = gpu({**WAYS, "good": Network}, may_fall_back=False)
    got, wanted = estimator(pair()), on_cpu()(pair())
    np.testing.assert_allclose(got.axial_strain, wanted.axial_strain, atol=2e-6)
    assert estimator.device == "gpu"
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lines == [
        "skipped refused: it does not take its plan on this GPU",
        "skipped unbound: it cannot make an execution context on this GPU",
        "skipped unstarted: libcudnn.so.9: cannot open shared object file",
    ]


def test_if_none_runs_the_cpu_processes_the_frames(caplog: pytest.LogCaptureFixture) -> None:
    estimator = gpu(WAYS)
    for _ in range(2):
        got, wanted = estimator(pair()), on_cpu()(pair())
        np.testing.assert_array_equal(got.axial_strain, wanted.axial_strain)
    assert estimator.device == "cpu"
    (line,) = [text for text in caplog.messages if text.startswith("the CPU processes frames")]
    assert "libcudnn" in line
    assert "execution context" in line


def test_where_the_gpu_is_insisted_on_the_reasons_are_one_line() -> None:
    with pytest.raises(RtelastoError, match=r"no runtime runs cnn\.onnx.*libcudnn") as caught:
        gpu(WAYS, may_fall_back=False)(pair())
    assert "\n" not in str(caught.value)


def test_a_stage_that_cannot_be_recorded_runs_between_the_graphs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = host_cuda.Stream(non_blocking=True)
    done: list[str] = []

    def stage(name: str) -> Stage:
        def enqueue() -> None:
            if name == "engine" and stream._recording is not None:
                raise RuntimeError("operation not permitted when stream is capturing")
            host_cuda.enqueue(lambda: done.append(name))

        return Stage(name, enqueue)

    names = ["elongation", "resampling", "engine", "quality", "download"]
    sequence = Sequence([stage(name) for name in names], stream)
    for _ in range(2):
        done.clear()
        sequence.launch()
        stream.synchronize()
        assert done == names
    assert caplog.messages == [
        "engine runs outside the graph: operation not permitted when stream is capturing"
    ]


def test_the_error_that_ended_a_capture_is_the_one_that_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, ending a capture that was broken fails, too."""
    stream = host_cuda.Stream(non_blocking=True)
    broken = []

    def enqueue() -> None:
        if stream._recording is not None:
            broken.append(True)
            raise MemoryError("no memory left in the pool")
        host_cuda.enqueue(lambda: None)

    end = host_cuda.Stream.end_capture

    def end_capture(self: host_cuda.Stream) -> host_cuda.Graph:
        if broken:
            broken.clear()
            self._recording = None
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return end(self)

    monkeypatch.setattr(host_cuda.Stream, "end_capture", end_capture)
    Sequence([Stage("engine", enqueue)], stream)
    assert caplog.messages == ["engine runs outside the graph: no memory left in the pool"]
