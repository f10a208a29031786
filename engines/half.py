"""Creates the half-precision variants of the shipped networks, for GPUs.

python -m rtelasto_engines.half

TensorRT builds strongly typed: a plan computes in the types of its ONNX file. In the variant, the learned
convolutions and matrix products, which take most of the time, and the nodes that only forward their results
use fp16; everything else keeps fp32. This is necessary: the correlation front end has powers below the range
of fp16, displacements of ten samples have a resolution of only 1/128 in fp16, and phases and slopes are
computed from their differences. The fixed layers and the last layer of every head, which computes
displacement or strain, therefore keep fp32. So do inputs and outputs: both variants have the same contract.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from rtelasto.cpu.stretch import Stretch
from rtelasto.frames.strain import StretchedPair
from rtelasto_engines import shipped_models
from rtelasto_engines.simulate.pair import simulate_pair

# Layers with learned weights, and the least number of outputs for which tensor cores are faster. They are not
# faster for a convolution of a single channel either, and in these networks it is a fixed filter, such as a
# fit of the displacement, which must keep fp32.
_LEARNED = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_MIN_OUTPUTS = 8
# Nodes that only forward values: they use fp16 if all their inputs are fp16.
_PASSING = {
    "Relu": None,
    "LeakyRelu": None,
    "MaxPool": None,
    "Add": None,
    "Concat": None,
    "Resize": 1,
    "Slice": 1,
    "Reshape": 1,
    "Squeeze": 1,
    "Unsqueeze": 1,
    "Transpose": 1,
    "Gather": 1,
    "Flatten": 1,
}
# Activations may reach a quarter of the fp16 range on the test pairs.
_LARGEST = 16384.0
_TOLERANCE = 0.01
# Training pairs, so that no held-out tissue influences the choice.
_SEEDS = (1_000_000, 1_000_001, 1_000_002)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its learned layers in fp16 and the same inputs and outputs."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    in_half: set[str] = set()  # outputs of nodes in fp16
    cast: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []

    def as_type(name: str, kind: int) -> str:
        """Return the tensor in this precision, cast once."""
        if not name or (name in in_half) == (kind == TensorProto.FLOAT16):
            return name
        key = (name, kind)
        if key not in cast:
            cast[key] = f"{name}_{'half' if kind == TensorProto.FLOAT16 else 'single'}"
            if name in weights:
                values = numpy_helper.to_array(weights[name])
                if np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
                    raise ValueError(f"{name}: weights exceed the range of fp16")
                graph.initializer.append(
                    numpy_helper.from_array(values.astype(np.float16), cast[key])
                )
            else:
                nodes.append(helper.make_node("Cast", [name], [cast[key]], to=kind))
        return cast[key]

    for node in graph.node:
        if node.op_type in _LEARNED and _is_worth_it(node, weights):
            carried = list(node.input)
            node.input[:] = [as_type(name, TensorProto.FLOAT16) for name in carried]
            in_half.update(node.output)
        elif node.op_type in _PASSING:
            n_data = _PASSING[node.op_type] or len(node.input)
            if all(name in in_half for name in node.input[:n_data]):
                in_half.update(node.output)
            else:
                for k in range(n_data):
                    node.input[k] = as_type(node.input[k], TensorProto.FLOAT)
        else:
            node.input[:] = [
                as_type(name, TensorProto.FLOAT) if name in in_half else name for name in node.input
            ]
        nodes.append(node)
    for output in graph.output:
        if output.name in in_half:
            raise ValueError(f"{output.name}: the last layer of a head must stay in fp32")
    kept = list(nodes)
    used = {name for node in kept for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(initializers)
    onnx.checker.check_model(half, full_check=True)
    return half


def _is_worth_it(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Return whether a layer has learned weights and enough outputs to benefit from fp16."""
    if len(node.input) < 2 or node.input[1] not in weights:
        return False
    shape = weights[node.input[1]].dims
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Conv":
        return shape[0] >= _MIN_OUTPUTS and shape[1] > 1
    if node.op_type == "ConvTranspose":
        groups = attributes["group"].i if "group" in attributes else 1
        return shape[1] * groups >= _MIN_OUTPUTS
    transposed = "transB" in attributes and attributes["transB"].i
    return shape[0 if transposed else -1] >= _MIN_OUTPUTS


def half_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of the activations that a model computes in fp16."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return [
        value.name
        for value in inferred.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    ]


def compare(
    single: onnx.ModelProto, half: onnx.ModelProto, pairs: list[StretchedPair]
) -> tuple[dict[str, float], float]:
    """Return the relative RMS difference of every output, and the largest fp16 activation.

    ONNX Runtime's CPU rounds to fp16 between the layers and sums in fp32 within them, as a GPU does.
    """
    originals = _session(single)
    halves = _session(half)
    watched = onnx.ModelProto()
    watched.CopyFrom(half)
    names = half_tensors(half)
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in names
    )
    every = _session(watched)
    squares = {output.name: np.zeros(2) for output in single.graph.output}
    largest = 0.0
    for pair in pairs:
        frames = {"pre": pair.pre, "post": pair.post}
        for name, wanted, got in zip(
            squares, originals.run(None, frames), halves.run(None, frames), strict=True
        ):
            squares[name] += [np.sum((got - wanted) ** 2), np.sum(wanted**2)]
        for values in every.run(names, frames):
            largest = max(largest, float(np.abs(values.astype(np.float32)).max(initial=0.0)))
    return {name: float(np.sqrt(a / b)) for name, (a, b) in squares.items()}, largest


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def make_half(path: Path, out: Path) -> str:
    """Write the variant of one network, and return a line with its difference from the original.

    Raises
    ------
    ValueError
        If an output other than the displacement differs by more than 1 % (relative RMS) on simulated tissue,
        or an activation exceeds a quarter of the fp16 range.
    """
    source = path.read_bytes()
    single = onnx.load_from_string(source)
    half = to_half(single)
    properties = {entry.key: entry.value for entry in single.metadata_props}
    helper.set_model_props(
        half,
        {**properties, "precision": "fp16", "source_sha256": hashlib.sha256(source).hexdigest()},
    )
    stretch = Stretch(float(properties["samples_per_wavelength"]))
    pairs = [stretch(simulate_pair(seed, "published", truth_stride=16).frames) for seed in _SEEDS]
    errors, largest = compare(single, half, pairs)
    differences = ", ".join(f"{name} {100 * error:.2f} %" for name, error in errors.items())
    report = (
        f"{path.stem}: {differences} (relative RMS difference of the residual), "
        f"largest activation {largest:.0f}"
    )
    others = [error for name, error in errors.items() if name != "displacement"]
    if max(others) > _TOLERANCE or largest > _LARGEST:
        raise ValueError(f"{report}: differs too much from the original to replace it on GPUs")
    out.parent.mkdir(exist_ok=True)
    onnx.save(half, out)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the fp16 variants of the shipped networks.")
    parser.add_argument("names", nargs="*", help="networks; all by default")
    names = parser.parse_args().names
    refused = False
    for name, model in shipped_models().items():
        if names and name not in names:
            continue
        # Remove the variant of an older version if the network has none now.
        model.half_path.unlink(missing_ok=True)
        try:
            print(make_half(model.path, model.half_path))
        except ValueError as reason:
            refused = True
            print(f"{reason}; GPUs run {name} unchanged", file=sys.stderr)
    sys.exit(refused)


if __name__ == "__main__":
    main()
