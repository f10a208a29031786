"""ONNX operations in PyTorch that look at a pixel's neighbours; see `operations` for what they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rtelasto.gpu.pytorch.operations import Number, Unsupported, only, operation


def _sides(pads: Sequence[int] | None, n_axes: int) -> tuple[list[int], bool]:
    """Pads in torch's order (last axis first, begin and end), and whether both sides are alike."""
    pads = list(pads) if pads is not None else [0] * (2 * n_axes)
    begins, ends = pads[:n_axes], pads[n_axes:]
    flat = [side for axis in reversed(range(n_axes)) for side in (begins[axis], ends[axis])]
    return flat, begins == ends


@operation("Pad", settings=(1, 2, 3))
def pad(
    x: Tensor,
    pads: Sequence[int],
    value: Number | None = None,
    axes: Sequence[int] | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    if axes is not None:
        whole = [0] * (2 * x.ndim)
        for k, axis in enumerate(axes):
            whole[axis % x.ndim], whole[axis % x.ndim + x.ndim] = pads[k], pads[k + len(axes)]
        pads = whole
    flat, _ = _sides(pads, x.ndim)
    if mode == "constant":
        return F.pad(x, flat, value=0.0 if value is None else value)
    only("mode", mode, "edge", "reflect")
    for axis in range(x.ndim):
        begin, end = pads[axis], pads[axis + x.ndim]
        if begin or end:
            x = _pad_axis(x, axis, begin, end, mode)
    return x


def _pad_axis(x: Tensor, axis: int, begin: int, end: int, mode: str) -> Tensor:
    """By concatenation: torch pads like this only some of the axes of tensors of some ranks."""
    size = x.shape[axis]
    if begin < 0 or end < 0:
        raise Unsupported(f"mode {mode!r} with negative pads")
    if mode == "edge":
        before = x.narrow(axis, 0, 1).expand(_sized(x, axis, begin))
        after = x.narrow(axis, size - 1, 1).expand(_sized(x, axis, end))
    else:
        before = x.narrow(axis, 1, begin).flip(axis)
        after = x.narrow(axis, size - 1 - end, end).flip(axis)
    return torch.cat((before, x, after), axis)


def _sized(x: Tensor, axis: int, size: int) -> list[int]:
    shape = list(x.shape)
    shape[axis] = size
    return shape


@operation("Conv")
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    only("auto_pad", auto_pad, "NOTSET", "VALID")
    n_axes = weight.ndim - 2
    only("axes", n_axes, 1, 2)
    flat, alike = _sides(pads, n_axes)
    padding: Sequence[int] = flat[::-2]
    if not alike:
        x, padding = F.pad(x, flat), [0] * n_axes
    run = F.conv1d if n_axes == 1 else F.conv2d
    ones = [1] * n_axes
    return run(x, weight, bias, strides or ones, padding, dilations or ones, group)


@operation("AveragePool")
def average_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    only("auto_pad", auto_pad, "NOTSET", "VALID")
    only("dilations", set(dilations or (1,)), {1})
    n_axes = len(kernel_shape)
    only("axes", n_axes, 1, 2)
    flat, alike = _sides(pads, n_axes)
    if not alike:
        raise Unsupported(f"pads {pads}")
    run = F.avg_pool1d if n_axes == 1 else F.avg_pool2d
    return run(
        x,
        list(kernel_shape),
        list(strides or [1] * n_axes),
        flat[::-2],
        bool(ceil_mode),
        bool(count_include_pad),
    )


@operation("MaxPool")
def max_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> Tensor:
    only("auto_pad", auto_pad, "NOTSET", "VALID")
    n_axes = len(kernel_shape)
    only("axes", n_axes, 1, 2)
    flat, alike = _sides(pads, n_axes)
    padding: Sequence[int] = flat[::-2]
    if not alike:
        x, padding = F.pad(x, flat, value=-math.inf), [0] * n_axes
    run: Callable[..., Tensor] = F.max_pool1d if n_axes == 1 else F.max_pool2d
    return run(
        x,
        list(kernel_shape),
        list(strides or [1] * n_axes),
        padding,
        list(dilations or [1] * n_axes),
        bool(ceil_mode),
    )


@operation("Resize", settings=(1, 2, 3))
def resize(
    x: Tensor,
    roi: Sequence[float] | None = None,
    scales: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    *,
    antialias: int = 0,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    only("antialias", antialias, 0)
    only("keep_aspect_ratio_policy", keep_aspect_ratio_policy, "stretch")
    ways = {"nearest": ("asymmetric", "floor"), "linear": ("half_pixel", nearest_mode)}
    only("mode", mode, *ways)
    only("coordinate_transformation_mode", coordinate_transformation_mode, ways[mode][0])
    only("nearest_mode", nearest_mode, ways[mode][1])
    only("axes", x.ndim - 2, 1, 2)
    linear = "linear" if x.ndim == 3 else "bilinear"
    how = {"mode": linear, "align_corners": False} if mode == "linear" else {"mode": "nearest"}
    if scales:
        only("scales of the first two axes", tuple(scales[:2]), (1.0, 1.0))
        return F.interpolate(x, scale_factor=list(scales[2:]), recompute_scale_factor=False, **how)
    if sizes is None:
        raise Unsupported("neither scales nor sizes")
    only("sizes of the first two axes", tuple(sizes[:2]), tuple(x.shape[:2]))
    return F.interpolate(x, size=list(sizes[2:]), **how)


@operation("GridSample")
def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Tensor:
    names = {"bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest"}
    only("mode", mode, *names)
    only("axes", x.ndim - 2, 2)
    return F.grid_sample(x, grid, names[mode], padding_mode, bool(align_corners))


@operation("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "CRD":
        return F.pixel_shuffle(x, blocksize)
    n, channels, height, width = x.shape
    split = x.reshape(n, blocksize, blocksize, channels // blocksize**2, height, width)
    moved = split.permute(0, 3, 4, 1, 5, 2)
    return moved.reshape(n, -1, height * blocksize, width * blocksize)
