"""``cnn-lateral``: the layers of ``cnn``, which also give lateral motion and the deviation of the strain.

Both are heads on what ``cnn`` computes anyway. The lateral motion that its alignment found between the lines
is fitted across the lines; the network weights the fits and corrects them. The standard deviation of the
axial strain is learned from the errors on simulated tissue.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtelasto_engines.network.cnn import AXIAL_STRIDE, LAST_STEP, Cnn, _double, _start_from_zero
from rtelasto_engines.network.cnn2 import ACROSS_WINDOWS, Strain, deviation
from rtelasto_engines.network.front_end import refine
from rtelasto_engines.network.weighted_fits import WeightedFits, halved, weighed

# The correction of the lateral strain is in percent, so that it is of order one.
_PERCENT = 0.01
_LATERAL = 4  # channel of the aligned correlation that has the lateral motion in lines


class CnnLateral(Cnn):
    """(pre, post), float32 (batch, lines, samples) → all outputs of the contract, at every 4th sample."""

    outputs = ("displacement", "strain", "lateral_displacement", "lateral_strain", "strain_std")

    def __init__(self) -> None:
        super().__init__()
        n = len(ACROSS_WINDOWS)
        self.across = WeightedFits(ACROSS_WINDOWS, 4.0)
        # Scores of the fits for both results, and a correction of each.
        self.lateral = nn.Conv2d(64, 2 * n + 2, 1)
        self.certainty = nn.Conv2d(16, 1, 1)
        _start_from_zero(self.lateral, self.certainty)

    def motion(self, pre: Tensor, post: Tensor) -> tuple[Strain, Tensor]:
        """Return the result on the grid of stage 2, and the motion in samples that remains after it."""
        tracked = self.track(pre, post)
        decoded = tracked.decoded
        sure = tracked.size * tracked.size + 1e-3
        held = halved(halved(torch.cat([sure, sure * tracked.aligned[:, _LATERAL:]], 1)))
        weight, lateral = held[:, :1], held[:, 1:] / held[:, :1]
        values, slopes = self.across.across(lateral, weight)
        scores, n = self.lateral(decoded.coarse), len(ACROSS_WINDOWS)
        aside = lateral + weighed(values - lateral, scores[:, :n]) + scores[:, -2:-1]
        widened = weighed(slopes, scores[:, n : 2 * n]) + _PERCENT * scores[:, -1:]
        both = refine(torch.cat([aside, widened], 1), (4, 4), decoded.strain.shape[-2:])
        std = deviation(self.certainty(decoded.fine))
        result = Strain(decoded.displacement, decoded.strain, both[:, :1], both[:, 1:], std)
        return result, tracked.left

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        result, left = self.motion(pre, post)
        n_depths = (pre.shape[-1] + AXIAL_STRIDE - 1) // AXIAL_STRIDE
        moved = result.displacement + LAST_STEP * left
        images = _double(torch.cat([moved, *result[1:]], 1), n_depths)
        return tuple(images[:, k] for k in range(len(result)))
