"""The pipeline in two halves gives what it gives in one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from rtelasto.bench.stages import timing_frames
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline

FORMAT = RfFormat(
    n_lines=24, n_samples=600, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)


class LaterEstimator:
    """Estimates on the CPU, but only when the result is asked for; two pairs may wait."""

    device = "later"

    def __init__(self) -> None:
        self._estimate = CpuEstimator(open_engine("cnn"))
        self._pairs: deque[FramePair] = deque()

    def __call__(self, pair: FramePair) -> StrainFrame:
        self.start(pair)
        return self.collect()

    @property
    def room(self) -> int:
        return 2 - len(self._pairs)

    def start(self, pair: FramePair) -> None:
        assert self.room
        self._pairs.append(pair)

    def collect(self) -> StrainFrame:
        return self._estimate(self._pairs.popleft())


@pytest.fixture(scope="module")
def frames() -> list[RfFrame]:
    """Twelve frames that strain alike, one of them without an image, one missing."""
    three = [frame.samples for frame in timing_frames(FORMAT)]
    frames = [
        RfFrame(three[(0, 1, 2, 1)[k % 4]], FORMAT, FrameStamp(k, received_ns=1)) for k in range(13)
    ]
    frames[4] = RfFrame(np.zeros_like(three[0]), FORMAT, FrameStamp(4, received_ns=1))
    del frames[8]
    return frames


def one_by_one(pipeline: Pipeline, frames: list[RfFrame]) -> list[StrainFrame]:
    return [strain for frame in frames if (strain := pipeline.process(frame)) is not None]


def overlapping(pipeline: Pipeline, frames: list[RfFrame]) -> list[StrainFrame]:
    """As a live run with frames waiting all the time."""
    collected = []
    for frame in frames:
        pipeline.start(frame)
        if not pipeline.room:
            collected.append(pipeline.collect())
    while pipeline.pending:
        collected.append(pipeline.collect())
    return [strain for strain in collected if strain is not None]


@pytest.mark.parametrize("run", [one_by_one, overlapping])
def test_an_estimator_that_finishes_later_gives_the_same_frames(
    frames: list[RfFrame], run: Callable[[Pipeline, list[RfFrame]], list[StrainFrame]]
) -> None:
    policy = PairPolicy()
    at_once = Pipeline(CpuEstimator(open_engine("cnn")), policy)
    wanted = one_by_one(at_once, frames)
    later = Pipeline(LaterEstimator(), policy)
    got = run(later, frames)
    assert [strain.frame_ids for strain in got] == [strain.frame_ids for strain in wanted]
    for strain, expected in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(strain.axial_strain, expected.axial_strain)
        assert {"pair", "queue", "total"} <= set(strain.stage_ns)
    assert later.counters.snapshot() == at_once.counters.snapshot()
    assert later.pending == 0


def test_at_most_one_pair_is_pending_on_an_estimator_that_waits(frames: list[RfFrame]) -> None:
    pipeline = Pipeline(CpuEstimator(open_engine("cnn")), PairPolicy())
    assert pipeline.room == 1
    assert not pipeline.start(frames[0])
    assert pipeline.start(frames[1])
    assert (pipeline.room, pipeline.pending) == (0, 1)
    assert pipeline.collect() is not None
    assert pipeline.pending == 0


def test_a_refused_pair_is_collected_as_none() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 24, 600)).astype(np.float32)
    pipeline = Pipeline(LaterEstimator(), PairPolicy(lag=None))
    pipeline.start(RfFrame(noise[0], FORMAT, FrameStamp(0)))
    assert pipeline.start(RfFrame(noise[1], FORMAT, FrameStamp(1)))
    assert pipeline.collect() is None
    assert pipeline.counters["pair.decorrelated"] == 1
