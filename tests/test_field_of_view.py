"""NaN outside the field of view is no reason to refuse a recording, and claims no strain; what quality is."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import math
import pickle
import warnings
from functools import lru_cache

import numpy as np
import pytest
from host_kernels import HostGpu
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from speckle import speckle_pair

import rtelasto
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.field_of_view import poor_share
from rtelasto.cpu.median import median
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, ResidualMotion, StrainEngine, StrainFrame
from rtelasto.gpu.layout import Layout
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline

FORMAT = RfFormat(
    n_lines=48, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)
ENGINES = ("cnn", "cnn-lateral", "cnn2", "wu2018", "ncc", "am")


@lru_cache
def estimator(engine: str) -> CpuEstimator:
    return CpuEstimator(open_engine(engine))


@lru_cache
def press() -> tuple[np.ndarray, np.ndarray]:
    pair = speckle_pair(
        np.random.default_rng(1),
        rf_format=FORMAT,
        elongation=Elongation(2e-5, 0.0, -0.005),
        snr_db=20.0,
        dtype="float32",
    )
    return pair.pre.samples, pair.post.samples


def pair_of(pre: np.ndarray, post: np.ndarray) -> FramePair:
    return FramePair(RfFrame(pre, FORMAT, FrameStamp(0)), RfFrame(post, FORMAT, FrameStamp(1)))


def masked(samples: np.ndarray, value: float = math.nan) -> np.ndarray:
    """As a sector's corner, empty rows at the end, and a line."""
    line, sample = np.mgrid[: FORMAT.n_lines, : FORMAT.n_samples]
    outside = (sample > 800 + 20 * line) | (sample >= 1100) | (line == 30)
    return np.where(outside, np.float32(value), samples)


@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("engine", ENGINES)
def test_nan_in_the_same_place_of_every_frame_is_outside_the_field_of_view(
    engine: str, offset: float
) -> None:
    pre, post = press()
    whole = estimator(engine)(pair_of(pre, post))
    pipeline = Pipeline(estimator(engine), PairPolicy())
    frames = [masked(samples + np.float32(offset)) for samples in (pre, post)]
    strains = [
        pipeline.process(RfFrame(frame, FORMAT, FrameStamp(k))) for k, frame in enumerate(frames)
    ]
    assert pipeline.counters.snapshot() == {"pair.first": 1, "strain.out": 1}
    strain = strains[1]
    assert strain is not None
    outside = np.isnan(frames[0])[:, ::4]
    assert outside.mean() > 0.1
    assert not strain.correlation[outside].any()
    assert strain.quality == pytest.approx(whole.quality, abs=0.02)
    assert strain.quality == pytest.approx(np.median(strain.correlation[~outside]))
    assert strain.applied_strain == pytest.approx(whole.applied_strain, abs=6e-4)
    assert strain.poor_share == pytest.approx(np.mean(strain.correlation[~outside] < 0.7))


def test_a_small_part_that_failed_shows_in_the_share_of_poor_pixels() -> None:
    pre, post = press()
    whole = estimator("cnn")(pair_of(pre, post))
    # A tenth of the depth is other tissue after the press.
    post = post.copy()
    post[:, 600:720] = np.roll(post[:, 600:720], 13, axis=0)
    strain = estimator("cnn")(pair_of(pre, post))
    assert strain.quality == pytest.approx(whole.quality, abs=0.02)
    assert whole.poor_share < 0.02
    assert 0.08 < strain.poor_share < 0.2


@pytest.mark.parametrize(
    ("outside", "share"), [(None, 0.5), ([[True, False]], 0.0), ([[True, True]], math.nan)]
)
def test_pixels_outside_the_field_of_view_are_not_poor(
    outside: list[list[bool]] | None, share: float
) -> None:
    correlation = np.array([[0.0, 0.7]], np.float32) + np.float32(1e-6)
    mask = None if outside is None else np.array(outside)
    if mask is not None:
        correlation[mask] = 0.0
    assert poor_share(correlation, mask) == pytest.approx(share, nan_ok=True)


def test_frames_without_a_finite_echo_are_dropped_and_counted() -> None:
    pre, post = press()
    nothing = np.full_like(pre, np.nan)
    flat = masked(np.full_like(pre, 3.0))
    pipeline = Pipeline(estimator("ncc"), PairPolicy())
    for k, samples in enumerate((pre, post, nothing, flat)):
        pipeline.process(RfFrame(samples, FORMAT, FrameStamp(k)))
    counts = pipeline.counters
    assert (counts["frame.nonfinite"], counts["frame.constant"], counts["strain.out"]) == (1, 1, 1)


