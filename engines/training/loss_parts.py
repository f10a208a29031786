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


def edges(strain: Tensor, level: Tensor) -> Tensor:
    """Return 0 where the true strain is uniform and 1 where its range within a window is half its level.

    Most of a tissue is uniform: with the mean error alone, a network learns to smooth it and blurs the
    edges. The window is 5 lines × 9 inner depths (72 samples).
    """
    high, low = (F.max_pool2d(x, (5, 9), 1, (2, 4)) for x in (strain, -strain))
    return ((high + low) / (0.5 * level + 0.05)).clamp(max=1.0)
