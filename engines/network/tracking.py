"""Stage 1 of ``cnn2``: a measurement of the motion between two frames, and its precision.

A small network estimates a first axial displacement from the correlation of the frames on a sparse grid. The
frames are aligned by it and compared again, along and across the lines: the phase of the correlation measures
the remaining axial motion, and its magnitude the lateral motion. The result is a `Measurement`: a few images
on one grid that contain only measured values and no expectation about tissue, so that those of several pairs
can be averaged before stage 2 computes the strain.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network.cnn import _conv
from rtelasto_engines.network.front_end import (
    DECIMATION,
    LAGS,
    LINE_SHIFTS,
    RADIANS_PER_SAMPLE,
    REACH_SAMPLES,
    Baseband,
    _blocks,
    _cubic,
    _parts,
    _power,
    _products,
    _scale,
    read_at,
    refine,
    turned,
)
from rtelasto_engines.network.weighted_fits import summed

# Lines × points of the sparse grid between the taps of the kernels.
_DILATIONS = ((1, 2), (2, 4), (1, 2), (2, 4), (1, 1))
# Lines × depths of 8 samples over which phases are averaged for a measurement.
WINDOW = (5, 9)
_BRIGHTEST = 2.0


class Measurement(NamedTuple):
    """The result of stage 1 on a grid of 1 line × 8 samples; each (batch, channels, lines, depths).

    ``displacement`` in samples and ``lateral`` in lines are averaged over pairs weighted by
    ``precision``, which is summed: about 1 / variance of the displacement, up to a constant factor.
    ``residual`` (2 channels: real and imaginary part, magnitude up to 2) is averaged with equal weights. It
    is the correlation of the frames at every pixel, after alignment by ``displacement``, which is a mean over
    a window: its phase tells how the motion of the pixel differs from that mean, and its magnitude how
    similar and how bright both echoes are.
    """

    displacement: Tensor
    lateral: Tensor
    precision: Tensor
    residual: Tensor


class SparseStage(nn.Module):
    """The learned part of stage 1: correlation at every lag → displacement in samples, (batch, 1, …)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = _conv(2 * len(LAGS), width)
        self.blocks = nn.ModuleList(
            _conv(width, width, dilation=dilation) for dilation in _DILATIONS
        )
        self.head = nn.Sequential(
            nn.Conv2d(width, 32, 1), nn.ReLU(), nn.Conv2d(32, 16, 1), nn.ReLU(), nn.Conv2d(16, 1, 1)
        )

    def forward(self, correlation: Tensor) -> Tensor:
        x = F.relu(self.first(correlation))
        for block in self.blocks:
            x = F.relu(x + block(x))
        return self.head(x)


