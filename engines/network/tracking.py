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

from rtelasto_engines.network.cnn import DisplacementStage
from rtelasto_engines.network.front_end import (
    DECIMATION,
    LAGS,
    LINE_SHIFTS,
    RADIANS_PER_SAMPLE,
    REACH_SAMPLES,
    Baseband,
    _blocks,
    _cubic,
    _power,
    _products,
    read_at,
    refine,
    turned,
)

# Lines × depths of 8 samples over which phases are averaged for a measurement, and for its precision.
SHARP_WINDOW, WIDE_WINDOW = (3, 7), (9, 15)
_N_FEATURES = 3


class Measurement(NamedTuple):
    """The result of stage 1 on a grid of 1 line × 8 samples; each (batch, channels, lines, depths).

    ``displacement`` in samples and ``lateral`` in lines are averaged over pairs weighted by
    ``precision``, which is summed: about 1 / variance of the displacement, up to a constant factor.
    ``features`` (3 channels, 0 to about 1) are averaged with equal weights: correlation over a small and a
    larger window, and brightness relative to the neighbourhood.
    """

    displacement: Tensor
    lateral: Tensor
    precision: Tensor
    features: Tensor


class Tracking(nn.Module):
    """Both RF frames (batch, lines, samples) → the sparse displacement and a `Measurement`."""

    def __init__(self) -> None:
        super().__init__()
        self.baseband = Baseband()
        self.displacement_stage = DisplacementStage()

    def sparse(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return the sparse displacement alone; only this part is trained."""
        pre, post = self.baseband(torch.cat([pre[:, ::2], post[:, ::2]])).chunk(2)
        displacement, _ = self.displacement_stage(_coarse(pre, post)[0])
        return displacement

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Measurement]:
        """Return the sparse displacement (batch, 1, ⌈lines/2⌉, ⌈points/4⌉) in samples and the measurement."""
        pre, post = self.baseband(torch.cat([pre, post])).chunk(2)
        correlation, own = _coarse(pre[:, :, ::2], post[:, :, ::2])
        sparse, _ = self.displacement_stage(correlation)
        # The measurement does not depend on small changes of the alignment, so it has no gradient.
        alignment = refine(steadied(sparse.detach(), correlation), (2, 4), pre.shape[-2:])
        return sparse, _measure(pre, post, alignment, _frequency(own))


def _coarse(pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
    """Return the correlation at every axial lag, and that of pre at lag 1, every 2 lines × 16 samples."""
    reach, width, n = max(LAGS), post.shape[-1], len(LAGS)
    padded = F.pad(post, (reach, reach))
    shifted = [padded[..., reach + lag : reach + lag + width] for lag in LAGS]
    cross = _products(pre, shifted)
    own = _products(pre, [F.pad(pre, (0, 1))[..., 1:]])
    stack = torch.cat([cross, _power(pre), _power(post), own], 1)
    stack = _blocks(stack, (1, 8), (1, 4), (0, 2))
    powers = stack[:, 2 * n : 2 * n + 2]
    # Over the whole range of the lags, so that the quotients stay bounded where one frame is dark.
    wide = F.avg_pool2d(powers, (3, 5), stride=1, padding=(1, 2), count_include_pad=False)
    both = 0.5 * (powers[:, :1] + wide[:, :1]) * wide[:, 1:]
    return stack[:, : 2 * n] / (torch.sqrt(both) + 1e-6), stack[:, 2 * n + 2 :]


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


def _measure(pre: Tensor, post: Tensor, alignment: Tensor, frequency: Tensor) -> Measurement:
    """Return the remaining motion after an alignment (samples, at every baseband point)."""
    # Every second point is enough for the bandwidth of an echo, at half of the cost.
    pre, start = pre[..., ::2], alignment[..., ::2]
    read = turned(read_at(post, start, step=2), RADIANS_PER_SAMPLE * start)
    reach, n_lines, n = max(LINE_SHIFTS), pre.shape[-2], len(LINE_SHIFTS)
    padded = F.pad(read, (0, 0, reach, reach), mode="replicate")
    beside = [padded[..., reach + s : reach + s + n_lines, :] for s in LINE_SHIFTS]
    products = _products(pre, beside)
    powers = torch.cat([_power(pre), _power(read)], 1)
    # The weights of the five lines are as smooth as the position between them.
    coarse = _across(products, powers)
    both = refine(torch.cat([coarse, _cubic(coarse)], 1), (4, 4), products.shape[-2:])
    lateral, weights = both[:, :1], both[:, 1:]
    real = (weights * products[:, :n]).sum(1, keepdim=True)
    imag = (weights * products[:, n:]).sum(1, keepdim=True)
    # Bright echoes have more weight than dark ones next to them, but not in proportion to their power.
    size = torch.sqrt(real * real + imag * imag)
    root = _root(powers)
    both = root[:, :1] * root[:, 1:]
    scale = 1.0 / _root(both * both.mean((2, 3), keepdim=True))
    # The alignment is averaged in the same way as the phase, so that its noise cancels in their sum.
    held = size * scale
    stack = torch.cat([real * scale, imag * scale, held, held * start, both * scale], 1)
    sharp, wide = _mean(stack, SHARP_WINDOW), _mean(stack, WIDE_WINDOW)
    reached = _root(sharp[:, :1] ** 2 + sharp[:, 1:2] ** 2)
    left = -_angle(sharp[:, :2], reached) / refine(frequency, (2, 2), start.shape[-2:])
    displacement = (sharp[:, 3:4] + 1e-6 * start) / (sharp[:, 2:3] + 1e-6) + left
    coherence = (reached / (sharp[:, 4:] + 1e-4)).clamp(max=1.0)
    wider = _root(wide[:, :1] ** 2 + wide[:, 1:2] ** 2) / (wide[:, 4:] + 1e-4)
    square = coherence * coherence
    precision = square / (1.004 - square)
    bright = sharp[:, 4:] / (sharp[:, 4:] + wide[:, 4:] + 1e-6)
    features = torch.cat([coherence, wider.clamp(max=1.0), bright], 1)
    return Measurement(displacement, lateral, precision, features)


def _across(products: Tensor, powers: Tensor) -> Tensor:
    """Return the lateral motion in lines, −2…2, on every fourth line and depth.

    ``products`` (batch, 10, lines, depths) are those with the lines −2…2 away. Their coherent means over 8
    lines × 64 samples are compared. The beam is approximately Gaussian, and so is the correlation across
    lines, so its logarithm is a parabola around the highest of the inner three values.
    """
    n = len(LINE_SHIFTS)
    stack = _blocks(torch.cat([products, powers], 1), (8, 8), (4, 4), (2, 2))
    height = stack[:, :n] ** 2 + stack[:, n : 2 * n] ** 2
    total = stack[:, 2 * n : 2 * n + 1] * stack[:, 2 * n + 1 :]
    both = F.avg_pool2d(
        torch.cat([height, total], 1), 3, stride=1, padding=1, count_include_pad=False
    )
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
