"""The fixed first layers of ``cnn``: two RF frames in, their local complex correlation out.

A displacement network that sees raw RF has to learn multiplication of the two frames from additions
and rectifiers. Here the products are part of the graph: both frames become complex baseband at a
quarter of the sampling (all that an echo of up to 80 % bandwidth holds at 6.4 samples per
wavelength), conj(A1)·A2 is formed at several axial lags, pooled and divided by the local power. The
phase of these numbers is the displacement, and which of them is largest tells the whole wavelengths.
Nothing in it is trained, and in units of the wavelength it is the same for every probe.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLES_PER_WAVELENGTH = 6.4
DECIMATION = 4
LAGS = (-3, -2, -1, 0, 1, 2, 3)
_FILTER_TAPS = 33


def analytic_filter() -> np.ndarray:
    """A complex band-pass of 33 taps around the centre frequency, float32 (2, taps): real, imaginary.

    Gaussian of 70 % fractional bandwidth (-6 dB), unit gain at the centre; the mean of the real part is
    removed so that an offset in the samples does not leak in.
    """
    n = np.arange(_FILTER_TAPS) - _FILTER_TAPS // 2
    half_width = 0.35 / SAMPLES_PER_WAVELENGTH
    sigma = math.sqrt(math.log(2.0) / 2.0) / (math.pi * half_width)
    window = np.exp(-0.5 * (n / sigma) ** 2)
    window /= window.sum()
    turns = n / SAMPLES_PER_WAVELENGTH
    real = window * np.cos(2.0 * np.pi * turns)
    real -= window * real.sum()
    # Minus: the layer correlates, it does not convolve, and positive frequencies are to pass.
    return np.stack([real, -window * np.sin(2.0 * np.pi * turns)]).astype(np.float32)


class CorrelationFrontEnd(nn.Module):
    """(pre, post) of shape (batch, lines, samples) → correlation channels at an eighth of the depths.

    Output (batch, 2·len(LAGS) + 2, lines, ⌈⌈samples/4⌉/2⌉): the real parts of the correlation at every
    lag, then the imaginary ones, turned back by the lag's own phase so that one displacement gives one
    phase at every lag; then the autocorrelation of the pre-compression frame at lag 1, which tells the
    local centre frequency and so what a phase is worth in samples.
    """

    channels = 2 * len(LAGS) + 2
    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.from_numpy(analytic_filter())
        self.register_buffer("kernel", kernel.reshape(2, 1, 1, -1), persistent=False)

    def _baseband(self, rf: Tensor) -> Tensor:
        """(frames, lines, samples) → (frames, 2, lines, ⌈samples/4⌉): real and imaginary part."""
        return F.conv2d(
            rf[:, None], self.kernel, stride=(1, DECIMATION), padding=(0, _FILTER_TAPS // 2)
        )

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        batch = pre.shape[0]
        both = self._baseband(torch.cat([pre, post]))
        a, b = both[:batch], both[batch:]
        reach = max(LAGS)
        padded = F.pad(b, (reach, reach))
        width = b.shape[-1]
        shifted = [padded[..., reach + lag : reach + lag + width] for lag in LAGS]
        cross = _product(a, shifted, _turns(LAGS))
        own = _product(a, [F.pad(a, (0, 1))[..., 1:]], _turns((1,)))
        # Power over all that the lags reach, so that by Cauchy and Schwarz the quotients stay bounded
        # even where one frame is dark and what a lag away is not.
        power_a, power_b = _power(a, reach=0), _power(b, reach=reach)
        cross = cross * _scale(torch.sqrt(power_a * power_b + 1e-12))
        return torch.cat([cross, own * _scale(_power(a, reach=1))], dim=1)


def _product(a: Tensor, others: list[Tensor], turns: Tensor) -> Tensor:
    """conj(a)·b pooled and turned back by each b's own phase: all real parts, then all imaginary ones."""
    b_re = torch.cat([b[:, :1] for b in others], dim=1)
    b_im = torch.cat([b[:, 1:] for b in others], dim=1)
    a_re, a_im = a[:, :1], a[:, 1:]
    real = _pool(a_re * b_re + a_im * b_im)
    imag = _pool(a_re * b_im - a_im * b_re)
    cos, sin = turns.to(real.device, real.dtype)
    return torch.cat([real * cos + imag * sin, imag * cos - real * sin], dim=1)


def _turns(lags: tuple[int, ...]) -> Tensor:
    """Cosine and sine of the phase that each lag alone makes, shape (2, lags, 1, 1)."""
    phase = 2.0 * np.pi * DECIMATION / SAMPLES_PER_WAVELENGTH * np.array(lags)
    values = np.stack([np.cos(phase), np.sin(phase)])
    return torch.tensor(values, dtype=torch.float32).reshape(2, -1, 1, 1)


def _power(x: Tensor, *, reach: int) -> Tensor:
    return _pool(x[:, :1] ** 2 + x[:, 1:] ** 2, reach=reach)


def _scale(power: Tensor) -> Tensor:
    """One over half the local and half the neighbourhood's power.

    Bright echoes, whose phase is sure, so weigh more than the dark ones beside them.
    """
    wide = F.avg_pool2d(power, (3, 9), stride=1, padding=(1, 4), count_include_pad=False)
    return 1.0 / (0.5 * (power + wide) + 1e-6)


def _pool(x: Tensor, *, reach: int = 0) -> Tensor:
    """Mean over 5 axial points and ``reach`` more on either side, at every second point."""
    return F.avg_pool2d(
        x, (1, 5 + 2 * reach), stride=(1, 2), padding=(0, 2 + reach), count_include_pad=False
    )
