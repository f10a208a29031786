"""``cnn``: the two-stage network whose layers the default engine has too.

Stage 1 estimates a first axial displacement on a sparse grid from the correlation of the two frames. The
frames are then aligned by it, along and across the lines, and compared again: the phase measures the
remaining motion. Stage 2 computes axial strain and displacement from that measurement, its fits over windows
of several sizes and the correlation, which indicates the certainty. It chooses the amount of averaging at
every pixel, and corrects the result. It works at an eighth of the axial sampling and returns its output at a
quarter.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network import StrainNetwork
from rtelasto_engines.network.fits import WINDOWS, SlopeFits
from rtelasto_engines.network.front_end import (
    DECIMATION,
    LAGS,
    RADIANS_PER_SAMPLE,
    REACH_SAMPLES,
    SAMPLES_PER_WAVELENGTH,
    AlignedCorrelation,
    Baseband,
    CoarseCorrelation,
    refine,
    turned,
)

AXIAL_STRIDE = DECIMATION
# Samples between neighbouring axial points inside the network.
_INNER_STEP = 2 * DECIMATION
# After training, the displacement is moved by this fraction towards the phase over a small window (lines ×
# depths), because the motion that the network learned from simulations is smoother than that of real tissue.
# This reduces the accuracy on simulated tissue and improves the agreement of the frames of real recordings
# (figures in the model card). The strain does not depend on it.
LAST_STEP, LAST_WINDOW = 0.5, (7, 5)
# The strain head works in percent, so that its values are of order one.
_STRAIN_UNIT = 0.01


class DisplacementStage(nn.Module):
    """Stage 1: convolutions over the correlation channels, then a 64-32-1 head per pixel."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = _conv(CoarseCorrelation.channels, width)
        self.second = _conv(width, width, dilation=(1, 2))
        self.third = _conv(width, width, dilation=(2, 4))
        self.fourth = _conv(width, width, dilation=(1, 1))
        self.head = nn.Sequential(
            nn.Conv2d(width, 64, 1), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1)
        )

    def forward(self, correlation: Tensor) -> tuple[Tensor, Tensor]:
        """Return displacement in samples, (batch, 1, lines, depths), and the features behind it."""
        x = F.relu(self.first(correlation))
        x = x + F.relu(self.second(x))
        x = x + F.relu(self.third(x))
        x = x + F.relu(self.fourth(x))
        return self.head(x), x


