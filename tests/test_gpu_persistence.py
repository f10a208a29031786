"""Persistence with the estimator on a GPU gives what it gives on the CPU, in the order of frames."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from simulated_gpu import Network, estimator, on_cpu, with_more_outputs
from speckle import speckle_pair

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, StrainFrame
from rtelasto.gpu.estimator import GpuEstimator
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.persistence import Persistence
from rtelasto.pipeline.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("simulated_device")

FORMAT = RfFormat(
    n_lines=16, n_samples=500, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
# Of an average that is taken on either device, of pairs that were estimated on that device.
TOLERANCE = 1e-4


@lru_cache
def pressed(gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples before and after a press by 0.4 %, whose strain changes by ``gain`` over half of the depth."""
    depth_m = FORMAT.grid.depth_m
    middle_m, half_m = depth_m.mean(), 0.5 * np.ptp(depth_m)

    def further(lateral_m: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        return -0.004 * gain * (depth_m - middle_m) ** 2 / (2.0 * half_m)

    pair = speckle_pair(
        np.random.default_rng(1),
        rf_format=FORMAT,
        elongation=Elongation(axial_slope=-0.004),
        local_displacement_m=further,
        snr_db=30.0,
        dtype="float32",
    )
    return pair.pre.samples, pair.post.samples


def frames(presses: str, *, period_s: float = 0.05) -> list[RfFrame]:
    """Frames before and after each press: of tissue (t), of other tissue (o), of a new stream (s)."""
    made: list[RfFrame] = []
    for press in presses:
        for image in pressed(-0.8 if press == "o" else 0.8):
            number = len(made)
            acquired_ns = round(1e9 * period_s * (number + 1))
            stamp = FrameStamp(number, acquired_ns=acquired_ns, stream=str(press == "s"))
            made.append(RfFrame((4000.0 * image).astype(np.int16), FORMAT, stamp))
    return made


def with_samples(frame: RfFrame, samples: np.ndarray) -> RfFrame:
    return RfFrame(samples, frame.format, frame.stamp)


def pipeline(back_end: Any) -> Pipeline:
    made = Pipeline(back_end, PairPolicy(lag=1), persistence_s=1.0)
    made.warm_up()
    return made


def overlapped(run: Pipeline, every: Iterable[RfFrame]) -> list[StrainFrame]:
    """Process frames with as many pairs in flight as there is room for."""
    got: list[StrainFrame | None] = []
    for frame in every:
        if not run.room:
            got.append(run.collect())
        run.start(frame)
    while run.pending:
        got.append(run.collect())
    return [frame for frame in got if frame is not None]


def assert_same(got: list[StrainFrame], wanted: list[StrainFrame]) -> None:
    assert [frame.frame_ids for frame in got] == [frame.frame_ids for frame in wanted]
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.persistence == theirs.persistence
        for name in ("relative_strain", "relative_strain_std"):
            image, reference = getattr(ours, name), getattr(theirs, name)
            np.testing.assert_allclose(image, reference, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.slow
def test_presses_with_an_outlier_other_tissue_and_a_new_scene() -> None:
    every = frames("tttt" + "o" + "ttt" + "oooooo" + "sss")
    gpu = overlapped(pipeline(estimator()), every)
    assert_same(gpu, overlapped(pipeline(on_cpu()), every))
    state = {frame.frame_ids[1]: frame.persistence for frame in gpu}
    assert all(found is not None for found in state.values())
    # The press of other tissue is in the pair of frames 8 and 9; its frame 8 is that of all presses.
    assert [state[k].age_s > 0.0 for k in (7, 9, 11)] == [False, True, False]  # type: ignore[union-attr]
    assert state[15].frames > 8  # type: ignore[union-attr]
    # 0.4 s of the other tissue begin a new average, and so does another stream.
    assert state[27].frames < 6  # type: ignore[union-attr]
    assert state[29].frames == 1  # type: ignore[union-attr]


def test_pairs_weigh_by_the_deviation_that_the_network_gives() -> None:
    """Other weights than those of the correlation, and the same on both devices."""
    gpu, cpu = with_more_outputs()
    every = frames("tt" + "o" + "tt")
    got = overlapped(pipeline(gpu), every)
    assert_same(got, overlapped(pipeline(cpu), every))
    by_correlation = overlapped(pipeline(estimator()), every)[-1].relative_strain
    assert np.nanmax(np.abs(got[-1].relative_strain - by_correlation)) > 100.0 * TOLERANCE  # type: ignore[operator]


def test_pairs_that_the_cpu_processes_enter_the_same_average() -> None:
    """From the fifth frame on samples are floats, and no engine opens for them."""
    opened: list[Network] = []

    def engine_for(shape: tuple[int, int]) -> Network:
        if opened:
            raise RtelastoError("no memory is left on this GPU")
        opened.append(Network())
        return opened[0]

    every = frames("tttt")
    every[4:] = [with_samples(frame, frame.samples.astype(np.float32)) for frame in every[4:]]
    gpu = GpuEstimator("cnn", 6.4, 4, engine_for, on_cpu(), may_fall_back=True)
    got = overlapped(pipeline(gpu), every)
    assert gpu.device == "cpu"
    assert ["gpu" in frame.stage_ns for frame in got] == [True] * 3 + [False] * 4
    assert_same(got, overlapped(pipeline(on_cpu()), every))
    assert got[-1].persistence is not None
    assert got[-1].persistence.frames == len(got)


def test_parts_outside_the_field_of_view_stay_unknown() -> None:
    outside = np.s_[:, 400:]
    every = []
    for frame in frames("ttt"):
        samples = frame.samples.astype(np.float32)
        samples[outside] = np.nan
        every.append(with_samples(frame, samples))
    got = overlapped(pipeline(estimator()), every)
    assert_same(got, overlapped(pipeline(on_cpu()), every))
    assert np.isnan(got[-1].relative_strain[:, -20:]).all()


def test_it_does_not_wait_for_the_pair_in_flight() -> None:
    gpu, every = estimator(), frames("tt")
    persistence = Persistence(1.0, gpu.average)
    gpu.start(FramePair(*every[:2]))
    gpu.start(FramePair(*every[1:3]))
    lane = gpu.newest_lane
    done = lane.stream._ran
    shown = persistence(gpu.collect(), pre_s=0.0, post_s=0.05)
    assert shown.persistence is not None
    assert shown.persistence.frames == 1
    assert lane.stream._ran == done < lane.stream.pushed


def test_a_frame_collected_earlier_is_averaged_too() -> None:
    """Pairs of another tissue have been processed since, where its images were."""
    gpu, every = estimator(), frames("to")
    strain = gpu(FramePair(*every[:2]))
    wanted = Persistence(1.0)(strain, pre_s=0.0, post_s=0.05)
    for _ in range(2):
        gpu.start(FramePair(*every[2:]))
        gpu.newest_lane.stream.synchronize()
    got = Persistence(1.0, gpu.average)(strain, pre_s=0.0, post_s=0.05)
    assert_same([got], [wanted])
