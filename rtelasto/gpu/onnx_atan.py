"""The arctangent of a network in operations that have CUDA kernels in ONNX Runtime, which Atan has not.

Where an operation has none, ONNX Runtime copies its input to the host and its result back, and the stream
waits for both.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

# atan(t)/t in powers of t² for 0 ≤ t ≤ 1, to 2e-8 (Abramowitz and Stegun 4.4.49).
_COEFFICIENTS = (
    1.0,
    -0.3333314528,
    0.1999355085,
    -0.1420889944,
    0.1065626393,
    -0.0752896400,
    0.0429096138,
    -0.0161657367,
    0.0028662257,
)


def without_atan(path: Path) -> bytes:
    """Return an ONNX file's contents with every float32 Atan replaced; to 2e-7 the same numbers."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    nodes = list(model.graph.node)
    if any(node.op_type == "Atan" for node in nodes):
        constants = {f"_atan_{k}": value for k, value in enumerate(_COEFFICIENTS)}
        constants |= {"_atan_zero": 0.0, "_atan_half_turn": math.pi / 2.0}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in constants.items()
        )
        del model.graph.node[:]
        for node in nodes:
            model.graph.node.extend(_expanded(node) if node.op_type == "Atan" else [node])
    return model.SerializeToString()


def _expanded(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    from onnx import helper

    (x,), (out,) = node.input, node.output
    made: list[onnx.NodeProto] = []

    def do(name: str, *inputs: str, to: str = "") -> str:
        result = to or f"{out}_atan_{len(made)}"
        made.append(helper.make_node(name, list(inputs), [result], name=result))
        return result

    size = do("Abs", x)
    turned = do("Reciprocal", size)
    # Min passes NaN on; 1/0 is infinite, and the smaller of the two 0.
    t = do("Min", size, turned)
    square = do("Mul", t, t)
    last = len(_COEFFICIENTS) - 1
    value = f"_atan_{last}"
    for k in reversed(range(last)):
        value = do("Add", do("Mul", value, square), f"_atan_{k}")
    angle = do("Mul", value, t)
    # Beyond 45° it is the rest of the right angle.
    rest = do("Sub", "_atan_half_turn", angle)
    angle = do("Where", do("Less", turned, size), rest, angle)
    do("Where", do("Less", x, "_atan_zero"), do("Neg", angle), angle, to=out)
    return made
