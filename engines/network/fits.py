"""Straight-line fits of a displacement image over windows of several sizes, as fixed convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOWS = ((1, 7), (3, 15), (5, 31), (9, 61))
"""Lines × depths of each window; at 8 samples per depth, 7 to 61 depths are 56 to 488 samples."""


class SlopeFits(nn.Module):
    """Displacement (batch, 1, lines, depths) → its fitted values and slopes over every window.

    Both (batch, len(windows), lines, depths): a straight line is fitted along depth by least squares to the
    part of the window inside the image and evaluated at the pixel. Value and slope (in samples per sample)
    are then averaged across the lines of the window.

    Parameters
    ----------
    step
        Samples between neighbouring depths.
    windows
        Lines × depths of each window.
    """

    sums: Tensor

    def __init__(self, step: int, windows: tuple[tuple[int, int], ...] = WINDOWS) -> None:
        super().__init__()
        self._step, self._windows = step, windows
        longest = max(points for _, points in windows)
        offset = torch.arange(longest, dtype=torch.float32) - longest // 2
        inside = [(offset.abs() <= points // 2).to(torch.float32) for _, points in windows]
        # Sums over the windows of y, then of t·y, then of t²·y, with t the offset from the pixel.
        rows = [part * offset**power for power in range(3) for part in inside]
        self.register_buffer("sums", torch.stack(rows).reshape(-1, 1, 1, longest), persistent=False)

    def forward(self, displacement: Tensor) -> tuple[Tensor, Tensor]:
        n, reach = len(self._windows), self.sums.shape[-1] // 2
        y = F.conv2d(displacement, self.sums[: 2 * n], padding=(0, reach))
        geometry = F.conv2d(torch.ones_like(displacement[:1, :, :1]), self.sums, padding=(0, reach))
        y0, y1 = y[:, :n], y[:, n:]
        t0, t1, t2 = geometry[:, :n], geometry[:, n : 2 * n], geometry[:, 2 * n :]
        # An image of a single depth has no slope: the determinant is 0 there, and so is the numerator.
        scale = 1.0 / (t0 * t2 - t1 * t1).clamp(min=0.5)
        values = (t2 * y0 - t1 * y1) * scale
        slopes = (t0 * y1 - t1 * y0) * scale * (1.0 / self._step)
        return self._across(values), self._across(slopes)

    def _across(self, x: Tensor) -> Tensor:
        parts = []
        for i, (lines, _) in enumerate(self._windows):
            part = x[:, i : i + 1]
            if lines > 1:
                part = F.avg_pool2d(
                    part, (lines, 1), stride=1, padding=(lines // 2, 0), count_include_pad=False
                )
            parts.append(part)
        return torch.cat(parts, 1)
