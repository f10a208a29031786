"""``cnn``: the two-stage network that rtelasto ships as its default engine.

Stage 1 turns the correlation of the two frames into axial displacement, stage 2 turns displacement and
what stage 1 knows about its certainty into axial strain. Both work at an eighth of the axial sampling
and give their output at a quarter.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network import StrainNetwork
from rtelasto_engines.network.front_end import (
    DECIMATION,
    LAGS,
    SAMPLES_PER_WAVELENGTH,
    CorrelationFrontEnd,
)

AXIAL_STRIDE = DECIMATION
# Samples between neighbouring axial points inside the network.
_INNER_STEP = 2 * DECIMATION
# The strain head works in percent, so that its numbers are of order one.
_STRAIN_UNIT = 0.01
# How much of a last phase step the displacement takes, after training: what the network has learned from
# simulations is smoother than tissue moves. It costs accuracy on simulated tissue and brings the frames of
# real recordings into better agreement (figures in the model card). The strain does not depend on it.
LAST_STEP = 0.65


class DisplacementStage(nn.Module):
    """Stage 1: convolutions over the correlation channels, then a 64-32-1 head per pixel."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = _conv(CorrelationFrontEnd.channels, width)
        self.second = _conv(width, width, dilation=(1, 2))
        self.third = _conv(width, width, dilation=(1, 4))
        self.fourth = _conv(width, width, dilation=(2, 2))
        self.head = nn.Sequential(
            nn.Conv2d(width, 64, 1), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1)
        )

    def forward(self, correlation: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement in samples, (batch, 1, lines, depths), and the features it came from."""
        x = F.relu(self.first(correlation))
        x = x + F.relu(self.second(x))
        x = x + F.relu(self.third(x))
        x = x + F.relu(self.fourth(x))
        return self.head(x), x


def phase_at(correlation: Tensor, displacement: Tensor) -> Tensor:
    """The correlation seen from an estimated displacement: (batch, 2, lines, depths).

    Interpolates the lags at the estimate and turns the result back by the estimate's phase. Where the
    estimate is right the result is real; its imaginary part is the error that is left, times the
    coherence. This is the phase step with which classical trackers end.
    """
    n = len(LAGS)
    real, imag = correlation[:, :n], correlation[:, n : 2 * n]
    lags = torch.tensor(LAGS, dtype=displacement.dtype, device=displacement.device)
    weight = F.relu(1.0 - (lags.reshape(1, -1, 1, 1) - displacement / DECIMATION).abs())
    real, imag = (weight * real).sum(1, keepdim=True), (weight * imag).sum(1, keepdim=True)
    phase = displacement * (2.0 * math.pi / SAMPLES_PER_WAVELENGTH)
    cos, sin = torch.cos(phase), torch.sin(phase)
    return torch.cat([real * cos - imag * sin, imag * cos + real * sin], dim=1)


def phase_step(displacement: Tensor, seen: Tensor) -> Tensor:
    """The displacement after one step of what the phase says is still wrong with it.

    ``seen`` is `phase_at` of the displacement; its mean over 3 lines and 72 samples has the phase
    −ω·error. The sine stands for the phase: the step is exact where little is missing, and where much
    is missing it goes the right way for up to half a wavelength.
    """
    mean = F.avg_pool2d(seen, (3, 9), stride=1, padding=(1, 4), count_include_pad=False)
    size = torch.sqrt(mean[:, :1] ** 2 + mean[:, 1:] ** 2 + 1e-6)
    return displacement - (SAMPLES_PER_WAVELENGTH / (2.0 * math.pi)) * mean[:, 1:] / size


class StrainStage(nn.Module):
    """Stage 2: an encoder-decoder that improves on the least-squares slope of the displacement.

    Besides the displacement it sees its slope over short and long windows, the phase error left, and
    stage 1's features, so that it can tell a noisy place from a real edge.
    """

    fit: Tensor

    def __init__(self, features: int = 24, width: int = 24) -> None:
        super().__init__()
        self.register_buffer("fit", _slope_filter(15), persistent=False)
        self.enter = _conv(features + 6, width)
        self.down1 = _conv(width, 40, stride=2)
        self.mid1 = _conv(40, 40)
        self.down2 = _conv(40, 56, stride=2)
        self.mid2 = _conv(56, 56)
        self.mid3 = _conv(56, 56, dilation=(2, 2))
        self.up2 = nn.Conv2d(56, 40, 1)
        self.join2 = _conv(40, 40)
        self.up1 = nn.Conv2d(40, width, 1)
        self.join1 = _conv(width, width)
        self.leave = _conv(width, width)
        self.heads = nn.Conv2d(width, 2, 1)
        # Training starts from the classical estimate, not from noise on top of it.
        for parameter in self.heads.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, displacement: Tensor, phase: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Strain (dimensionless) and the corrected displacement (samples), both (batch, 1, …)."""
        reach = self.fit.shape[-1] // 2
        fitted = F.conv2d(F.pad(displacement, (reach, reach, 0, 0), mode="replicate"), self.fit)
        local = displacement - F.avg_pool2d(
            displacement, (5, 15), stride=1, padding=(2, 7), count_include_pad=False
        )
        inputs = [features, _slope(displacement) / _STRAIN_UNIT, fitted / _STRAIN_UNIT]
        x0 = F.relu(self.enter(torch.cat([*inputs, 4.0 * local, 0.2 * displacement, phase], dim=1)))
        x1 = F.relu(self.down1(x0))
        x1 = x1 + F.relu(self.mid1(x1))
        x2 = F.relu(self.down2(x1))
        x2 = x2 + F.relu(self.mid2(x2))
        x2 = x2 + F.relu(self.mid3(x2))
        x1 = x1 + _upsample(self.up2(x2), x1)
        x1 = x1 + F.relu(self.join2(x1))
        x0 = x0 + _upsample(self.up1(x1), x0)
        x0 = x0 + F.relu(self.join1(x0))
        x0 = x0 + F.relu(self.leave(x0))
        change = self.heads(x0)
        return fitted + _STRAIN_UNIT * change[:, :1], displacement + change[:, 1:]


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
        self.front_end = CorrelationFrontEnd()
        self.displacement_stage = DisplacementStage()
        self.strain_stage = StrainStage()

    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 1's displacement, the corrected one and the strain, at the network's inner step."""
        first, displacement, strain = self._track(self.front_end(pre, post))
        return first[:, 0], displacement[:, 0], strain[:, 0]

    def _track(self, correlation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, features = self.displacement_stage(correlation)
        stepped = phase_step(first, phase_at(correlation, first))
        strain, displacement = self.strain_stage(stepped, phase_at(correlation, stepped), features)
        return first, displacement, strain

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        correlation = self.front_end(pre, post)
        _, displacement, strain = self._track(correlation)
        tracked = phase_step(displacement, phase_at(correlation, displacement))
        displacement = displacement + LAST_STEP * (tracked - displacement)
        n_depths = (pre.shape[-1] + AXIAL_STRIDE - 1) // AXIAL_STRIDE
        return _double(displacement[:, 0], n_depths), _double(strain[:, 0], n_depths)


def _conv(
    n_in: int, n_out: int, *, stride: int = 1, dilation: tuple[int, int] = (1, 1)
) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride=stride, padding=dilation, dilation=dilation)


def _slope(displacement: Tensor) -> Tensor:
    """Central difference along depth, in samples per sample."""
    padded = F.pad(displacement, (1, 1, 0, 0), mode="replicate")
    return (padded[..., 2:] - padded[..., :-2]) / (2.0 * _INNER_STEP)


def _slope_filter(points: int) -> Tensor:
    """Least-squares slope over so many points as a convolution, in samples per sample."""
    offset = _INNER_STEP * (torch.arange(points, dtype=torch.float32) - points // 2)
    return (offset / (offset**2).sum()).reshape(1, 1, 1, -1)


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def _double(x: Tensor, n_depths: int) -> Tensor:
    """Twice the axial points, the new ones half-way between the old, cut to ``n_depths``."""
    following = torch.cat([x[..., 1:], x[..., -1:]], dim=-1)
    pairs = torch.stack([x, 0.5 * (x + following)], dim=-1)
    return pairs.reshape(*x.shape[:-1], -1)[..., :n_depths]
