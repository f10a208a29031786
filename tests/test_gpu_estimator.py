"""The whole GPU path against the CPU's, on a device that is simulated to the order of its work.

``host_cuda`` runs nothing before something waits for it; ``host_kernels`` are the kernels themselves. Real
devices are the business of ``benchmarks.gpu_check``.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import pytest
from simulated_gpu import Network, estimator, on_cpu, with_more_outputs

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("simulated_device")

FORMAT = RfFormat(
    n_lines=24, n_samples=700, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
OTHER = RfFormat(
    n_lines=17, n_samples=901, sampling_freq_hz=31.25e6, center_freq_hz=7.8125e6, line_pitch_m=2e-4
)


@lru_cache
def simulated(rf_format: RfFormat) -> list[RfFrame]:
    return timing_frames(rf_format, strain=0.004)


def frames(n_frames: int, rf_format: RfFormat = FORMAT, dtype: str = "int16") -> list[RfFrame]:
    """Frames that go to and fro, so that any two of them differ by a press or by nothing."""
    three = [frame.samples.astype(dtype) for frame in simulated(rf_format)]
    return [
        RfFrame(
            three[(0, 1, 2, 1)[k % 4]].copy(),
            rf_format,
            FrameStamp(k, acquired_ns=100 + k, stream="s"),
        )
        for k in range(n_frames)
    ]


def assert_same(got: StrainFrame, wanted: StrainFrame) -> None:
    assert got.grid == wanted.grid
    assert (got.frame_ids, got.acquired_ns, got.stream) == (
        wanted.frame_ids,
        wanted.acquired_ns,
        wanted.stream,
    )
    np.testing.assert_allclose(got.axial_strain, wanted.axial_strain, atol=2e-6)
    # 1e-4 of a sample, to which both refine the global motion.
    np.testing.assert_allclose(got.axial_displacement_m, wanted.axial_displacement_m, atol=2.5e-9)
    assert np.quantile(np.abs(got.correlation - wanted.correlation), 0.99) < 1e-4
    assert got.quality == pytest.approx(wanted.quality, abs=1e-4)
    assert got.applied_strain == pytest.approx(wanted.applied_strain, abs=2e-6)


def test_lateral_motion_and_deviation_are_those_of_the_cpu() -> None:
    gpu, cpu = with_more_outputs()
    every = frames(4)
    for pre, post in itertools.pairwise(every):
        got, wanted = gpu(FramePair(pre, post)), cpu(FramePair(pre, post))
        assert_same(got, wanted)
        for name, atol in (
            # 1e-4 of a line, to which both refine the global motion.
            ("lateral_displacement_m", 3e-8),
            ("lateral_strain", 2e-6),
            ("axial_strain_std", 1e-6),
        ):
            image = getattr(wanted, name)
            np.testing.assert_allclose(getattr(got, name), image, atol=atol)
            assert np.abs(image).max() > 100.0 * atol
    assert estimator()(FramePair(*every[:2])).axial_strain_std is None


@pytest.mark.parametrize("options", [{}, {"eager": True}, {"capturable": False}])
def test_every_frame_is_that_of_the_cpu(options: dict[str, bool]) -> None:
    gpu, cpu = estimator(**options), on_cpu()
    every = frames(6)
    for pre, post in itertools.pairwise(every):
        pair = FramePair(pre, post)
        assert_same(gpu(pair), cpu(pair))


@pytest.mark.parametrize("lag", [1, 3, 9])
def test_two_pairs_in_flight_at_any_lag(lag: int) -> None:
    """At lag 9 the ring, made for 4, has let go of the older frame, which is uploaded again."""
    gpu, cpu = estimator(history=4), on_cpu()
    every = frames(lag + 8)
    pairs = [FramePair(pre, post) for pre, post in zip(every, every[lag:], strict=False)]
    got = []
    for pair in pairs:
        if not gpu.room:
            got.append(gpu.collect())
        gpu.start(pair)
    while len(got) < len(pairs):
        got.append(gpu.collect())
    for frame, pair in zip(got, pairs, strict=True):
        assert_same(frame, cpu(pair))


def test_pairs_in_any_order_of_frames() -> None:
    gpu, cpu = estimator(history=3), on_cpu()
    every = frames(8)
    rng = np.random.default_rng(0)
    for _ in range(12):
        pre, post = rng.choice(8, 2, replace=False)
        pair = FramePair(every[pre], every[post])
        assert_same(gpu(pair), cpu(pair))


def test_a_change_of_format_or_type_starts_afresh_with_pairs_in_flight() -> None:
    gpu, cpu = estimator(), on_cpu()
    kinds = ((FORMAT, "int16"), (OTHER, "int16"), (OTHER, "float32"), (FORMAT, "float64"))
    pairs = [FramePair(*frames(2, rf_format, dtype)) for rf_format, dtype in kinds]
    got = []
    for pair in pairs:
        if not gpu.room:
            got.append(gpu.collect())
        gpu.start(pair)
    got += [gpu.collect(), gpu.collect()]
    for frame, pair in zip(got, pairs, strict=True):
        assert_same(frame, cpu(pair))


def test_the_pipeline_overlaps_pairs_on_it() -> None:
    every = frames(9)
    pipelines = [Pipeline(make(), PairPolicy(lag=2)) for make in (estimator, on_cpu)]
    overlapped: list[StrainFrame | None] = []
    most = 0
    for frame in every:
        pipelines[0].start(frame)
        most = max(most, pipelines[0].pending)
        if not pipelines[0].room:
            overlapped.append(pipelines[0].collect())
    while pipelines[0].pending:
        overlapped.append(pipelines[0].collect())
    assert most == 2
    wanted = [strain for frame in every if (strain := pipelines[1].process(frame)) is not None]
    for frame, expected in zip(overlapped, wanted, strict=True):
        assert frame is not None
        assert_same(frame, expected)


def test_what_the_kernels_do_not_take_goes_to_the_cpu() -> None:
    fine = RfFormat(
        n_lines=2, n_samples=9000, sampling_freq_hz=200e6, center_freq_hz=1e6, line_pitch_m=3e-4
    )  # a hundred times finer than the engine's grid
    noise = np.random.default_rng(1).standard_normal((2, 2, 9000)).astype(np.float32)
    pair = FramePair(RfFrame(noise[0], fine, FrameStamp(0)), RfFrame(noise[1], fine, FrameStamp(1)))
    taken = []

    def fallback(pair: FramePair) -> StrainFrame:
        taken.append(pair)
        return on_cpu()(FramePair(*frames(2)))

    gpu = GpuEstimator("cnn", 2.0, 4, lambda shape: Network(), fallback)
    gpu(pair)
    assert taken == [pair]


def test_misuse_is_a_programming_error() -> None:
    gpu = estimator()
    first, second, third = (FramePair(*frames(2)) for _ in range(3))
    gpu.start(first)
    with pytest.raises(RuntimeError, match="collect the pairs"):
        gpu(second)
    gpu.start(second)
    with pytest.raises(RuntimeError, match="in flight"):
        gpu.start(third)
    gpu.collect()
    gpu.collect()
    assert gpu(third).frame_ids == (0, 1)


def test_warming_up_needs_no_format() -> None:
    gpu = estimator()
    gpu.warm_up(FORMAT)
    assert gpu.room == 2
