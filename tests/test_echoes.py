"""What is added to frames and is no echo claims no strain, and costs a good pair nothing."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np
import pytest
from host_kernels import HostGpu
from speckle import speckle_pair

from rtelasto.cpu.echoes import echoes, mean_samples
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, StrainFrame
from rtelasto.gpu.layout import Layout
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pairing import Pairing

FORMAT = RfFormat(
    n_lines=48, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)
SHAPE = (FORMAT.n_lines, FORMAT.n_samples)
TIME_S = np.arange(FORMAT.n_samples) / FORMAT.sampling_freq_hz
ENGINES = ("cnn", "cnn-lateral", "cnn2", "wu2018", "ncc", "am")
# Rows around a fill that the window of the correlation takes in.
WINDOW_ROWS = 6


@lru_cache
def estimator(engine: str) -> CpuEstimator:
    return CpuEstimator(open_engine(engine))


def strain_of(engine: str, pre: np.ndarray, post: np.ndarray) -> StrainFrame:
    return estimator(engine)(
        FramePair(RfFrame(pre, FORMAT, FrameStamp(0)), RfFrame(post, FORMAT, FrameStamp(1)))
    )


def hum(frequency_hz: float, amplitude: float = 2000.0) -> np.ndarray:
    return amplitude * np.sin(2.0 * np.pi * frequency_hz * TIME_S + 1.0)


def filled(samples: np.ndarray) -> np.ndarray:
    samples = samples.copy()
    samples[:, 100:400] = 700
    return samples


ADDED = {
    "12-bit offset": lambda x: x + 2048,
    "negative offset": lambda x: x - 9000,
    "50 Hz": lambda x: x + hum(50.0),
    "1 kHz": lambda x: x + hum(1e3),
    "50 kHz": lambda x: x + hum(50e3),
    "offset of each line": lambda x: x + 100 * np.arange(-24, 24)[:, None],
    "filled rows": filled,
    "filled rows and an offset": lambda x: filled(x) + 2048,
}


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED)
@pytest.mark.parametrize("engine", ENGINES)
def test_unrelated_frames_stay_unrelated_whatever_is_added(engine: str, added) -> None:
    noise = np.random.default_rng(0).normal(0.0, 100.0, (2, *SHAPE)).round()
    pre, post = (added(frame).astype(np.int16) for frame in noise)
    strain = strain_of(engine, pre, post)
    assert strain.quality < 0.2
    pairing = Pairing(PairPolicy.parse("adaptive"))
    pair = FramePair(RfFrame(pre, FORMAT, FrameStamp(0)), RfFrame(post, FORMAT, FrameStamp(1)))
    assert not pairing.observe(pair, strain)


@pytest.fixture(scope="module")
def press() -> tuple[np.ndarray, np.ndarray]:
    pair = speckle_pair(
        np.random.default_rng(1),
        rf_format=FORMAT,
        elongation=Elongation(2e-5, 0.0, -0.005),
        snr_db=20.0,
        full_scale_sigmas=30.0,
    )
    return pair.pre.samples, pair.post.samples


@pytest.mark.parametrize("engine", ENGINES)
def test_an_offset_in_one_frame_or_both_costs_a_good_pair_nothing(engine: str, press) -> None:
    pre, post = press
    good = strain_of(engine, pre, post)
    assert good.quality > 0.9
    for before, after in ((2048, 0), (0, -3000), (2048, 2048), (hum(20e3), 0)):
        found = strain_of(engine, (pre + before).astype(np.int16), (post + after).astype(np.int16))
        assert found.quality == pytest.approx(good.quality, abs=0.02)
        assert found.applied_strain == pytest.approx(good.applied_strain, abs=2e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_strain_is_claimed_where_only_a_bias_and_noise_are_left(engine: str, press) -> None:
    rng = np.random.default_rng(2)
    frames = []
    for frame in press:
        deep = frame.copy()
        deep[:, 800:] = np.rint(10.0 + rng.normal(0.0, 4.0, deep[:, 800:].shape))
        frames.append(deep)
    strain = strain_of(engine, *frames)
    deep_rows = strain.correlation[:, 200 + WINDOW_ROWS :]
    assert np.mean(deep_rows > 0.5) < 0.02
    assert np.median(strain.correlation[:, : 200 - WINDOW_ROWS]) > 0.9


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_filled_with_a_constant_do_not_count_as_good(engine: str, press) -> None:
    strain = strain_of(engine, *(filled(frame) for frame in press))
    assert not strain.correlation[:, 25 + WINDOW_ROWS : 100 - WINDOW_ROWS].any()
    assert np.median(strain.correlation[:, 100 + WINDOW_ROWS :]) > 0.9


def test_echoes_pass_and_what_is_slow_does_not() -> None:
    def kept(frequency_hz: float) -> float:
        line = np.cos(2.0 * np.pi * frequency_hz * TIME_S)
        inner = slice(100, -100)
        return float(
            np.std(echoes(np.tile(line, (FORMAT.n_lines, 1)), FORMAT)[0, inner])
            / np.std(line[inner])
        )

    for frequency_hz in (0.4 * 6.25e6, 6.25e6, 1.6 * 6.25e6):
        assert kept(frequency_hz) == pytest.approx(1.0, abs=0.02)
    assert kept(50e3) < 0.01


def test_the_mean_leaves_out_what_was_not_recorded() -> None:
    rng = np.random.default_rng(3)
    wanted = echoes(rng.normal(0.0, 100.0, SHAPE).astype(np.float32), FORMAT)
    outside = np.zeros(SHAPE, bool)
    outside[:, :90] = outside[5] = outside[20:24, 700:] = True
    run = mean_samples(FORMAT.samples_per_wavelength)
    for nothing in (np.nan, np.inf, 0.0, 4095.0):
        found = echoes(np.where(outside, nothing, wanted + 2048.0), FORMAT)
        assert not found[outside].any()
        far = outside | np.roll(outside, 2 * run, 1) | np.roll(outside, -2 * run, 1)
        far[:, : 90 + 2 * run] = far[:, -2 * run :] = True
        # A mean of echoes is not quite 0: what was left out of it shows by that much nearby.
        assert np.abs(found - wanted)[~outside].max() < 120.0
        assert np.abs((found - echoes(wanted, FORMAT))[~far & ~far[:, ::-1]]).max() < 1.0


@pytest.mark.parametrize(
    "rf_format",
    [
        FORMAT,
        RfFormat(
            n_lines=3, n_samples=5, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
        ),
        RfFormat(
            n_lines=9, n_samples=900, sampling_freq_hz=200e6, center_freq_hz=1e6, line_pitch_m=3e-4
        ),
    ],
)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_the_gpu_takes_the_same_for_echoes(
    library: ctypes.CDLL, rf_format: RfFormat, dtype: str
) -> None:
    rng = np.random.default_rng(4)
    shape = (rf_format.n_lines, rf_format.n_samples)
    samples = np.rint(2048.0 + rng.normal(0.0, 100.0, shape)).astype(dtype)
    samples[0] = 12
    samples[1, shape[1] // 3 :] = 0
    if dtype == "float32":
        samples[2, ::4], samples[:, -3:] = np.inf, np.nan
    gpu = HostGpu(library, Layout(rf_format, None, 4, dtype == "float32"))
    gpu.upload(samples, 0, 1)
    wanted = echoes(samples, rf_format)
    assert not gpu["ring_echoes"][1][~np.isfinite(samples)].any()
    np.testing.assert_allclose(gpu["ring_echoes"][1], wanted, atol=5e-3)


def test_quality_of_unrelated_frames_with_an_offset_is_that_of_the_cpu_on_the_gpu(
    library: ctypes.CDLL,
) -> None:
    noise = np.random.default_rng(5).normal(2048.0, 100.0, (2, *SHAPE)).astype(np.int16)
    gpu = HostGpu(library, Layout(FORMAT, 6.4, 4, False))
    gpu.stretch(
        FramePair(
            RfFrame(noise[0], FORMAT, FrameStamp(0)), RfFrame(noise[1], FORMAT, FrameStamp(1))
        )
    )
    gpu["residual_samples"][:] = gpu["residual_strain"][:] = 0.0
    gpu.quality()
    assert gpu.output()[1]["quality"] < 0.2
