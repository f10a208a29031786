"""``cnn2``: the second generation of `rtelasto_engines.network.cnn`, in preparation.

It is composed of two modules: `Tracking` measures the motion and its precision. `StrainFromMotion` computes,
from that measurement or the average of several, axial and lateral strain, the standard deviation of the axial
strain, and a refined displacement. It chooses the amount of averaging at every pixel from the precision of
the measurement.

Convolutions run at half the lines and half the depths of the measurement or less. The weights of the fits on
the full grid are computed there and rearranged to the full grid by a pixel shuffle.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network import StrainNetwork
from rtelasto_engines.network.cnn import _double
from rtelasto_engines.network.front_end import DECIMATION, SAMPLES_PER_WAVELENGTH, refine
from rtelasto_engines.network.tracking import Measurement, Tracking
from rtelasto_engines.network.weighted_fits import WeightedFits, halved, weighed

_INNER_STEP = 2 * DECIMATION
# Lines × depths on the grid of the measurement, and on one of twice the spacing in both directions.
FINE_WINDOWS = ((1, 5), (3, 11))
CALM_WINDOWS = ((3, 13), (5, 25), (9, 51))
# Fits across the lines, of the lateral displacement, at four times the spacing: depths × lines.
ACROSS_WINDOWS = ((3, 5), (5, 9))
# The strain head works in percent, so that its values are of order one.
_STRAIN_UNIT = 0.01
_LOG_STD = (-6.2, 2.3)  # of the standard deviation in percent: 0.002 to 10
_PRECISION = (0.02, 10000.0)


class Strain(NamedTuple):
    """The output of stage 2 on the grid of the measurement; each (batch, 1, lines, depths).

    Displacement in samples, strain and its standard deviation dimensionless, lateral displacement in
    lines, lateral strain dimensionless.
    """

    displacement: Tensor
    strain: Tensor
    lateral: Tensor
    lateral_strain: Tensor
    std: Tensor


class StrainFromMotion(nn.Module):
    """Stage 2: an encoder-decoder that weights fits of the measurement and corrects them."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        fine, calm, across = len(FINE_WINDOWS), len(CALM_WINDOWS), len(ACROSS_WINDOWS)
        self.fine = WeightedFits(FINE_WINDOWS, _INNER_STEP)
        self.calm = WeightedFits(CALM_WINDOWS, 2 * _INNER_STEP)
        self.across = WeightedFits(ACROSS_WINDOWS, 4.0)
        self.enter_fine = nn.Conv2d(2 * fine + 4, width, 4, stride=2)
        self.enter_calm = _conv(2 * calm + 2, width)
        self.down2 = _conv(width, 48, stride=2)
        self.enter_across = nn.Conv2d(2 * across + 1, 48, 1)
        self.mid2 = _conv(48, 48)
        self.down3 = _conv(48, 80, stride=2)
        self.mid3 = _conv(80, 80)
        self.deep3 = _conv(80, 80, dilation=(2, 2))
        self.up3 = nn.Conv2d(80, 48, 1)
        self.join3 = _conv(48, 48)
        self.up2 = nn.Conv2d(48, width, 1)
        self.join2 = _conv(width, width)
        # Scores of the fits and a correction, for each of the four pixels of the finer grid.
        self.weights = nn.Conv2d(width, 4 * (fine + calm + 1), 1)
        # The longest fit does not help the displacement; the measurement itself also has a score.
        self.moved = nn.Conv2d(width, calm + 2, 1)
        self.certainty = nn.Conv2d(width, 1, 1)
        self.lateral = nn.Conv2d(48, 2 * across + 2, 1)
        # Training starts from equal weights of the classical fits, without added noise.
        for head in (self.weights, self.moved, self.certainty, self.lateral):
            for parameter in head.parameters():
                nn.init.zeros_(parameter)

    def forward(self, measured: Measurement) -> Strain:
        displacement, lateral, precision, features = measured
        shape = displacement.shape[-2:]
        weight = precision.clamp(*_PRECISION)
        fine_values, fine_slopes = self.fine(displacement, weight)
        held = halved(torch.cat([weight, weight * displacement, lateral], 1))
        half, half_weight = held[:, 1:2] / held[:, :1], held[:, :1]
        calm_values, calm_slopes = self.calm(half, half_weight)
        held = halved(torch.cat([half_weight, half_weight * held[:, 2:]], 1))
        quarter = held[:, 1:] / held[:, :1]
        across_values, across_slopes = self.across.across(quarter, held[:, :1])
        sure = 0.3 * torch.log(weight)
        fine_apart = fine_values - displacement
        x = torch.cat([fine_slopes / _STRAIN_UNIT, 4.0 * fine_apart, sure, features], 1)
        fine_in = self.enter_fine(F.pad(x, (1, 2, 1, 2)))
        calm_in = torch.cat(
            [
                calm_slopes / _STRAIN_UNIT,
                4.0 * (calm_values - half),
                0.3 * torch.log(half_weight),
                refine(quarter, (2, 2), half.shape[-2:]),
            ],
            1,
        )
        across_in = torch.cat(
            [across_slopes / _STRAIN_UNIT, 4.0 * (across_values - quarter), quarter], 1
        )
        x1 = F.relu(fine_in + self.enter_calm(calm_in))
        x2 = F.relu(self.down2(x1) + self.enter_across(across_in))
        x2 = x2 + F.relu(self.mid2(x2))
        x3 = F.relu(self.down3(x2))
        x3 = x3 + F.relu(self.mid3(x3))
        x3 = x3 + F.relu(self.deep3(x3))
        x2 = x2 + _upsample(self.up3(x3), x2)
        x2 = x2 + F.relu(self.join3(x2))
        x1 = x1 + _upsample(self.up2(x2), x1)
        x1 = x1 + F.relu(self.join2(x1))

        n_calm, n = len(CALM_WINDOWS), len(FINE_WINDOWS) + len(CALM_WINDOWS)
        held = torch.cat([calm_slopes, calm_values[:, :-1], self.moved(x1), self.certainty(x1)], 1)
        up = refine(held, (2, 2), shape)
        heads = F.pixel_shuffle(self.weights(x1), 2)[..., : shape[0], : shape[1]]
        slopes = torch.cat([fine_slopes, up[:, :n_calm]], 1)
        strain = weighed(slopes, heads[:, :n]) + _STRAIN_UNIT * heads[:, n:]
        apart = torch.cat([fine_apart[:, -1:], up[:, n_calm : 2 * n_calm - 1] - displacement], 1)
        # The last score is that of the measurement, whose difference from itself is 0.
        scores = torch.exp(up[:, 2 * n_calm - 1 : -2].clamp(-20.0, 20.0))
        moved = (scores[:, :-1] * apart).sum(1, keepdim=True) / scores.sum(1, keepdim=True)
        moved = displacement + moved + up[:, -2:-1]
        std = deviation(up[:, -1:])

        n_across = len(ACROSS_WINDOWS)
        scores = self.lateral(x2)
        stretched = weighed(across_slopes, scores[:, :n_across])
        aside = quarter + weighed(across_values - quarter, scores[:, n_across : 2 * n_across])
        both = torch.cat([aside + scores[:, -2:-1], stretched + _STRAIN_UNIT * scores[:, -1:]], 1)
        both = refine(both, (4, 4), shape)
        return Strain(moved, strain, both[:, :1], both[:, 1:], std)


