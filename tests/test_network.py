"""The fixed layers of ``cnn``: baseband, correlation, alignment and fits, against known motion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d, gaussian_filter

pytest.importorskip("torch", reason="network definitions need the extra 'train'")

import torch
import torch.nn.functional as F
from torch import Tensor

from rtelasto_engines.network import front_end
from rtelasto_engines.network.cnn import Cnn, phase_left, smooth
from rtelasto_engines.network.fits import WINDOWS, SlopeFits
from rtelasto_engines.network.front_end import (
    LAGS,
    RADIANS_PER_SAMPLE,
    AlignedCorrelation,
    Baseband,
    CoarseCorrelation,
    analytic_filter,
    read_at,
    refine,
)
from rtelasto_engines.training.dataset import make_example

pytestmark = pytest.mark.slow

N_LINES, N_SAMPLES = 40, 768


def speckle(shift_samples: float = 0.0, shift_lines: float = 0.0, seed: int = 3) -> Tensor:
    """Band-limited echoes (1, lines, samples), moved by a fraction of a sample and of a line.

    Made in the frequency domain, where a shift is a phase: exact, and periodic at the borders.
    """
    rng = np.random.default_rng(seed)
    noise = np.fft.fft2(rng.standard_normal((N_LINES, N_SAMPLES)))
    along, across = np.fft.fftfreq(N_SAMPLES), np.fft.fftfreq(N_LINES)[:, None]
    pulse = np.exp(-0.5 * ((np.abs(along) - 1 / 6.4) / 0.035) ** 2)
    beam = np.exp(-0.5 * (across / 0.15) ** 2)
    moved = np.exp(-2j * np.pi * (along * shift_samples + across * shift_lines))
    echo = np.fft.ifft2(noise * pulse * beam * moved).real
    return torch.tensor(echo / echo.std(), dtype=torch.float32)[None]


def inner(x: Tensor, lines: int = 6, depths: int = 12) -> np.ndarray:
    """Away from the borders."""
    return x[..., lines:-lines, depths:-depths].detach().numpy()


@pytest.mark.parametrize("shift", [-2.3, -0.4, 0.0, 1.7])
def test_a_shift_is_a_phase_of_the_baseband(shift: float) -> None:
    baseband = Baseband()
    pre, post = baseband(speckle()), baseband(speckle(shift))
    product = torch.view_as_complex(pre.permute(0, 2, 3, 1).contiguous()).conj()
    product = product * torch.view_as_complex(post.permute(0, 2, 3, 1).contiguous())
    angle = np.angle(inner(product[:, None]).mean())
    assert angle == pytest.approx(-RADIANS_PER_SAMPLE * shift, abs=0.02)


@pytest.mark.parametrize("n_samples", [64, 67, 1001, 2608])
def test_the_baseband_is_filtered_and_decimated_with_its_carrier_removed(n_samples: int) -> None:
    rf = np.random.default_rng(1).standard_normal((2, 7, n_samples)).astype(np.float32)
    real, imag = analytic_filter().astype(np.float64)
    filtered = correlate1d(rf, real, mode="constant") + 1j * correlate1d(rf, imag, mode="constant")
    carrier = np.exp(2j * np.pi * np.arange(n_samples) / 6.4)
    wanted = (filtered / carrier)[..., ::4]
    found = Baseband()(torch.from_numpy(rf)).numpy()
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], wanted, atol=1e-5)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("n_points", [16, 17, 163])
def test_reading_is_linear_between_points_and_zero_outside(n_points: int, step: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 2, 3, n_points)).astype(np.float32)
    motion = rng.uniform(-14.0, 14.0, (2, 1, 3, len(range(0, n_points, step)))).astype(np.float32)
    found = read_at(torch.from_numpy(x), torch.from_numpy(motion), step=step).numpy()
    points = np.arange(-1, n_points + 1)
    for batch, part, line in np.ndindex(2, 2, 3):
        values = np.pad(x[batch, part, line], 1)
        at = np.arange(0, n_points, step) + motion[batch, 0, line] / 4.0
        np.testing.assert_allclose(
            found[batch, part, line], np.interp(at, points, values), atol=1e-4
        )


@pytest.mark.parametrize("lag", LAGS)
def test_the_lag_that_correlates_is_that_of_the_shift(lag: int) -> None:
    baseband = Baseband()
    found = CoarseCorrelation()(baseband(speckle()), baseband(speckle(4.0 * lag)))
    assert found.shape == (1, CoarseCorrelation.channels, N_LINES // 2, N_SAMPLES // 16)
    n = len(LAGS)
    size = np.hypot(inner(found[:, :n], 2, 4), inner(found[:, n:], 2, 4)).mean((0, 2, 3))
    assert LAGS[int(np.argmax(size))] == lag
    assert np.abs(found.numpy()).max() < 4.0


@pytest.mark.parametrize(
    ("samples", "lines"), [(0.0, 0.0), (1.3, 0.4), (-2.0, -0.7), (9.0, 0.25), (0.5, 0.9)]
)
def test_alignment_finds_the_rest_along_and_across_the_lines(samples: float, lines: float) -> None:
    baseband = Baseband()
    pre, post = baseband(speckle()), baseband(speckle(samples, lines))
    start = torch.full((1, 1, N_LINES, N_SAMPLES // 4), samples - 0.6)
    aligned = AlignedCorrelation()(pre, post, start)
    assert aligned.shape == (1, AlignedCorrelation.channels, N_LINES, N_SAMPLES // 8)
    assert np.median(inner(aligned[:, -1:])) == pytest.approx(lines, abs=0.08)
    left, size = phase_left(aligned[:, :2])
    assert np.median(inner(left)) == pytest.approx(0.6, abs=0.03)
    assert np.quantile(np.abs(inner(left) - 0.6), 0.9) < 0.1
    assert np.median(inner(size)) > 0.5


def test_reading_between_the_lines_makes_the_measurement_quieter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a simulated pair, from the smoothed truth, against the same without the step across."""
    example = make_example(5, "published")
    frames = [
        torch.from_numpy(frame.astype(np.float32) / 512.0)[None]
        for frame in (example.pre, example.post)
    ]
    pre, post = Baseband()(torch.cat(frames)).chunk(2)
    valid = np.isfinite(example.displacement)
    start = gaussian_filter(np.where(valid, example.displacement, 0.0), (3, 8))
    alignment = torch.from_numpy(start.astype(np.float32))[None, None]
    truth = example.displacement[:, ::2]
    judged = valid[:, ::2] & (np.abs(truth) < 12.0)
    judged[:6] = judged[-6:] = judged[:, :12] = judged[:, -12:] = False

    def error() -> float:
        left, _ = phase_left(AlignedCorrelation()(pre, post, alignment)[:, :2])
        return float(np.median(np.abs(start[:, ::2] + left[0, 0].numpy() - truth)[judged]))

    between = error()
    assert between < 0.03
    monkeypatch.setattr(front_end, "lateral_motion", lambda products, *_: 0.0 * products[:, :1])
    assert between < 0.7 * error()


