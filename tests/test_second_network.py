"""The second network: what stage 1 measures, what averages of it are, and how both stages make the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="network definitions need the extra 'train'")

import torch
from torch import Tensor

from rtelasto_engines.network.cnn2 import Cnn2, finished
from rtelasto_engines.network.front_end import LAGS, RADIANS_PER_SAMPLE, Baseband, refine
from rtelasto_engines.network.tracking import (
    Measurement,
    _coarse,
    _frequency,
    _measure,
    steadied,
)
from rtelasto_engines.network.weighted_fits import WeightedFits

pytestmark = pytest.mark.slow

N_LINES, N_SAMPLES = 40, 768
SHAPE = (N_LINES, N_SAMPLES // 8)


def echoes(
    samples: float | np.ndarray = 0.0,
    lines: float = 0.0,
    *,
    seed: int = 3,
    frequency: float = 1.0,
) -> Tensor:
    """Band-limited echoes (1, lines, samples) of a centre frequency over 1/6.4, moved along and across.

    Made in the frequency domain, where a shift is a phase; a shift that varies along depth is read by
    interpolation at eight times the sampling.
    """
    rng = np.random.default_rng(seed)
    noise = np.fft.fft2(rng.standard_normal((N_LINES, N_SAMPLES)))
    along, across = np.fft.fftfreq(N_SAMPLES), np.fft.fftfreq(N_LINES)[:, None]
    pulse = np.exp(-0.5 * ((np.abs(along) - frequency / 6.4) / 0.03) ** 2)
    beam = np.exp(-0.5 * (across / 0.15) ** 2)
    even = samples if isinstance(samples, float) else 0.0
    moved = np.exp(-2j * np.pi * (along * even + across * lines))
    echo = np.fft.ifft2(noise * pulse * beam * moved).real
    if not isinstance(samples, float):
        fine = np.fft.irfft(np.fft.rfft(echo, axis=1), 8 * N_SAMPLES, axis=1) * 8.0
        z = np.arange(N_SAMPLES) - samples
        echo = np.stack([np.interp(8.0 * z, np.arange(8 * N_SAMPLES), row) for row in fine])
    return torch.tensor(echo / echo.std(), dtype=torch.float32)[None]


def measured(pre: Tensor, post: Tensor, alignment: float | Tensor) -> Measurement:
    """The measurement from a given alignment in samples, instead of the sparse network's."""
    baseband = Baseband()
    pre, post = baseband(pre), baseband(post)
    if isinstance(alignment, float):
        alignment = torch.full((1, 1, *SHAPE), alignment)
    return _measure(pre, post, alignment, _frequency(_coarse(pre, post)[1]))


def of_every_pixel(found: Measurement) -> Tensor:
    """The displacement without a mean over a window: the measured one and the phase of the residual."""
    real, imag = found.residual[:, :1], found.residual[:, 1:]
    return found.displacement - torch.atan2(imag, real) / RADIANS_PER_SAMPLE


def inner(x: Tensor, lines: int = 6, depths: int = 12) -> np.ndarray:
    return x[..., lines:-lines, depths:-depths].detach().numpy()


@pytest.mark.parametrize(
    ("samples", "lines"), [(0.0, 0.0), (1.3, 0.4), (-2.0, -0.7), (9.0, 0.25), (0.5, 0.9)]
)
def test_motion_along_and_across_the_lines_is_measured(samples: float, lines: float) -> None:
    found = measured(echoes(), echoes(samples, lines), samples - 0.6)
    assert found.displacement.shape == found.lateral.shape == (1, 1, *SHAPE)
    assert np.median(inner(found.displacement)) == pytest.approx(samples, abs=0.02)
    assert np.quantile(np.abs(inner(found.displacement) - samples), 0.9) < 0.1
    assert np.median(inner(found.lateral)) == pytest.approx(lines, abs=0.08)
    assert np.median(inner(of_every_pixel(found))) == pytest.approx(samples, abs=0.02)
    size = torch.hypot(found.residual[:, :1], found.residual[:, 1:])
    assert 0.5 < np.median(inner(size)) < 1.2