def smooth(displacement: Tensor, correlation: Tensor) -> Tensor:
    """Return the displacement for the alignment: that of stage 1 without its noise.

    The following measurement is an average over a window; alignment noise finer than the window would remain
    in its result. Pixels are weighted by the correlation of the frames (at the best lag, squared), and the
    displacement is limited to the range of the lags: next to tissue that left the frame, stage 1 may return
    any value.
    """
    n = len(LAGS)
    weight = (correlation[:, :n] ** 2 + correlation[:, n:] ** 2).amax(1, keepdim=True) + 1e-3
    both = torch.cat([displacement.clamp(-REACH_SAMPLES, REACH_SAMPLES) * weight, weight], 1)
    for size in (5, 3):
        both = F.avg_pool2d(both, size, stride=1, padding=size // 2, count_include_pad=False)
    return both[:, :1] / both[:, 1:]


def phase_left(aligned: Tensor, window: tuple[int, int] = (5, 9)) -> tuple[Tensor, Tensor]:
    """Return the remaining displacement from the phase (samples), and the magnitude of the mean correlation.

    ``aligned`` (batch, 2, lines, depths) is the correlation after alignment; its mean over a window of
    lines × depths of 8 samples has the phase −ω·(remaining displacement), unambiguous to half a wavelength.
    """
    lines, depths = window
    mean = F.avg_pool2d(
        aligned, (1, depths), stride=1, padding=(0, depths // 2), count_include_pad=False
    )
    mean = F.avg_pool2d(
        mean, (lines, 1), stride=1, padding=(lines // 2, 0), count_include_pad=False
    )
    real, imag = mean[:, :1], mean[:, 1:]
    size = torch.sqrt(real * real + imag * imag + 1e-6)
    # Tangent of the half angle, for an arc tangent of one argument.
    angle = 2.0 * torch.atan(imag / (size + real + 1e-4))
    return angle * (-1.0 / RADIANS_PER_SAMPLE), size


class Decoded(NamedTuple):
    """The result of stage 2 (batch, channels, lines, depths), and features for heads that others add.

    ``strain`` (dimensionless) and ``displacement`` (samples) have one channel, ``fine`` 16 on the same grid
    and ``coarse`` 64 on one of four times the spacing.
    """

    strain: Tensor
    displacement: Tensor
    fine: Tensor
    coarse: Tensor


class Tracked(NamedTuple):
    """What is known of a pair: the sparse displacement, and on the grid of stage 2 the rest."""

    sparse: Tensor
    aligned: Tensor
    size: Tensor
    left: Tensor
    decoded: Decoded


class StrainStage(nn.Module):
    """Stage 2: an encoder-decoder that weights fits of the displacement and corrects them.

    Its inputs are the aligned correlation, the displacement measured from it, its slopes over every window
    and, half-way down, the features of stage 1, so that it can distinguish noise from a real edge.
    """

    def __init__(self, features: int = 32) -> None:
        super().__init__()
        n = len(WINDOWS)
        self.fits = SlopeFits(_INNER_STEP)
        self.enter = _conv(AlignedCorrelation.channels + 3 + 2 * n, 32)
        self.down1 = _conv(32, 48, stride=2)
        self.join = nn.Conv2d(features, 48, 1)
        self.mid1 = _conv(48, 48)
        self.down2 = _conv(48, 64, stride=2)
        self.mid2 = _conv(64, 64)
        self.down3 = _conv(64, 96, stride=2)
        self.mid3 = _conv(96, 96)
        self.deep3 = _conv(96, 96, dilation=(2, 2))
        self.up3 = nn.Conv2d(96, 64, 1)
        self.join3 = _conv(64, 64)
        self.up2 = nn.Conv2d(64, 48, 1)
        self.join2 = _conv(48, 48)
        self.up1 = nn.Conv2d(48, 16, 1)
        self.leave = _conv(32, 16)
        self.last = _conv(16, 16)
        self.heads = nn.Conv2d(16, 2 * n + 2, 1)
        # Training starts from equal weights of the classical fits, without added noise.
        _start_from_zero(self.heads)

    def forward(
        self, displacement: Tensor, left: Tensor, aligned: Tensor, size: Tensor, features: Tensor
    ) -> Decoded:
        n = len(WINDOWS)
        means, slopes = self.fits(displacement)
        apart = means - displacement
        inputs = [aligned, left, size, slopes / _STRAIN_UNIT, 4.0 * apart, 0.2 * displacement]
        x0 = F.relu(self.enter(torch.cat(inputs, 1)))
        x1 = F.relu(self.down1(x0) + self.join(features))
        x1 = x1 + F.relu(self.mid1(x1))
        x2 = F.relu(self.down2(x1))
        x2 = x2 + F.relu(self.mid2(x2))
        x3 = F.relu(self.down3(x2))
        x3 = x3 + F.relu(self.mid3(x3))
        x3 = x3 + F.relu(self.deep3(x3))
        x2 = x2 + _upsample(self.up3(x3), x2)
        x2 = x2 + F.relu(self.join3(x2))
        x1 = x1 + _upsample(self.up2(x2), x1)
        x1 = x1 + F.relu(self.join2(x1))
        x = F.relu(self.leave(x0) + _upsample(self.up1(x1), x0))
        x = x + F.relu(self.last(x))
        heads = self.heads(x)
        strain = _weighed(slopes, heads[:, :n]) + _STRAIN_UNIT * heads[:, 2 * n : -1]
        moved = displacement + _weighed(apart, heads[:, n : 2 * n]) + heads[:, -1:]
        return Decoded(strain, moved, x, x2)


def _weighed(x: Tensor, scores: Tensor) -> Tensor:
    """Return the mean of the channels of x, weighted by the softmax of the scores."""
    # Written out: on a CPU, the runtime's softmax over channels takes four times as long.
    weights = torch.exp(scores - scores.amax(1, keepdim=True))
    return (weights * x).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


class Cnn(StrainNetwork):
    """(pre, post), float32 (batch, lines, samples) → displacement and strain (batch, lines, ⌈samples/4⌉).

    Output depth k lies at input sample 4k. Displacement is in samples of the input, positive away from
    the probe; strain is dimensionless, compression negative.
    """

    samples_per_wavelength = SAMPLES_PER_WAVELENGTH
    axial_stride = AXIAL_STRIDE
    inner_step = _INNER_STEP

    def __init__(self) -> None:
        super().__init__()
        self.baseband = Baseband()
        self.coarse = CoarseCorrelation()
        self.displacement_stage = DisplacementStage()
        self.aligned = AlignedCorrelation()
        self.strain_stage = StrainStage()

    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the displacement of stage 1, the final one and the strain, at ``inner_step``."""
        tracked = self.track(pre, post)
        displacement, strain = tracked.decoded.displacement, tracked.decoded.strain
        first = refine(tracked.sparse, (2, 2), displacement.shape[-2:])
        return first[:, 0], displacement[:, 0], strain[:, 0]

    def track(self, pre: Tensor, post: Tensor) -> Tracked:
        """Return the results of both stages; ``left`` is what remains, by the last small window."""
        both = self.baseband(torch.cat([pre, post]))
        pre, post = both.chunk(2)
        correlation = self.coarse(pre, post)
        sparse, features = self.displacement_stage(correlation)
        # The measurement does not depend on small changes of the alignment, so it has no gradient.
        alignment = refine(smooth(sparse.detach(), correlation), (2, 4), pre.shape[-2:])
        aligned = self.aligned(pre, post, alignment)
        left, size = phase_left(aligned[:, :2])
        start = alignment[..., ::2]
        decoded = self.strain_stage(start + left, left, aligned, size, features)
        seen = turned(aligned[:, :2], RADIANS_PER_SAMPLE * (decoded.displacement - start))
        return Tracked(sparse, aligned, size, phase_left(seen, LAST_WINDOW)[0], decoded)

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        tracked = self.track(pre, post)
        displacement, strain = tracked.decoded.displacement, tracked.decoded.strain
        displacement = displacement + LAST_STEP * tracked.left
        n_depths = (pre.shape[-1] + AXIAL_STRIDE - 1) // AXIAL_STRIDE
        return _double(displacement[:, 0], n_depths), _double(strain[:, 0], n_depths)


def _conv(
    n_in: int, n_out: int, *, stride: int = 1, dilation: tuple[int, int] = (1, 1)
) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride=stride, padding=dilation, dilation=dilation)


def _start_from_zero(*heads: nn.Module) -> None:
    """Set the weights of heads to 0: what they weight starts equal, and what they add starts as nothing."""
    for head in heads:
        for parameter in head.parameters():
            nn.init.zeros_(parameter)


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def _double(x: Tensor, n_depths: int) -> Tensor:
    """Double the axial points, with the new ones half-way between the old, and cut to ``n_depths``."""
    following = torch.cat([x[..., 1:], x[..., -1:]], dim=-1)
    pairs = torch.stack([x, 0.5 * (x + following)], dim=-1)
    return pairs.reshape(*x.shape[:-1], -1)[..., :n_depths]