def test_the_python_interface_takes_frames_with_nan_and_warns_of_nothing() -> None:
    pre, post = (masked(frame) for frame in press())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = rtelasto.estimate(pre, post, FORMAT, engine="ncc")
    assert frame.quality > 0.9


@pytest.mark.parametrize(
    ("dead", "quality"),
    [(np.s_[0::4], 0.95), (np.s_[1::4], 0.95), (np.s_[0:25], 0.0), (np.s_[1::2], 0.0)],
)
@pytest.mark.parametrize("engine", ["cnn", "ncc"])
def test_quality_is_the_median_whichever_lines_are_dead(
    engine: str, dead: slice, quality: float
) -> None:
    frames = [frame.copy() for frame in press()]
    for frame in frames:
        frame[dead] = 0.0
    strain = estimator(engine)(pair_of(*frames))
    assert not strain.correlation[dead].any()
    assert strain.quality == pytest.approx(np.median(strain.correlation), abs=1e-6)
    assert strain.applied_strain == pytest.approx(np.median(strain.axial_strain), abs=1e-7)
    assert strain.quality == pytest.approx(quality, abs=0.07 if quality else 0.0)


class OneNan:
    """An engine that fails at one pixel."""

    name, samples_per_wavelength = "one nan", 6.4

    def __init__(self, engine: StrainEngine) -> None:
        self._engine = engine

    def estimate(self, pair) -> ResidualMotion:
        residual = self._engine.estimate(pair)
        residual.axial_strain[6, 100] = np.nan
        return residual


def test_one_nan_pixel_does_not_make_the_applied_strain_nan() -> None:
    whole = estimator("ncc")(pair_of(*press()))
    strain = CpuEstimator(OneNan(open_engine("ncc")))(pair_of(*press()))
    assert np.isnan(strain.axial_strain).sum() == 1
    assert strain.applied_strain == pytest.approx(whole.applied_strain, abs=1e-5)


FLOATS = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, math.nan]))


@settings(max_examples=100)
@given(st.data())
def test_the_median_is_exact(data) -> None:
    image = data.draw(arrays(np.float32, st.integers(1, 40), elements=FLOATS))
    skipped = data.draw(st.none() | arrays(bool, image.shape))
    kept = image if skipped is None else image[~skipped]
    kept = np.sort(kept[~np.isnan(kept)]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        wanted = (
            np.nan if kept.size == 0 else 0.5 * (kept[(kept.size - 1) // 2] + kept[kept.size // 2])
        )
    assert median(image, skipped) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize("shape", [(1, 4), (3, 9), (4, 7), (33, 251)])
@pytest.mark.parametrize("missing", ["none", "some", "all"])
def test_medians_on_the_gpu_leave_out_what_is_not_a_number(
    library: ctypes.CDLL, shape: tuple[int, int], missing: str
) -> None:
    size = RfFormat(
        n_lines=shape[0],
        n_samples=4 * shape[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.3e-3,
    )
    gpu = HostGpu(library, Layout(size, 6.4, 4, False))
    rng = np.random.default_rng(6)
    values = rng.standard_normal(shape).astype(np.float32)
    values[rng.random(shape) < {"none": 0.0, "some": 0.3, "all": 2.0}[missing]] = np.nan
    gpu["correlation"][:], gpu["strain"][:] = values, -values
    gpu.launch("medians", (2,), threads=512)
    _, summary = gpu.output()
    assert summary["quality"] == pytest.approx(median(values), abs=1e-7, nan_ok=True)
    assert summary["applied_strain"] == pytest.approx(median(-values), abs=1e-7, nan_ok=True)


def frame() -> StrainFrame:
    image = np.zeros((1, 1), np.float32)
    return StrainFrame(image, image, image, FORMAT.grid, stage_ns={"engine": 1}, drops={"gaps": 2})


def test_the_mappings_of_a_strain_frame_cannot_be_changed_nor_shared() -> None:
    counts = {"gaps": 2}
    first = frame().replace(drops=counts)
    second = first.replace(quality=0.5)
    counts["gaps"] = 9
    assert first.drops == second.drops == {"gaps": 2}
    assert first.drops is not second.drops
    for mapping in (first.drops, first.stage_ns):
        with pytest.raises(TypeError, match="read-only"):
            mapping["gaps"] = 3  # type: ignore[index]
        with pytest.raises(TypeError, match="read-only"):
            mapping.update(gaps=3)  # type: ignore[attr-defined]


def test_a_strain_frame_can_be_copied_sent_to_a_process_and_taken_apart() -> None:
    for sent in (copy.deepcopy(frame()), pickle.loads(pickle.dumps(frame()))):
        assert (sent.stage_ns, sent.drops, sent.grid) == ({"engine": 1}, {"gaps": 2}, FORMAT.grid)
    assert dataclasses.asdict(frame())["drops"] == {"gaps": 2}
