"""Two pairs in flight on the simulated device: no upload waits for the work on the pair before it."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_gpu import estimator

from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.gpu.session import Lane
from rtelasto.pipeline.pair_policy import PairPolicy

pytestmark = pytest.mark.usefixtures("simulated_device")

FORMAT = RfFormat(
    n_lines=16, n_samples=420, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
N_PAIRS = 20
# What live runs can be asked for, and how far back the pairs are that come of it.
POLICIES = {
    "consecutive": (PairPolicy.parse("consecutive"), 1),
    "lag 4": (PairPolicy.parse("lag 4"), 4),
    "lag 9": (PairPolicy.parse("lag 9"), 9),
    "adaptive, lag 1": (PairPolicy.parse("adaptive"), 1),
    "adaptive, lag 4": (PairPolicy.parse("adaptive"), 4),
    "adaptive, reaching far": (PairPolicy.parse("adaptive"), PairPolicy.parse("adaptive").history),
}


def frames(n_frames: int) -> list[RfFrame]:
    rng = np.random.default_rng(1)
    shape = (FORMAT.n_lines, FORMAT.n_samples)
    return [
        RfFrame(rng.integers(-999, 999, shape).astype(np.int16), FORMAT, FrameStamp(k))
        for k in range(n_frames)
    ]


def blocked(gpu: GpuEstimator, pairs: list[FramePair]) -> int:
    """How many pairs' uploads cannot be done before the work on the pair before them."""
    n_blocked = 0
    before: Lane | None = None
    for pair in pairs:
        if not gpu.room:
            gpu.collect()
        gpu.start(pair)
        lane = gpu.newest_lane
        if before is not None:
            done = before.stream._ran
            lane.upload_stream.synchronize()
            n_blocked += before.stream._ran != done
        before = lane
    while gpu.room < 2:
        gpu.collect()
    return n_blocked


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_an_upload_does_not_wait_for_the_pair_in_flight(name: str) -> None:
    policy, lag = POLICIES[name]
    gpu = estimator(history=policy.history)
    every = frames(lag + N_PAIRS + 1)
    pairs = [FramePair(pre, post) for pre, post in zip(every, every[lag:], strict=False)]
    gpu(pairs[0])
    assert blocked(gpu, pairs[1:]) == 0


@pytest.mark.parametrize("name", list(POLICIES)[:-1])
def test_every_frame_is_uploaded_once(name: str) -> None:
    policy, lag = POLICIES[name]
    gpu = estimator(history=policy.history)
    every = frames(lag + N_PAIRS)
    # Those that are partners only are uploaded with the first pair that they are in.
    pairs = [FramePair(every[0], frame) for frame in every[1 : lag + 1]]
    pairs += [FramePair(pre, post) for pre, post in zip(every[1:], every[lag + 1 :], strict=False)]
    uploaded: list[int] = []
    for pair in pairs:
        gpu(pair)
        uploads = gpu._session._n_frames if gpu._session is not None else 0
        uploaded.append(uploads)
    assert uploaded[-1] == len(every)


def test_no_upload_waits_for_pairs_of_any_frames() -> None:
    gpu = estimator(history=1)
    every = frames(5)
    rng = np.random.default_rng(0)
    chosen = [rng.choice(len(every), 2, replace=False) for _ in range(N_PAIRS)]
    gpu(FramePair(every[0], every[1]))
    assert blocked(gpu, [FramePair(every[pre], every[post]) for pre, post in chosen]) == 0