class Tracking(nn.Module):
    """Both RF frames (batch, lines, samples) → the sparse displacement and a `Measurement`."""

    def __init__(self) -> None:
        super().__init__()
        self.baseband = Baseband()
        self.sparse_stage = SparseStage()

    def sparse(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return the sparse displacement alone; only this part is trained."""
        return self.sparse_stage(_coarse(self.baseband(pre), self.baseband(post))[0])

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Measurement]:
        """Return the sparse displacement (batch, 1, ⌈lines/2⌉, ⌈points/4⌉) in samples and the measurement.

        Its pixels are in the middle of the 2 lines × 2 pixels of the measurement that `refine` makes of them.
        """
        pre, post = self.baseband(pre), self.baseband(post)
        correlation, own = _coarse(pre, post)
        sparse = self.sparse_stage(correlation)
        size = pre.shape[-2], (pre.shape[-1] + 1) // 2
        # The measurement does not depend on small changes of the alignment, so it has no gradient.
        alignment = refine(steadied(sparse.detach(), correlation), (2, 2), size)
        return sparse, _measure(pre, post, alignment, _frequency(own))


def _coarse(pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
    """Return the correlation at every axial lag, and that of pre at lag 1, every 2 lines × 16 samples.

    The products are those at every second baseband point, which is enough for the bandwidth of an echo.
    """
    reach, width = 4, (pre.shape[-1] + 1) // 2
    padded = F.pad(post, (reach, reach + 1))
    # Even and odd lags: a slice without a step is a copy of whole rows.
    halves = padded[..., ::2], padded[..., 1::2]
    shifted = []
    for lag in LAGS:
        first = (reach + lag) // 2
        shifted.append(halves[lag % 2][..., first : first + width])
    pre_even, pre_odd = pre[..., ::2], F.pad(pre, (0, 1))[..., 1::2]
    own = _products(pre_even, [pre_odd[..., :width]])
    powers = torch.cat([_power(pre_even), _power(shifted[LAGS.index(0)])], 1)
    # Pooled one by one: joining them before that takes longer than the pools.
    real, imag, powers, own = (
        _blocks(x, (2, 4), (2, 2), (0, 1)) for x in (*_parts(pre_even, shifted), powers, own)
    )
    # Over the whole range of the lags, so that the quotients stay bounded where one frame is dark.
    wide = F.avg_pool2d(powers, (3, 5), stride=1, padding=(1, 2), count_include_pad=False)
    both = 0.5 * (powers[:, :1] + wide[:, :1]) * wide[:, 1:]
    return torch.cat([real, imag], 1) / (torch.sqrt(both) + 1e-6), own


def _frequency(own: Tensor) -> Tensor:
    """Return the local centre frequency of the echo (rad/sample), over about 34 lines × 270 samples."""
    mean = F.avg_pool2d(own, (17, 17), stride=1, padding=8, count_include_pad=False)
    angle = _angle(mean, _root((mean * mean).sum(1, keepdim=True)))
    return RADIANS_PER_SAMPLE + angle / DECIMATION


def _root(x: Tensor) -> Tensor:
    """Return the square root, at least 3e-5. The exporter to ONNX leaves out additions of 1e-8 and less."""
    return torch.sqrt(x.clamp(min=1e-9))


def _angle(x: Tensor, size: Tensor) -> Tensor:
    """Return the argument of complex numbers of this magnitude, with one arc tangent of the half angle."""
    return 2.0 * torch.atan(x[:, 1:] / (size + x[:, :1]).clamp(min=1e-6))


def steadied(displacement: Tensor, correlation: Tensor) -> Tensor:
    """Return the displacement for the alignment: the sparse one, smoothed where it is uncertain.

    Pixels are weighted by the correlation of the frames (at the best lag, to the fourth power), and half of
    the weight is that of the pixel itself, so that steps are preserved. The displacement is limited to the
    range of the lags.
    """
    n = len(LAGS)
    power = (correlation[:, :n] ** 2 + correlation[:, n:] ** 2).amax(1, keepdim=True)
    weight = power * power + 1e-3
    both = torch.cat([displacement.clamp(-REACH_SAMPLES, REACH_SAMPLES) * weight, weight], 1)
    both = both + F.avg_pool2d(both, 3, stride=1, padding=1, count_include_pad=False)
    return both[:, :1] / both[:, 1:]


def _measure(pre: Tensor, post: Tensor, start: Tensor, frequency: Tensor) -> Measurement:
    """Return the measurement of two basebands.

    ``start`` is the alignment in samples and ``frequency`` that of the echo (rad/sample), the first at every
    second of the basebands' points and the second on the sparse grid.
    """
    # Every second point is enough for the bandwidth of an echo, at half of the cost.
    pre = pre[..., ::2]
    read = turned(read_at(post, start, step=2), RADIANS_PER_SAMPLE * start)
    reach, n_lines = max(LINE_SHIFTS), pre.shape[-2]
    padded = F.pad(read, (0, 0, reach, reach), mode="replicate")
    beside = [padded[..., reach + s : reach + s + n_lines, :] for s in LINE_SHIFTS]
    products = _parts(pre, beside)
    powers = torch.cat([_power(pre), _power(read)], 1)
    # The weights of the five lines are as smooth as the position between them.
    coarse = _across(products, powers)
    both = refine(torch.cat([coarse, _cubic(coarse)], 1), (4, 4), start.shape[-2:])
    lateral, weights = both[:, :1], both[:, 1:]
    real, imag = (summed(weights * part) for part in products)
    both = _root(powers[:, :1] * powers[:, 1:])
    stack = F.avg_pool2d(
        torch.cat([real, imag, both], 1), (1, 3), 1, (0, 1), count_include_pad=False
    )
    # Bright echoes have more weight than dark ones next to them, but not in proportion to their power.
    stack = stack * _scale(stack[:, 2:], (3, 9))
    size = _root(stack[:, :1] ** 2 + stack[:, 1:2] ** 2)
    # Next to a line without echo, products with its neighbours have no bound.
    bound = (_BRIGHTEST / size).clamp(max=1.0)
    local, size = stack[:, :2] * bound, size * bound
    # The alignment is averaged in the same way as the phase, so that its noise cancels in their sum.
    mean = _mean(torch.cat([local, stack[:, 2:], size, size * start], 1), WINDOW)
    reached = _root(mean[:, :1] ** 2 + mean[:, 1:2] ** 2)
    frequency = refine(frequency, (2, 2), start.shape[-2:])
    left = -_angle(mean[:, :2], reached) / frequency
    displacement = (mean[:, 4:] + 1e-6 * start) / (mean[:, 3:4] + 1e-6) + left
    square = (reached / (mean[:, 2:3] + 1e-4)).clamp(max=1.0) ** 2
    precision = square / (1.004 - square)
    residual = turned(local, frequency * (displacement - start))
    return Measurement(displacement, lateral, precision, residual)


def _across(products: tuple[Tensor, Tensor], powers: Tensor) -> Tensor:
    """Return the lateral motion in lines, −2…2, on every fourth line and depth.

    ``products`` are those with the lines −2…2 away: real and imaginary parts, (batch, 5, lines, depths).
    Their coherent means over 8 lines × 64 samples are compared. The beam is approximately Gaussian, and so is
    the correlation across lines, so its logarithm is a parabola around the highest of the inner three values.
    """
    n = len(LINE_SHIFTS)
    real, imag = (_blocks(part, (8, 8), (4, 4), (2, 2)) for part in products)
    # The power of the second frame is that of the lines which are compared.
    power = _blocks(powers, (1, 8), (1, 4), (0, 2))
    reach, n_lines = max(LINE_SHIFTS), power.shape[-2]
    post = F.pad(power[:, 1:], (0, 0, reach, reach), mode="replicate")
    beside = [post[..., reach + s : reach + s + n_lines, :] for s in LINE_SHIFTS]
    power = _blocks(torch.cat([power[:, :1], *beside], 1), (8, 1), (4, 1), (2, 0))
    both = torch.cat([real**2 + imag**2, power[:, :1] * power[:, 1:]], 1)
    both = F.avg_pool2d(both, 3, stride=1, padding=1, count_include_pad=False)
    coherence = both[:, :n] / both[:, n:].clamp(min=1e-9)
    height = torch.log(coherence + 1e-3)
    before, here, after = height[:, :-2], height[:, 1:-1], height[:, 2:]
    vertex = 0.5 * (after - before) / (2.0 * here - before - after).clamp(min=0.02)
    shift = torch.tensor(LINE_SHIFTS[1:-1], dtype=height.dtype, device=height.device)
    place = vertex.clamp(-1.0, 1.0) + shift.reshape(1, -1, 1, 1)
    highest = (here >= here.amax(1, keepdim=True)).to(height.dtype)
    across = (highest * place).sum(1, keepdim=True) / highest.sum(1, keepdim=True)
    weight = coherence.amax(1, keepdim=True) + 1e-3
    held = torch.cat([across * weight, weight], 1)
    for _ in range(2):
        held = F.avg_pool2d(held, 3, stride=1, padding=1, count_include_pad=False)
    return (held[:, :1] / held[:, 1:]).clamp(-2.0, 2.0)


def _mean(x: Tensor, window: tuple[int, int]) -> Tensor:
    lines, depths = window
    x = F.avg_pool2d(x, (1, depths), stride=1, padding=(0, depths // 2), count_include_pad=False)
    return F.avg_pool2d(x, (lines, 1), stride=1, padding=(lines // 2, 0), count_include_pad=False)
