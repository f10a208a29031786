"""``cnn2``: the second generation of `rtelasto_engines.network.cnn`, in preparation.

It is composed of two modules: `Tracking` measures the motion and its precision. `StrainFromMotion` computes,
from that measurement or the average of several, axial and lateral strain, the standard deviation of the axial
strain, and a refined displacement. It chooses the amount of averaging at every pixel from the precision of
the measurement.

Most convolutions run at half the lines and half the depths of the measurement or less; those on its whole
grid are narrow.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network import StrainNetwork
from rtelasto_engines.network.cnn import _conv, _double, _start_from_zero
from rtelasto_engines.network.fits import SlopeFits
from rtelasto_engines.network.front_end import DECIMATION, SAMPLES_PER_WAVELENGTH, refine
from rtelasto_engines.network.tracking import Measurement, Tracking
from rtelasto_engines.network.weighted_fits import WeightedFits, halved, summed, weighed

_INNER_STEP = 2 * DECIMATION
# Lines × depths of the fits on the grid of the measurement, on one of twice the spacing in both directions,
# and on one of four times.
FINE_WINDOWS = ((1, 7), (3, 15))
CALM_WINDOWS = ((3, 15), (5, 31))
LONG_WINDOWS = ((5, 25),)
# Fits across the lines, of the lateral displacement, at four times the spacing: depths × lines.
ACROSS_WINDOWS = ((3, 5), (5, 9))
# The strain head works in percent, so that its values are of order one.
_STRAIN_UNIT = 0.01
_LOG_STD = (-6.2, 2.3)  # of the standard deviation in percent: 0.002 to 10
_PRECISION = (0.02, 10000.0)
# Largest over smallest weight in a fit: without a bound, a few pixels decide the long ones.
_WEIGHT = (0.05, 5.0)
# Coarsest grid of the convolutions, in pixels of the measurement.
_COARSEST = 8


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


class _Fits(NamedTuple):
    """What stage 2 computes from a measurement before its convolutions; (batch, channels, lines, depths).

    On the grid of the measurement: ``slopes`` of the displacement over every window, and ``apart``, how
    fitted values differ from it. On one of four times the spacing: the lateral displacement ``aside``, how
    values fitted across the lines differ from it, and their slopes. ``inputs`` are those of the convolutions,
    on grids of one, two and four times the spacing.
    """

    slopes: Tensor
    apart: Tensor
    aside: Tensor
    across_apart: Tensor
    across_slopes: Tensor
    inputs: tuple[Tensor, ...]


class StrainFromMotion(nn.Module):
    """Stage 2: an encoder-decoder that weights fits of the measurement and corrects them.

    Its finest layers are narrow and work at every pixel of the measurement, so that edges stay sharp.
    """

    def __init__(self) -> None:
        super().__init__()
        across, held = len(ACROSS_WINDOWS), len(CALM_WINDOWS) + len(LONG_WINDOWS)
        self.fine = SlopeFits(_INNER_STEP, FINE_WINDOWS)
        self.calm = WeightedFits(CALM_WINDOWS, 2 * _INNER_STEP)
        self.long = WeightedFits(LONG_WINDOWS, 4 * _INNER_STEP)
        self.across = WeightedFits(ACROSS_WINDOWS, 4.0)
        self.enter = _conv(2 * len(FINE_WINDOWS) + 4, 16)
        self.down1 = _conv(16, 32, stride=2)
        self.enter_calm = _conv(2 * held + 2, 32)
        self.mid1 = _conv(32, 32)
        self.down2 = _conv(32, 48, stride=2)
        self.enter_across = nn.Conv2d(2 * across + 1, 48, 1)
        self.mid2 = _conv(48, 48)
        self.down3 = _conv(48, 64, stride=2)
        self.mid3 = _conv(64, 64)
        self.deep3 = _conv(64, 64, dilation=(2, 2))
        self.up3 = nn.Conv2d(64, 48, 1)
        self.join2 = _conv(48, 48)
        self.up2 = nn.Conv2d(48, 32, 1)
        self.join1 = _conv(32, 32)
        self.up1 = nn.Conv2d(32, 16, 1)
        self.leave = nn.Conv2d(16, 16, 1)
        self.last = _conv(16, 16)
        # Scores of all fits and a correction for the strain; scores of three estimates and a correction for
        # the displacement; the standard deviation.
        self.heads = nn.Conv2d(16, len(FINE_WINDOWS) + held + 1 + 3 + 1 + 1, 1)
        self.lateral = nn.Conv2d(48, 2 * across + 2, 1)
        # Training starts from equal weights of the classical fits, without added noise.
        _start_from_zero(self.heads, self.lateral)

    def forward(self, measured: Measurement) -> Strain:
        fits = self._fits(measured)
        fine, half, quarter = fits.inputs
        x0 = F.relu(self.enter(_padded(fine, _COARSEST)))
        x1 = F.relu(self.enter_calm(_padded(half, _COARSEST // 2)) + self.down1(x0))
        x1 = F.relu(x1 + self.mid1(x1))
        x2 = F.relu(self.enter_across(_padded(quarter, _COARSEST // 4)) + self.down2(x1))
        x2 = F.relu(x2 + self.mid2(x2))
        x3 = F.relu(self.down3(x2))
        x3 = F.relu(x3 + self.mid3(x3))
        x3 = F.relu(x3 + self.deep3(x3))
        x2 = x2 + _doubled(self.up3(x3))
        x2 = F.relu(x2 + self.join2(x2))
        x1 = x1 + _doubled(self.up2(x2))
        x1 = F.relu(x1 + self.join1(x1))
        x0 = F.relu(self.leave(x0) + _doubled(self.up1(x1)))
        x0 = F.relu(x0 + self.last(x0))
        return self._weighted(measured, fits, _like(self.heads(x0), fine), self.lateral(x2))

    def _fits(self, measured: Measurement) -> _Fits:
        displacement, lateral, precision, residual = measured
        weight, sure = precision.clamp(*_WEIGHT), 0.3 * torch.log(precision.clamp(*_PRECISION))
        fine_values, fine_slopes = self.fine(displacement)
        fine_apart = fine_values - displacement
        held = halved(torch.cat([weight, weight * displacement, lateral, sure], 1))
        half_weight, half_sure = held[:, :1], held[:, 3:]
        half = held[:, 1:2] / half_weight
        held = torch.cat([half_weight, half_weight * half, half_weight * held[:, 2:3]], 1)
        held = halved(held)
        quarter_weight, quarter = held[:, :1], held[:, 1:] / held[:, :1]
        aside = quarter[:, 1:]
        across_values, across_slopes = self.across.across(aside, quarter_weight)
        calm_values, calm_slopes = self.calm(half, half_weight)
        long_values, long_slopes = self.long(quarter[:, :1], quarter_weight)
        longest = torch.cat([long_slopes, long_values, aside], 1)
        longest, n_long = refine(longest, (2, 2), half.shape[-2:]), len(LONG_WINDOWS)
        slopes = torch.cat([calm_slopes, longest[:, :n_long]], 1)
        apart = torch.cat([calm_values, longest[:, n_long:-1]], 1) - half
        up = torch.cat([slopes, calm_values[:, :1]], 1)
        up = refine(up, (2, 2), displacement.shape[-2:])
        inputs = (
            (fine_slopes / _STRAIN_UNIT, 4.0 * fine_apart, sure, residual, 0.2 * displacement),
            (slopes / _STRAIN_UNIT, 4.0 * apart, half_sure, longest[:, -1:]),
            (across_slopes / _STRAIN_UNIT, 4.0 * (across_values - aside), aside),
        )
        return _Fits(
            torch.cat([fine_slopes, up[:, :-1]], 1),
            torch.cat([fine_apart[:, -1:], up[:, -1:] - displacement], 1),
            aside,
            across_values - aside,
            across_slopes,
            tuple(torch.cat(parts, 1) for parts in inputs),
        )

    def _weighted(
        self, measured: Measurement, fits: _Fits, heads: Tensor, lateral: Tensor
    ) -> Strain:
        n = fits.slopes.shape[1]
        strain = weighed(fits.slopes, heads[:, :n]) + _STRAIN_UNIT * heads[:, n : n + 1]
        # The last score is that of the measurement, whose difference from itself is 0.
        scores = torch.exp(heads[:, n + 1 : n + 4].clamp(-20.0, 20.0))
        moved = summed(scores[:, :-1] * fits.apart) / summed(scores) + heads[:, n + 4 : n + 5]
        std = deviation(heads[:, n + 5 :])
        n, lateral = fits.across_slopes.shape[1], _like(lateral, fits.aside)
        widened = weighed(fits.across_slopes, lateral[:, :n]) + _STRAIN_UNIT * lateral[:, -1:]
        aside = weighed(fits.across_apart, lateral[:, n : 2 * n]) + lateral[:, -2:-1]
        both = torch.cat([fits.aside + aside, widened], 1)
        both = refine(both, (4, 4), strain.shape[-2:])
        return Strain(measured.displacement + moved, strain, both[:, :1], both[:, 1:], std)


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


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Add lines and depths of zeros up to a multiple, so that grids of twice the spacing fit each other."""
    # −n % multiple, written so that the exporter knows that it is not negative.
    depths, lines = (
        multiple - 1 - (n + multiple - 1) % multiple for n in (x.shape[-1], x.shape[-2])
    )
    return F.pad(x, (0, depths, 0, lines))


def _like(x: Tensor, smaller: Tensor) -> Tensor:
    """Remove what `_padded` added."""
    return x[..., : smaller.shape[-2], : smaller.shape[-1]]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
