"""Straight-line fits of a displacement image, weighted by its precision, over windows of several sizes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightedFits(nn.Module):
    """(batch, 1, lines, depths) displacement and weights → fitted values and slopes over every window.

    Both (batch, len(windows), lines, depths): a straight line along depth is fitted by least squares to the
    part of each window of lines × depths inside the image, and evaluated at the pixel.

    Parameters
    ----------
    windows
        Lines × depths of each window.
    step
        Samples between neighbouring depths.
    """

    def __init__(self, windows: tuple[tuple[int, int], ...], step: float) -> None:
        super().__init__()
        self.windows, self._step = windows, step
        for i, (_, points) in enumerate(windows):
            t = torch.arange(points, dtype=torch.float32) - points // 2
            # Σw, Σwt, Σwt² from the weights and Σwy, Σwty from their products with the image.
            kernel = torch.zeros(5, 2, 1, points)
            for power in range(3):
                kernel[power, 0, 0] = t**power
            for power in range(2):
                kernel[3 + power, 1, 0] = t**power
            self.register_buffer(f"sums{i}", kernel, persistent=False)

    def forward(self, displacement: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([weight, weight * displacement], 1)
        parts = []
        for i, (lines, points) in enumerate(self.windows):
            held = both
            if lines > 1:
                held = F.avg_pool2d(
                    held, (lines, 1), stride=1, padding=(lines // 2, 0), count_include_pad=False
                )
            parts.append(F.conv2d(held, getattr(self, f"sums{i}"), padding=(0, points // 2)))
        t0, t1, t2, y0, y1 = (
            torch.cat([part[:, k : k + 1] for part in parts], 1) for k in range(5)
        )
        # An image of a single depth has no slope: the determinant is 0 there, and so is the numerator.
        scale = 1.0 / (t0 * t2 - t1 * t1 + 1e-6 * t0 * t0)
        values = (t2 * y0 - t1 * y1 + 1e-6 * t0 * y0) * scale
        return values, (t0 * y1 - t1 * y0) * scale * (1.0 / self._step)

    def across(self, lateral: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Fit along the lines instead: the windows are depths × lines, and ``step`` is in lines."""
        values, slopes = self(lateral.transpose(2, 3), weight.transpose(2, 3))
        return values.transpose(2, 3), slopes.transpose(2, 3)


def weighed(x: Tensor, scores: Tensor) -> Tensor:
    """Return the mean of the channels of x, weighted by the softmax of the scores."""
    weights = torch.exp(scores.clamp(-20.0, 20.0))
    return summed(weights * x) / summed(weights)


def summed(x: Tensor) -> Tensor:
    """Return the sum of the channels. On a CPU, the runtime's own sum takes twice as long."""
    total = x[:, :1]
    for k in range(1, x.shape[1]):
        total = total + x[:, k : k + 1]
    return total


def halved(x: Tensor) -> Tensor:
    """Return the mean over 2 × 2 pixels."""
    return F.avg_pool2d(x, 2, stride=2, ceil_mode=True, count_include_pad=False)
