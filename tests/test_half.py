"""Half-precision variants, on a network made here that holds every kind of layer a strain engine has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtelasto_engines import shipped_models
from rtelasto_engines.half import compare, half_tensors, make_half, to_half

RNG = np.random.default_rng(0)
N_LINES, N_SAMPLES = 16, 64


class Recipe:
    """Builds a graph layer by layer."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, *shape: int, scale: float | None = None) -> str:
        scale = scale or 1.0 / np.sqrt(np.prod(shape[1:]))
        return self.constant((scale * RNG.standard_normal(shape)).astype(np.float32))

    def __call__(self, op: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))


def network(tmp_path: Path, *, gain: float = 1.0) -> Path:
    """A front end, learned layers of every kind and two heads, with the contract of a strain engine."""
    add = Recipe()
    axes = add.integers(0, 1)
    pre, post = (add("Unsqueeze", name, axes) for name in ("pre", "post"))
    fixed = add.weights(2, 1, 1, 5)
    a, b = (add("Conv", x, fixed, pads=[0, 2, 0, 2]) for x in (pre, post))
    product = add("Mul", a, b)
    power = add("Sqrt", add("Add", add("Mul", a, a), add.constant(np.float32(1e-12))))
    front = add("Div", product, add("Add", power, add.constant(np.float32(1e-6))))
    pooled = add("AveragePool", front, kernel_shape=[1, 4], strides=[1, 4])
    x = add("Relu", add("Conv", pooled, add.weights(16, 2, 3, 3, scale=gain), pads=[1, 1, 1, 1]))
    grouped = add("Conv", x, add.weights(16, 4, 3, 3), pads=[1, 2, 1, 2], dilations=[1, 2], group=4)
    x = add("Add", x, add("Relu", grouped))
    down = add("Relu", add("Conv", x, add.weights(24, 16, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]))
    up = add("ConvTranspose", down, add.weights(24, 16, 2, 2), strides=[2, 2])
    scales = add.constant(np.array([1.0, 1.0, 2.0, 2.0], np.float32))
    near = add("Resize", add("Conv", down, add.weights(16, 24, 1, 1)), "", scales, mode="nearest")
    x = add("Concat", x, up, near, axis=1)
    x = add("Slice", x, add.integers(0), add.integers(40), add.integers(1))
    nothing = add.constant(np.float32(0.0))
    x = add("Pad", x, add.integers(0, 0, 0, 0, 0, 0, 0, 1), nothing)
    x = add("Slice", x, add.integers(0), add.integers(N_SAMPLES // 4), add.integers(3))
    x = add("Where", add("Greater", add("Abs", x), nothing), x, nothing)
    rows = add("Transpose", x, perm=[0, 2, 3, 1])
    mixed = add("MatMul", rows, add.weights(40, 40))
    weighting = add("Softmax", mixed, axis=-1)
    back = add("Transpose", add("Mul", mixed, weighting), perm=[0, 3, 1, 2])
    phase = add("Add", add("Sin", back), add("Cos", back))
    heads = add("Conv", phase, add.weights(2, 40, 1, 1))
    for k, name in enumerate(("displacement", "strain")):
        one = add("Slice", heads, add.integers(k), add.integers(k + 1), add.integers(1))
        add("Squeeze", one, axes, output=name)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [N_LINES, N_SAMPLES])
        for name in ("pre", "post")
    ]
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [N_LINES, N_SAMPLES // 4])
        for name in ("displacement", "strain")
    ]
    graph = helper.make_graph(add.nodes, "engine", values, results, add.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"axial_stride": "4", "samples_per_wavelength": "6.4"})
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "engine.onnx"
    onnx.save(model, path)
    return path


def test_learned_layers_are_in_half_and_nothing_else(tmp_path: Path) -> None:
    single = onnx.load(network(tmp_path))
    half = to_half(single)
    in_half = set(half_tensors(half))
    by_output = {node.output[0]: node for node in half.graph.node}
    kinds = {by_output[name].op_type for name in in_half if by_output[name].op_type != "Cast"}
    assert kinds == {
        *("Conv", "ConvTranspose", "MatMul", "Relu", "Add", "Concat", "Resize", "Slice"),
    }
    originals = {node.output[0]: node.op_type for node in single.graph.node}
    fixed = {"Mul", "Sqrt", "Div", "AveragePool", "Where", "Abs", "Softmax", "Sin", "Cos", "Pad"}
    assert not {name for name, kind in originals.items() if kind in fixed} & in_half
    heads = [node for node in half.graph.node if node.op_type == "Conv"][-1]
    assert heads.output[0] not in in_half
    for before, after in zip(
        (*single.graph.input, *single.graph.output),
        (*half.graph.input, *half.graph.output),
        strict=True,
    ):
        assert before == after


def test_it_computes_nearly_the_same(tmp_path: Path) -> None:
    path = network(tmp_path)
    half = to_half(onnx.load(path))
    frames = {
        name: RNG.standard_normal((N_LINES, N_SAMPLES), np.float32) for name in ("pre", "post")
    }
    results = [
        ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, frames)
        for model in (str(path), half.SerializeToString())
    ]
    for wanted, got in zip(*results, strict=True):
        error = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
        assert 1e-6 < error < 1e-2


def test_weights_beyond_fp16_are_refused(tmp_path: Path) -> None:
    single = onnx.load(network(tmp_path, gain=1e6))
    with pytest.raises(ValueError, match="exceed the range of fp16"):
        to_half(single)


@pytest.mark.slow
def test_a_network_that_fp16_does_not_suit_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "wild.onnx"
    model = onnx.load(shipped_models()["cnn"].path)
    # The first learned layer a thousand times as strong: its output leaves fp16's range.
    learned = next(
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and next(t for t in model.graph.initializer if t.name == node.input[1]).dims[0] >= 8
    )
    for tensor in model.graph.initializer:
        if tensor.name == learned.input[1]:
            values = numpy_helper.to_array(tensor) * np.float32(5e3)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    with pytest.raises(ValueError, match=r"wild: .* differs too much"):
        make_half(path, tmp_path / "fp16" / "wild.onnx")
    assert not (tmp_path / "fp16" / "wild.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_models())
def test_shipped_variants_stay_within_a_percent(name: str) -> None:
    """On frames unlike those that making them tried: noise that moves by two samples."""
    from residual_pairs import stretched

    model = shipped_models()[name]
    if not model.half_path.exists():
        pytest.skip(f"{name} has no half-precision variant")
    pre = RNG.standard_normal((40, 800), np.float32)
    kernel = np.hanning(9) * np.cos(np.arange(-4, 5) * 2.0 * np.pi / 6.4)
    pre = np.apply_along_axis(np.convolve, 1, pre, kernel, "same")
    pre /= np.sqrt(np.mean(pre**2))
    pair = stretched(pre, np.roll(pre, -2, axis=1))
    errors, largest = compare(onnx.load(model.path), onnx.load(model.half_path), [pair])
    assert errors["displacement"] < 0.01
    assert largest < 16384.0