@given(
    n_lines=st.integers(1, 12),
    n_depths=st.integers(2, 90),
    offset=st.floats(-10.0, 10.0),
    slope=st.floats(-0.05, 0.05),
)
@settings(max_examples=40)
def test_fits_are_exact_on_straight_lines_up_to_the_border(
    n_lines: int, n_depths: int, offset: float, slope: float
) -> None:
    step = 8
    depth = torch.arange(n_depths, dtype=torch.float32) * step
    image = (offset + slope * depth).expand(1, 1, n_lines, -1).contiguous()
    values, slopes = SlopeFits(step)(image)
    assert values.shape == slopes.shape == (1, len(WINDOWS), n_lines, n_depths)
    assert torch.allclose(values, image.expand_as(values), atol=2e-3)
    assert torch.allclose(slopes, torch.full_like(slopes, slope), atol=2e-4)


def test_fits_are_least_squares() -> None:
    rng = np.random.default_rng(5)
    image = rng.standard_normal((1, 100)).astype(np.float32)
    values, slopes = SlopeFits(8)(torch.from_numpy(image)[None, None])
    for i, (_, points) in enumerate(WINDOWS):
        for at in (0, 3, 50, 99):
            inside = np.arange(max(0, at - points // 2), min(100, at + points // 2 + 1))
            slope, value = np.polyfit(8.0 * (inside - at), image[0, inside], 1)
            assert slopes[0, i, 0, at].item() == pytest.approx(slope, abs=1e-4)
            assert values[0, i, 0, at].item() == pytest.approx(value, abs=1e-3)


def test_a_refined_pixel_stands_where_the_coarse_one_says() -> None:
    """A coarse pixel is the mean of the fine ones below it: a straight line stays one."""
    line = torch.arange(24, dtype=torch.float32).reshape(1, 1, -1, 1)
    depth = torch.arange(48, dtype=torch.float32)
    image = 2.0 * line - 0.5 * depth
    coarse = F.avg_pool2d(image, (2, 4))
    back = refine(coarse, (2, 4), (24, 48))
    assert torch.allclose(back[..., 1:-1, 2:-2], image[..., 1:-1, 2:-2], atol=1e-4)
    even = torch.ones(1, CoarseCorrelation.channels, *coarse.shape[-2:])
    small = 0.1 * coarse
    assert torch.allclose(smooth(small, even)[..., 3:-3, 3:-3], small[..., 3:-3, 3:-3], atol=1e-4)


def test_what_does_not_correlate_does_not_pull_the_alignment_along() -> None:
    displacement = torch.full((1, 1, 20, 30), 2.0)
    displacement[..., :4, :] = 800.0
    correlation = torch.full((1, CoarseCorrelation.channels, 20, 30), 0.7)
    correlation[..., :4, :] = 0.0
    aligned = smooth(displacement, correlation)
    assert aligned.max() <= 14.0
    assert torch.allclose(aligned[..., 4:, :], torch.tensor(2.0), atol=0.05)


@pytest.mark.parametrize("shape", [(4, 64), (5, 67), (33, 1001), (1, 90), (128, 640)])
def test_frames_of_any_size_pass(shape: tuple[int, int]) -> None:
    frames = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(1))
    displacement, strain = Cnn().eval()(*frames)
    assert displacement.shape == strain.shape == (1, shape[0], -(-shape[1] // 4))
    assert torch.isfinite(displacement).all()
    assert torch.isfinite(strain).all()


def test_silent_frames_do_not_strain() -> None:
    silent = torch.zeros(1, 32, 512)
    displacement, strain = Cnn().eval()(silent, silent)
    assert torch.isfinite(displacement).all()
    assert strain.abs().max() < 0.05
