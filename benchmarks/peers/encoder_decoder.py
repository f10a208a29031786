"""An encoder-decoder over whole frames of the size of USENet, with random weights, for timing only.

USENet is the feed-forward network of Delaunay et al., "An unsupervised learning approach to ultrasound
strain elastography with spatio-temporal consistency", Phys. Med. Biol. 66(17), 2021: four levels down and
up with skip connections and residual blocks, 16 to 256 channels, both frames in, both displacement
components out, summed over the levels. This network has the same widths and depths, but not its weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Peer, Work

WIDTHS = (16, 32, 64, 128, 256)


def _network() -> Any:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    def convolution(n_in: int, n_out: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU())

    class Residual(nn.Module):
        """A convolution, and two more with a residual connection."""

        def __init__(self, n_in: int, n_out: int) -> None:
            super().__init__()
            self.enter = convolution(n_in, n_out)
            self.inner = nn.Sequential(convolution(n_out, n_out), convolution(n_out, n_out))

        def forward(self, x: Tensor) -> Tensor:
            entered = self.enter(x)
            return entered + self.inner(entered)

    class EncoderDecoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            levels = list(zip((2, *WIDTHS[:-2]), WIDTHS[:-1], strict=True))
            self.down = nn.ModuleList(Residual(n_in, n_out) for n_in, n_out in levels)
            self.bottom = convolution(WIDTHS[-2], WIDTHS[-1])
            steps = [(2 * n, n) for _, n in reversed(levels)]
            self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in steps)
            self.join = nn.ModuleList(Residual(n, n) for _, n in steps)
            self.heads = nn.ModuleList(nn.Conv2d(n, 2, 3, padding=1) for n in reversed(WIDTHS))

        def forward(self, frames: Tensor) -> Tensor:
            size, skipped, x = frames.shape[2:], [], frames
            for block in self.down:
                x = block(x)
                skipped.append(x)
                x = F.max_pool2d(x, 2)
            levels = [self.bottom(x)]
            for up, join, skip in zip(self.up, self.join, reversed(skipped), strict=True):
                levels.append(join(up(levels[-1]) + skip))
            fields = [head(level) for head, level in zip(self.heads, levels, strict=True)]
            return sum(F.interpolate(field, size, mode="bilinear") for field in fields)

    torch.manual_seed(0)
    return EncoderDecoder().eval().to(memory_format=torch.channels_last)


def _prepare(pre: NDArray[Any], post: NDArray[Any], threads: int) -> Work:
    import torch

    torch.set_num_threads(threads)
    network = _network()

    def strain() -> NDArray[Any]:
        frames = np.stack([pre, post]).astype(np.float32)
        frames /= frames.std()
        with torch.inference_mode():
            field = network(torch.from_numpy(frames[None]))
        return np.gradient(field[0, 1].numpy(), axis=1)

    return strain


PEERS = {
    "usenet-sized": Peer("encoder-decoder of USENet's size, random weights", _prepare, ("torch",)),
}
