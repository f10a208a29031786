"""ONNX operations in PyTorch that move values and change none; see `operations` for what they take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rtelasto.gpu.pytorch.operations import Number, Unsupported, operation


@operation("Shape")
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


@operation("Reshape", settings=(1,))
def reshape(x: Tensor, sizes: Sequence[int], *, allowzero: int = 0) -> Tensor:
    kept = [x.shape[k] if size == 0 and not allowzero else size for k, size in enumerate(sizes)]
    return torch.reshape(x, kept)


@operation("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis += x.ndim if axis < 0 else 0
    return torch.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operation("Squeeze", settings=(1,))
def squeeze(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    return torch.squeeze(x) if axes is None else torch.squeeze(x, tuple(axes))


@operation("Unsqueeze", settings=(1,))
def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = torch.unsqueeze(x, axis)
    return x


@operation("Expand", settings=(1,))
def expand(x: Tensor, sizes: Sequence[int]) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(sizes)))


@operation("Transpose")
def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(tuple(perm) if perm is not None else tuple(range(x.ndim))[::-1])


@operation("Concat")
def concat(*inputs: Tensor, axis: int) -> Tensor:
    return torch.cat(inputs, axis)


@operation("Split", settings=(1,))
def split(
    x: Tensor, sizes: Sequence[int] | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Tensor, ...]:
    if sizes is not None:
        return torch.split(x, list(sizes), axis)
    if num_outputs is None:
        raise Unsupported("neither sizes nor num_outputs")
    return torch.split(x, -(-x.shape[axis] // num_outputs), axis)


@operation("Slice", settings=(1, 2, 3, 4))
def cut(
    x: Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> Tensor:
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = k if axes is None else axes[k]
        step = 1 if steps is None else steps[k]
        size = x.shape[axis]
        first, last, step = slice(start, end, step).indices(size)
        if step < 0:
            order = torch.arange(first, last, step, device=x.device)
            x = torch.index_select(x, axis, order)
        else:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(first, max(first, last), step),)]
    return x


@operation("Gather", numbers=(1,))
def gather(x: Tensor, indices: Tensor | int, *, axis: int = 0) -> Tensor:
    if not isinstance(indices, Tensor):
        return torch.select(x, axis, indices)
    axis %= x.ndim
    wrapped = torch.where(indices < 0, indices + x.shape[axis], indices)
    chosen = torch.index_select(x, axis, wrapped.reshape(-1))
    return chosen.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@operation("GatherElements")
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


@operation("Range", settings=(0, 1, 2))
def count(start: Number, limit: Number, delta: Number) -> Tensor:
    return torch.arange(start, limit, delta)


@operation("ConstantOfShape", settings=(0,))
def constant_of_shape(sizes: Sequence[int], *, value: Tensor | None = None) -> Tensor:
    if value is None:
        return torch.zeros(list(sizes))
    return value.reshape(()).expand(list(sizes)).clone()