class Cnn2(StrainNetwork):
    """(pre, post), float32 (batch, lines, samples) → displacement, strain and more, at every 4th sample.

    Output depth k lies at input sample 4k. Displacement is in samples of the input, positive away from
    the probe; strain is dimensionless, compression negative.
    """

    samples_per_wavelength = SAMPLES_PER_WAVELENGTH
    axial_stride = DECIMATION
    inner_step = _INNER_STEP
    outputs = ("displacement", "strain", "lateral_displacement", "lateral_strain", "strain_std")

    def __init__(self) -> None:
        super().__init__()
        self.tracking = Tracking()
        self.strain_stage = StrainFromMotion()

    def stages(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the displacement of stage 1, the final one and the strain, at ``inner_step``."""
        sparse, measured = self.tracking(pre, post)
        result = self.strain_stage(measured)
        first = refine(sparse, (2, 2), result.strain.shape[-2:])
        return first[:, 0], result.displacement[:, 0], result.strain[:, 0]

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        _, measured = self.tracking(pre, post)
        return finished(self.strain_stage(measured), (pre.shape[-1] + DECIMATION - 1) // DECIMATION)


def deviation(score: Tensor) -> Tensor:
    """Return the standard deviation of the strain from the output of its head."""
    return _STRAIN_UNIT * torch.exp((score - 1.0).clamp(*_LOG_STD))


def finished(result: Strain, n_depths: int) -> tuple[Tensor, ...]:
    """Return the outputs of the whole network from those of stage 2: twice the depths, no channel axis."""
    images = _double(torch.cat(list(result), 1), n_depths)
    return tuple(images[:, k] for k in range(len(result)))


def _conv(
    n_in: int, n_out: int, *, stride: int = 1, dilation: tuple[int, int] = (1, 1)
) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride=stride, padding=dilation, dilation=dilation)


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")
