"""An ONNX file for frames of one size as a PyTorch module.

The size of the frames is known, so everything that follows from it (slices, pads, coordinates) is worked
out here, once, on the host; what is left is a straight line of tensor operations. Tensors of the network
are followed on torch's ``meta`` device, where they have a shape and a type and no contents: nothing is
computed and no GPU is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx

from rtelasto.errors import MissingExtraError, RtelastoError, first_line
from rtelasto.gpu.pytorch import images, shapes  # noqa: F401  they register their operations
from rtelasto.gpu.pytorch.operations import OPERATIONS, TYPES, Operation, Unsupported

if TYPE_CHECKING:
    import onnx

# Older ones give as attributes what later ones give as inputs.
OLDEST_OPSET = 13


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor of the network: known here, or only its shape and the place in the module."""

    tensor: Tensor
    node: fx.Node | None = None

    @property
    def known(self) -> bool:
        return self.node is None


def read_network(path: Path, shape: tuple[int, int], outputs: Sequence[str] = ()) -> fx.GraphModule:
    """The module of a network for frames of one size.

    Parameters
    ----------
    path
        The ONNX file.
    shape
        (n_lines, n_depths) of ``pre`` and ``post``, float32, which the module takes.
    outputs
        What it gives, a tuple of tensors in this order; by default all outputs in the file's order.

    Returns
    -------
    The module on the CPU; ``.to("cuda")`` uploads its constants. ``meta["shapes"]`` has the shapes of what
    it gives.

    Raises
    ------
    MissingExtraError
        If the ``onnx`` package, which reads the file, is not installed.
    RtelastoError
        If the file cannot be read, or names an operation, or a use of one, that is not known here.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("reading networks for PyTorch", "torch") from None
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf raises its own types
        raise RtelastoError(f"{path}: not a readable ONNX file ({error})") from None
    _check(path, model)
    try:
        reader = _Reader(path, model, shape)
    except Unsupported as reason:
        raise RtelastoError(f"{path}: PyTorch does not take it: {reason}") from None
    return reader.module(outputs)


def _check(path: Path, model: onnx.ModelProto) -> None:
    """Refuse what is not known, all of it at once."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise RtelastoError(
            f"{path}: of ONNX opset {opset}; PyTorch runs opset {OLDEST_OPSET} and later"
        )
    names = {(node.domain, node.op_type) for node in model.graph.node}
    unknown = sorted(
        f"{domain}::{name}" if domain not in ("", "ai.onnx") else name
        for domain, name in names
        if domain not in ("", "ai.onnx") or name not in {*OPERATIONS, "Constant"}
    )
    if unknown:
        raise RtelastoError(
            f"{path}: PyTorch is not given the operations {', '.join(unknown)}; "
            "use another --device"
        )


