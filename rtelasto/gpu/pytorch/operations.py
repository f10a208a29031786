"""ONNX operations in PyTorch, one function an operation: numbers and their sums.

A function takes the operation's inputs in order, None for those left out, and its attributes by their
ONNX names. Inputs that are settings rather than data (axes, sizes, pads) arrive as Python lists; which
they are is said where the function is registered. The result is a tensor, or a tuple of them.

A value that is not supported raises `Unsupported`; nothing is approximated.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

Number = float | int | bool


class Unsupported(Exception):
    """An operation is used in a way that this runtime does not know; the message says in which."""


class Operation(NamedTuple):
    """How an operation is done.

    ``settings`` are the inputs that arrive as Python lists or numbers; those in ``numbers`` do so where
    they are known to be a single number, and are tensors otherwise.
    """

    run: Callable[..., Any]
    settings: frozenset[int]
    numbers: frozenset[int]


OPERATIONS: dict[str, Operation] = {}

# ONNX's numbers of types.
TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


def operation(
    name: str, *, settings: Sequence[int] = (), numbers: Sequence[int] = ()
) -> Callable[[Callable], Callable]:
    """Register a function under the name of an ONNX operation."""

    def register(run: Callable) -> Callable:
        OPERATIONS[name] = Operation(run, frozenset(settings), frozenset(numbers))
        return run

    return register


def only(name: str, value: object, *known: object) -> None:
    """Raise Unsupported unless an attribute has one of the values that are known."""
    if value not in known:
        raise Unsupported(f"{name} {value!r}")


# Those that torch has under the same meaning, without attributes.
_PLAIN: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "And": torch.logical_and,
    "Atan": torch.atan,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
}
for _name, _run in _PLAIN.items():
    OPERATIONS[_name] = Operation(_run, frozenset(), frozenset())

# Python's own operators take a number on either side.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": operator.add,
    "Equal": operator.eq,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "Mul": operator.mul,
    "Pow": operator.pow,
    "Sub": operator.sub,
}
for _name, _run in _OPERATORS.items():
    OPERATIONS[_name] = Operation(_run, frozenset(), frozenset((0, 1)))


@operation("Identity")
def identity(x: Tensor) -> Tensor:
    return x


@operation("Div", numbers=(0, 1))
def divide(a: Tensor | Number, b: Tensor | Number) -> Tensor:
    if not isinstance(a, Tensor):
        assert isinstance(b, Tensor)
        a = torch.full((), a, dtype=b.dtype, device=b.device)
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


@operation("Mod", numbers=(1,))
def modulo(a: Tensor, b: Tensor | Number, *, fmod: int = 0) -> Tensor:
    return (torch.fmod if fmod else torch.remainder)(a, b)


def _fold(
    with_number: Callable[..., Tensor],
    with_tensor: Callable[..., Tensor],
    inputs: tuple[Tensor | Number, ...],
) -> Tensor:
    result, *others = sorted(inputs, key=lambda x: not isinstance(x, Tensor))
    assert isinstance(result, Tensor)
    for x in others:
        result = (with_tensor if isinstance(x, Tensor) else with_number)(result, x)
    return result


@operation("Min", numbers=range(64))
def smallest(*inputs: Tensor | Number) -> Tensor:
    return _fold(torch.clamp_max, torch.minimum, inputs)


@operation("Max", numbers=range(64))
def largest(*inputs: Tensor | Number) -> Tensor:
    return _fold(torch.clamp_min, torch.maximum, inputs)


@operation("Clip", settings=(1, 2))
def clip(x: Tensor, low: Number | None = None, high: Number | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


@operation("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return torch.nn.functional.leaky_relu(x, alpha)


@operation("Where")
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


@operation("Cast")
def cast(x: Tensor, *, to: int, saturate: int = 1) -> Tensor:
    if to not in TYPES:
        raise Unsupported(f"to type {to}")
    return x.to(TYPES[to])


@operation("Softmax")
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


# Reductions: axes are an input since opset 18, or 13 for sums, and an attribute before.


def _axes(x: Tensor, given: Sequence[int] | None, attribute: Sequence[int] | None) -> list[int]:
    axes = given if given is not None else attribute
    return list(axes) if axes else list(range(x.ndim))


def _reduction(reduce: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(
        x: Tensor,
        given: Sequence[int] | None = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:
        only("noop_with_empty_axes", noop_with_empty_axes, 0)
        return reduce(x, _axes(x, given, axes), keepdim=bool(keepdims))

    return run


def _sum(x: Tensor, axes: Sequence[int], *, keepdim: bool) -> Tensor:
    # Without the type, torch adds integers up as int64.
    return torch.sum(x, list(axes), keepdim=keepdim, dtype=x.dtype)


_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceSum": _sum,
}
for _name, _run in _REDUCTIONS.items():
    operation(_name, settings=(1,))(_reduction(_run))
