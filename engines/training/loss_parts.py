"""Parts of the losses that the trainings of all networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bounded(error: Tensor) -> Tensor:
    """Return the absolute error, growing logarithmically beyond one sample.

    A displacement that is wrong by a wavelength is one error and must not count as sixty.
    """
    size = error.abs()
    return torch.where(size < 1.0, size, 1.0 + torch.log(size.clamp(min=1.0)))


def strain_weight(strain: Tensor, valid: Tensor) -> Tensor:
    """Return the weight of a pixel's strain error, 0 where there is no truth.

    It is 1 / (0.3 % + the mean strain of the crop), so that a pair at 0.1 % has the same weight as one at
    2 %, and up to four times as much where the true strain changes.

    Parameters
    ----------
    strain, valid
        True strain in percent, 0 where ``valid`` is not: (batch, lines, depths).
    """
    level = strain.abs().sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
    level = level.reshape(-1, 1, 1)
    return valid / (0.3 + level) * (1.0 + 3.0 * edges(strain, level))


def edges(strain: Tensor, level: Tensor) -> Tensor:
    """Return 0 where the true strain is uniform and 1 where its range within a window is half its level.

    Most of a tissue is uniform: with the mean error alone, a network learns to smooth it and blurs the
    edges. The window is 5 lines × 9 inner depths (72 samples).
    """
    high, low = (F.max_pool2d(x, (5, 9), 1, (2, 4)) for x in (strain, -strain))
    return ((high + low) / (0.5 * level + 0.05)).clamp(max=1.0)