class _Reader:
    """Goes through the nodes in order, working out what is known and noting down the rest."""

    def __init__(self, path: Path, model: onnx.ModelProto, shape: tuple[int, int]) -> None:
        from onnx import numpy_helper

        self._path, self._model = path, model
        self._graph = fx.Graph()
        self._constants: dict[str, Tensor] = {}
        self._values: dict[str, _Value] = {}
        for tensor in model.graph.initializer:
            self._values[tensor.name] = _Value(_tensor(numpy_helper.to_array(tensor)))
        for entry in model.graph.input:
            if entry.name not in self._values:
                like = torch.empty(shape, dtype=torch.float32, device="meta")
                self._values[entry.name] = _Value(like, self._graph.placeholder(entry.name))

    def module(self, outputs: Sequence[str]) -> fx.GraphModule:
        for node in self._model.graph.node:
            try:
                self._read(node)
            except Unsupported as reason:
                raise self._refusal(node, str(reason)) from None
            except (TypeError, RuntimeError, IndexError, ValueError) as error:
                raise self._refusal(node, first_line(error)) from None
        names = outputs or [entry.name for entry in self._model.graph.output]
        missing = [name for name in names if name not in self._values]
        if missing:
            raise RtelastoError(f"{self._path}: has no output {missing[0]!r}")
        self._graph.output(tuple(self._placed(self._values[name]) for name in names))
        self._graph.eliminate_dead_code()
        root = torch.nn.Module()
        for name, tensor in self._constants.items():
            root.register_buffer(name, tensor)
        module = fx.GraphModule(root, self._graph)
        module.meta["shapes"] = [self._values[name].tensor.shape for name in names]
        return module

    def _refusal(self, node: onnx.NodeProto, reason: str) -> RtelastoError:
        return RtelastoError(
            f"{self._path}: PyTorch does not do {node.op_type} ({node.name}) like this: {reason}; "
            "use another --device"
        )

    def _read(self, node: onnx.NodeProto) -> None:
        from onnx import helper, numpy_helper

        attributes: dict[str, Any] = {}
        for attribute in node.attribute:
            value = helper.get_attribute_value(attribute)
            if attribute.type == attribute.TENSOR:
                value = _tensor(numpy_helper.to_array(value))
            attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
        if node.op_type == "Constant":
            ((_, value),) = attributes.items()
            self._values[node.output[0]] = _Value(torch.as_tensor(value))
            return
        made = OPERATIONS[node.op_type]
        inputs = [self._values[name] if name else None for name in node.input]
        if node.op_type == "Shape" or all(value is None or value.known for value in inputs):
            self._fold(node, made, inputs, attributes)
        else:
            self._note(node, made, inputs, attributes)

    def _fold(
        self,
        node: onnx.NodeProto,
        made: Operation,
        inputs: list[_Value | None],
        attributes: dict[str, Any],
    ) -> None:
        """Work out a node of which everything is known."""
        arguments = [
            None if value is None else value.tensor.tolist() if k in made.settings else value.tensor
            for k, value in enumerate(inputs)
        ]
        result = made.run(*arguments, **attributes)
        for name, tensor in zip(node.output, _several(result), strict=False):
            self._values[name] = _Value(tensor)

    def _note(
        self,
        node: onnx.NodeProto,
        made: Operation,
        inputs: list[_Value | None],
        attributes: dict[str, Any],
    ) -> None:
        """Add a node to the module, and find out the shape of what it gives."""
        shown: list[Any] = []
        placed: list[Any] = []
        for k, value in enumerate(inputs):
            if value is None or k in made.settings or _is_number(k, node, made, inputs):
                plain = self._plain(k, value, as_number=k not in made.settings)
                shown.append(plain)
                placed.append(plain)
            else:
                shown.append(value.tensor.to("meta"))
                placed.append(self._placed(value))
        result = _several(made.run(*shown, **attributes))
        call = self._graph.call_function(made.run, tuple(placed), attributes)
        if len(node.output) == 1:
            self._values[node.output[0]] = _Value(result[0], call)
            return
        for k, name in enumerate(node.output):
            item = self._graph.call_function(_item, (call, k))
            self._values[name] = _Value(result[k], item)

    @staticmethod
    def _plain(k: int, value: _Value | None, *, as_number: bool) -> Any:
        if value is None:
            return None
        if not value.known:
            raise Unsupported(f"input {k} depends on what is in the frames")
        return value.tensor.item() if as_number else value.tensor.tolist()

    def _placed(self, value: _Value) -> fx.Node:
        """Where a value is found in the module; what is known becomes a constant of it."""
        if value.node is not None:
            return value.node
        name = f"constant_{id(value.tensor)}"  # the tensor stays: it is a constant from here on
        self._constants[name] = value.tensor
        return self._graph.get_attr(name)


def _is_number(k: int, node: onnx.NodeProto, made: Operation, inputs: list[_Value | None]) -> bool:
    """Whether an input is known, single, and adds no axes to the result."""
    value = inputs[k]
    if k not in made.numbers or value is None or not value.known or value.tensor.numel() != 1:
        return False
    # An index with an axis of its own leaves that axis in place.
    others = [x.tensor.ndim for j, x in enumerate(inputs) if x is not None and j != k]
    return value.tensor.ndim <= (0 if node.op_type == "Gather" else max(others))


def _item(values: tuple[Tensor, ...], k: int) -> Tensor:
    return values[k]


def _several(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _tensor(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.array(array))
    if tensor.dtype not in TYPES.values():
        raise Unsupported(f"numbers of type {array.dtype}")
    return tensor
