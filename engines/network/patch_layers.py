"""Layers of a patch network that also run over whole frames with the same weights.

On a patch, every layer does what its name states. On a frame, neighbouring patches share their computation: a
stride of two in the patch remains a stride of two in the frame (with output only at every fourth sample), or
becomes a wider spacing of all later kernels (with output at every sample). Tensors are (batch, channels,
lines, samples).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pooling = Literal["max", "average", "stride"]


class BatchRenorm(nn.BatchNorm2d):
    """Batch norm that also scales by running statistics of many batches during training.

    A batch of crops contains few tissues. Scaled by its own statistics, it would lose the magnitude of its
    strain. The scaling of each batch is therefore corrected to that of a running average, without gradients:
    batch renormalization (Ioffe 2017), with its limits of 3 and 5. The running average is the plain mean of
    the first batches, then an exponential one. In inference this is batch norm.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    _least_share = 0.02

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var = self.running_mean, self.running_var
        with torch.no_grad():
            batch_var, batch_mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
            self.num_batches_tracked += 1
            share = self.num_batches_tracked.reciprocal().clamp(min=self._least_share)
            mean.lerp_(batch_mean, share)
            var.lerp_(batch_var, share)
            scale = torch.rsqrt(var + self.eps)
            gain = (torch.sqrt(batch_var + self.eps) * scale).clamp(1.0 / 3.0, 3.0)
            shift = ((batch_mean - mean) * scale).clamp(-5.0, 5.0)
        x = F.batch_norm(x, None, None, training=True, eps=self.eps)
        weight, bias = gain * self.weight, shift * self.weight + self.bias
        return x * weight[:, None, None] + bias[:, None, None]


class PatchConv(nn.Module):
    """Valid convolution, batch norm, rectifier, axial halving, dropout; all but the first are optional.

    Parameters
    ----------
    n_in, n_out
        Channels.
    taps
        Size of the kernel, (lines, samples).
    step
        Input samples of the patch between neighbouring samples of this layer's input.
    dilation
        Axial spacing of the kernel's taps.
    halve
        How the axial sampling is halved, if at all: by pooling, or by a convolution with a stride of two.
    norm
        Kind of batch norm, if any.
    dropout
        Fraction of the outputs dropped in training.
    slope
        The mean of the kernels along depth is always 0, so that an offset of the input has no effect.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        taps: tuple[int, int],
        *,
        step: int = 1,
        dilation: int = 1,
        halve: Pooling | None = None,
        norm: type[nn.BatchNorm2d] | None = None,
        dropout: float = 0.0,
        slope: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, taps)
        self.norm = norm(n_out) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.step, self.dilation, self.halve, self.slope = step, dilation, halve, slope

    def forward(self, x: Tensor, every_sample: bool = False) -> Tensor:
        spread = self.step if every_sample else 1
        stride = 2 if self.halve and not every_sample else 1
        kernel = self.conv.weight
        if self.slope:
            kernel = kernel - kernel.mean(dim=-1, keepdim=True)
        x = F.conv2d(
            x,
            kernel,
            self.conv.bias,
            stride=(1, stride if self.halve == "stride" else 1),
            dilation=(1, self.dilation * spread),
        )
        x = F.relu(self.norm(x))
        if self.halve == "max":
            x = F.max_pool2d(x, (1, 2), stride=(1, stride), dilation=(1, spread))
        elif self.halve == "average":
            x = (0.5 * (x[..., :-spread] + x[..., spread:]))[..., ::stride]
        return self.dropout(x)


class LocallyConnected(nn.Module):
    """A convolution with a different kernel at every position, followed by flattening.

    The kernel has a stride of two over a patch of ``size`` (lines, samples), so that there are ⌊(size − taps)
    / 2⌋ + 1 positions along each axis. The output has one channel per position and kernel, ordered by
    position.
    """

    stride = 2

    def __init__(self, n_in: int, n_out: int, size: tuple[int, int], *, step: int) -> None:
        super().__init__()
        taps = (min(3, size[0]), min(3, size[1]))
        self.size, self.step, self.n_out = size, step, n_out
        self.positions = tuple((s - t) // self.stride + 1 for s, t in zip(size, taps, strict=True))
        self.n_outputs = math.prod(self.positions) * n_out
        reach = 1.0 / math.sqrt(n_in * math.prod(taps))
        self.weight = nn.Parameter(torch.empty(self.n_outputs, n_in, *taps).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.empty(self.n_outputs).uniform_(-reach, reach))

    def forward(self, x: Tensor) -> Tensor:
        """A patch (batch, channels, \\*size) → (batch, outputs, 1, 1)."""
        n_lines, n_samples = self.weight.shape[2:]
        windows = x.unfold(2, n_lines, self.stride).unfold(3, n_samples, self.stride)
        kernels = self.weight.unflatten(0, (*self.positions, self.n_out))
        output = torch.einsum("ncijlk,ijoclk->nijo", windows, kernels)
        return (output.flatten(1) + self.bias)[..., None, None]

    def dense(self, x: Tensor, every_sample: bool = False) -> Tensor:
        """A frame → (batch, outputs, …): every kernel at every position, not yet gathered."""
        spread = self.step if every_sample else 1
        return F.conv2d(x, self.weight, self.bias, dilation=(1, spread))

    def gather(self, x: Tensor, every_sample: bool = False) -> Tensor:
        """Shift the channels of each position in ``dense`` to the start of their patch."""
        spread = self.step if every_sample else 1
        reach_lines = self.size[0] - self.weight.shape[2]
        reach = (self.size[1] - self.weight.shape[3]) * spread
        parts = []
        for index, part in enumerate(x.split(self.n_out, dim=1)):
            line, sample = divmod(index, self.positions[1])
            line, sample = line * self.stride, sample * self.stride * spread
            lines = slice(line, line - reach_lines or None)
            parts.append(part[:, :, lines, sample : sample - reach or None])
        return torch.cat(parts, dim=1)


class FullyConnected(nn.Module):
    """Fully connected layers over a patch of ``size`` (lines, samples), with rectifiers and one output.

    Their inputs are in the order of flattening (channels, lines, samples). Always computed in float32.
    """

    def __init__(
        self, n_in: int, size: tuple[int, int], hidden: tuple[int, ...], *, step: int
    ) -> None:
        super().__init__()
        self.size, self.step = size, step
        sizes = (n_in * math.prod(size), *hidden, 1)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor) -> Tensor:
        """A patch (batch, channels, \\*size) → (batch,)."""
        with full_precision(x):
            x = x.float().flatten(1)
            for index, layer in enumerate(self._linear()):
                x = layer(F.relu(x) if index else x)
        return x[:, 0]

    def dense(self, x: Tensor, every_sample: bool = False) -> Tensor:
        """A frame → (batch, lines, depths): the first layer spans ``size``, the others one position."""
        spread = self.step if every_sample else 1
        with full_precision(x):
            x = x.float()
            for index, layer in enumerate(self._linear()):
                size = (1, 1) if index else self.size
                kernel = layer.weight.reshape(layer.out_features, -1, *size)
                x = F.conv2d(F.relu(x) if index else x, kernel, layer.bias, dilation=(1, spread))
        return x[:, 0]


def pad_frame(x: Tensor, patch: tuple[int, int], mode: str) -> Tensor:
    """Pad a frame so that a patch can be centred on each of its samples."""
    lines, samples = patch[0] // 2, patch[1] // 2
    return F.pad(x, (samples, samples, lines, lines), mode=mode)


def full_precision(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Disable bf16 in this context: its 8 bits round a displacement of 4 samples to 1/64."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()