@pytest.mark.parametrize("lag", LAGS)
def test_the_correlation_of_a_shifted_frame_is_highest_at_its_lag(lag: int) -> None:
    baseband, n = Baseband(), len(LAGS)
    found, _ = _coarse(baseband(echoes()), baseband(echoes(4.0 * lag)))
    assert found.shape == (1, 2 * n, N_LINES // 2, N_SAMPLES // 16)
    size = torch.hypot(found[:, :n], found[:, n:])[0, :, 3:-3, 6:-6].mean((1, 2))
    assert LAGS[int(size.argmax())] == lag


def test_the_residual_has_the_motion_that_the_window_averages_away() -> None:
    z = np.arange(N_SAMPLES)
    motion = 0.4 * np.sin(2.0 * np.pi * z / 160.0)
    found = measured(echoes(), echoes(motion), 0.0)
    truth = torch.from_numpy(motion[::8].astype(np.float32)).expand(1, 1, *SHAPE)
    errors = [np.std(inner(x - truth)) for x in (found.displacement, of_every_pixel(found))]
    assert errors[1] < 0.5 * errors[0]


def test_a_line_without_echo_leaves_its_neighbours_bounded() -> None:
    pre, post = echoes(), echoes(1.0)
    pre[:, 20] = 0.0
    found = measured(pre, post, 1.0)
    assert torch.hypot(found.residual[:, :1], found.residual[:, 1:]).max() < 2.01
    for image in found:
        assert torch.isfinite(image).all()


def test_noise_in_the_alignment_does_not_stay_in_the_measurement() -> None:
    noisy = 1.0 + 0.5 * torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    found = measured(echoes(), echoes(1.0), noisy)
    assert np.std(inner(found.displacement)) < 0.06


@pytest.mark.parametrize("frequency", [0.75, 1.0, 1.25])
def test_echoes_of_another_frequency_than_given_are_measured_in_samples(frequency: float) -> None:
    pre, post = echoes(frequency=frequency), echoes(1.5, frequency=frequency)
    found = np.median(inner(measured(pre, post, 0.5).displacement))
    assert found == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("jump", [3.0, -5.0, 8.0])
def test_a_slip_plane_stays_a_step_of_its_size(jump: float) -> None:
    motion = np.where(np.arange(N_SAMPLES) < N_SAMPLES // 2, 0.0, jump)
    pre, post = echoes(), echoes(motion)
    coarse = torch.from_numpy(np.tile(motion[::16], (N_LINES // 2, 1)).astype(np.float32))[
        None, None
    ]
    even = torch.full((1, 2 * len(LAGS), *coarse.shape[-2:]), 0.7)
    alignment = refine(steadied(coarse, even), (2, 2), SHAPE)
    profile = np.median(measured(pre, post, alignment).displacement[0, 0].numpy(), axis=0)
    middle = profile.size // 2
    assert profile[middle - 12] == pytest.approx(0.0, abs=0.1)
    assert profile[middle + 12] == pytest.approx(jump, abs=0.1)
    # It passes over once: no wavelength is taken on the way.
    assert np.diff(profile)[middle - 12 : middle + 12].min() * np.sign(jump) > -0.5


def test_precision_falls_with_noise_and_says_how_wrong_the_measurement_is() -> None:
    noise = torch.randn(2, 1, N_LINES, N_SAMPLES, generator=torch.Generator().manual_seed(2))
    precisions, errors = [], []
    for level in (0.2, 0.5, 1.0):
        found = measured(echoes() + level * noise[0], echoes(1.0) + level * noise[1], 1.0)
        precisions.append(np.median(inner(found.precision)))
        errors.append(np.median(np.abs(inner(found.displacement) - 1.0)))
    assert precisions == sorted(precisions, reverse=True)
    assert errors == sorted(errors)
    # The product of squared error and precision is about the same, while either changes tenfold.
    products = np.array(precisions) * np.square(errors)
    assert products.max() < 3.0 * products.min()


def test_pure_noise_is_measured_without_precision() -> None:
    noise = torch.randn(2, 1, N_LINES, N_SAMPLES, generator=torch.Generator().manual_seed(2))
    assert np.median(inner(measured(noise[0], noise[1], 0.0).precision)) < 1.0
    silent = measured(0.0 * noise[0], 0.0 * noise[1], 0.0)
    for image in silent:
        assert torch.isfinite(image).all()


@given(
    n_lines=st.integers(1, 12),
    n_depths=st.integers(2, 90),
    offset=st.floats(-10.0, 10.0),
    slope=st.floats(-0.05, 0.05),
)
@settings(max_examples=30)
def test_weighted_fits_are_exact_on_straight_lines_whatever_the_weights(
    n_lines: int, n_depths: int, offset: float, slope: float
) -> None:
    windows = ((1, 5), (3, 13), (5, 25))
    image = (offset + slope * 8.0 * torch.arange(n_depths)).expand(1, 1, n_lines, -1).contiguous()
    weight = 0.02 + torch.rand(
        1, 1, n_lines, n_depths, generator=torch.Generator().manual_seed(n_depths)
    )
    values, slopes = WeightedFits(windows, 8.0)(image, weight)
    assert values.shape == slopes.shape == (1, len(windows), n_lines, n_depths)
    assert torch.allclose(values, image.expand_as(values), atol=5e-3)
    assert torch.allclose(slopes, torch.full_like(slopes, slope), atol=2e-3)


def test_a_dead_line_has_no_say_in_a_weighted_fit() -> None:
    image = (0.1 * torch.arange(40.0)).expand(1, 1, 9, -1).clone()
    weight = torch.ones_like(image)
    image[..., 4, :], weight[..., 4, :] = 7.0, 1e-6
    values, _ = WeightedFits(((3, 13),), 8.0)(image, weight)
    assert torch.allclose(values[0, 0, 4], 0.1 * torch.arange(40.0), atol=1e-2)


@pytest.mark.parametrize("shape", [(4, 64), (5, 67), (33, 1001), (128, 640)])
def test_frames_of_any_size_pass(shape: tuple[int, int]) -> None:
    frames = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(1))
    network = Cnn2().eval()
    images = network(*frames)
    assert len(images) == len(network.outputs)
    for image in images:
        assert image.shape == (1, shape[0], -(-shape[1] // 4))
        assert torch.isfinite(image).all()
    assert (images[-1] > 0.0).all()


def test_the_two_stages_together_are_the_whole_network() -> None:
    frames = torch.randn(2, 1, 33, 1001, generator=torch.Generator().manual_seed(1))
    network = perturbed()
    with torch.no_grad():
        whole = network(*frames)
        _, found = network.tracking(*frames)
        parted = finished(network.strain_stage(found), whole[0].shape[-1])
    for ours, theirs in zip(parted, whole, strict=True):
        assert torch.equal(ours, theirs)


def perturbed() -> Cnn2:
    """Weights that do something in every head, as after training."""
    torch.manual_seed(1)
    network = Cnn2().eval()
    with torch.no_grad():
        for parameter in network.strain_stage.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return network


def test_stages_exported_one_by_one_give_what_the_whole_graph_gives(
    exported_second_network: tuple[Cnn2, Path],
) -> None:
    ort = pytest.importorskip("onnxruntime")
    from rtelasto_engines.export import MEASURED, export_stages

    network, whole = exported_second_network
    parts = export_stages(network, whole, {})
    sessions = [
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in (whole, *parts)
    ]
    frames = np.random.default_rng(4).standard_normal((2, 37, 1003)).astype(np.float32)
    wanted = sessions[0].run(None, {"pre": frames[0], "post": frames[1]})
    found = sessions[1].run(None, {"pre": frames[0], "post": frames[1]})
    got = sessions[2].run(None, dict(zip(MEASURED, found, strict=True)))
    for name, ours, theirs in zip(network.outputs, got, wanted, strict=True):
        np.testing.assert_allclose(
            ours[:, : theirs.shape[1]], theirs, rtol=1e-3, atol=1e-5, err_msg=name
        )
