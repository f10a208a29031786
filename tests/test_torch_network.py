"""Networks run by PyTorch: the same numbers as ONNX Runtime's, on the CPU, and what is refused."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the runtime torch needs the extra 'torch'")
pytest.importorskip("onnx", reason="the runtime torch needs the extra 'torch'")

import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from residual_pairs import FORMAT, inclusion, speckle_residual

from rtelasto.errors import RtelastoError
from rtelasto.gpu.pytorch.engine import BoundNetwork
from rtelasto.gpu.pytorch.graph import read_network
from rtelasto.gpu.pytorch.images import conv
from rtelasto_engines import shipped_models

pytestmark = pytest.mark.slow

MODELS = shipped_models()
# Lines and samples; none but the first is a whole number of coarse pixels.
SIZES = ((32, 512), (33, 1001), (47, 779))


@lru_cache
def stretched(n_lines: int, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """A simulated pair in which an inclusion strains, of this size on the engine's grid."""
    rf_format = dataclasses.replace(FORMAT, n_lines=n_lines, n_samples=n_samples)
    pair = speckle_residual(4, local_displacement_m=inclusion, rf_format=rf_format)
    return pair.pre, pair.post


def by_torch(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    module = read_network(path, inputs[0].shape)
    with torch.inference_mode():
        return [image.numpy() for image in module(*map(torch.from_numpy, inputs))]


def by_onnxruntime(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


HALF_STEP = float(np.finfo(np.float16).eps)


def relative(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_network_gives_the_numbers_of_onnxruntime(
    name: str, size: tuple[int, int]
) -> None:
    path, pair = MODELS[name].path, stretched(*size)
    for got, wanted in zip(by_torch(path, *pair), by_onnxruntime(path, *pair), strict=True):
        assert got.dtype == np.float32
        assert got.shape == wanted.shape
        assert relative(got, wanted) < 1e-5


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("name", MODELS)
def test_in_half_precision_it_is_about_as_near_to_single_as_onnxruntime(
    name: str, size: tuple[int, int]
) -> None:
    """ONNX Runtime has no half precision on the CPU and rounds less often than the file says.

    Two steps of half precision are nothing, however small the error of ONNX Runtime is.
    """
    model, pair = MODELS[name], stretched(*size)
    got = by_torch(model.half_path, *pair)
    half = by_onnxruntime(model.half_path, *pair)
    single = by_onnxruntime(model.path, *pair)
    for ours, theirs, wanted in zip(got, half, single, strict=True):
        assert ours.dtype == np.float32
        assert relative(ours, wanted) < max(2.5 * relative(theirs, wanted), 2.0 * HALF_STEP)


def test_in_half_precision_a_convolution_sums_in_single_and_rounds_once() -> None:
    rng = np.random.default_rng(2)
    x, weight = (
        rng.standard_normal(shape, np.float32) for shape in ((1, 32, 40, 50), (24, 32, 3, 3))
    )
    half = [torch.from_numpy(array).half() for array in (x, weight)]
    exact = torch.nn.functional.conv2d(*(array.double() for array in half)).half()
    got = conv(*half)
    assert got.dtype == torch.float16
    assert float((got != exact).double().mean()) < 0.005


@pytest.mark.parametrize("size", SIZES)
def test_the_second_network_gives_the_numbers_of_onnxruntime(
    exported_second_network: tuple[object, Path], size: tuple[int, int]
) -> None:
    pair, (_, path) = stretched(*size), exported_second_network
    results = by_torch(path, *pair), by_onnxruntime(path, *pair)
    for got, wanted in zip(*results, strict=True):
        assert got.shape == wanted.shape
        assert relative(got, wanted) < 1e-5


def test_it_works_between_arrays_that_stay_where_they_are() -> None:
    pre, post = (image.copy() for image in stretched(33, 1001))
    path = MODELS["cnn"].path
    rows = (33, 251)
    arrays = {
        "pre": pre,
        "post": post,
        "strain": np.zeros(rows, np.float32),
        "displacement": np.zeros(rows, np.float32),
    }
    network = BoundNetwork(path, arrays)
    for _ in range(2):
        network.run()
        displacement, strain = by_onnxruntime(path, pre, post)
        assert relative(arrays["displacement"], displacement) < 1e-5
        assert relative(arrays["strain"], strain) < 1e-5
        pre[:], post[:] = post.copy(), pre.copy()  # the next pair, in the same memory


def test_outputs_of_another_size_are_refused_in_one_line() -> None:
    pre, post = stretched(33, 1001)
    arrays = {"pre": pre, "post": post, "strain": np.zeros((33, 9), np.float32)}
    with pytest.raises(RtelastoError, match=r"strain is not 33 × 9"):
        BoundNetwork(MODELS["cnn"].path, arrays)


def model(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    *,
    rank: int = 2,
    opset: int = 18,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """A file of these nodes from ``pre`` and ``post`` to ``out``."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None])
        for name in ("pre", "post")
    ]
    output = helper.make_tensor_value_info("out", kind, [None] * rank)
    made = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, [output], made)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("far.away", 1)]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def node(name: str, inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(name, inputs.split(), ["out"], name="the node", **attributes)


IMAGE = [helper.make_node("Reshape", ["pre", "image"], ["x"])]
SHAPE_4D = {"image": whole(1, 4, 6, 10)}

# (operation, inputs, attributes, constants, rank of the result); pre is (12, 20), x (1, 4, 6, 10).
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], int]] = [
    ("Pow", "pre two", {}, {"two": np.float32(2.0)}, 2),
    ("Sub", "one pre", {}, {"one": np.ones((1,), np.float32)}, 2),
    ("Div", "pre row", {}, {"row": np.arange(1, 21, dtype=np.float32)}, 2),
    ("Add", "pre deep", {}, {"deep": np.ones((1, 1, 1), np.float32)}, 3),
    ("Max", "pre post half", {}, {"half": np.float32(0.5)}, 2),
    ("Min", "half pre", {}, {"half": np.float32(0.5)}, 2),
    ("Clip", "pre low", {}, {"low": np.float32(-0.5)}, 2),
    ("Mod", "pre divisor", {"fmod": 1}, {"divisor": np.float32(-0.3)}, 2),
    ("Erf", "pre", {}, {}, 2),
    ("LeakyRelu", "pre", {"alpha": 0.2}, {}, 2),
    ("Softmax", "pre", {"axis": 0}, {}, 2),
    ("MatMul", "pre wide", {}, {"wide": np.ones((20, 3), np.float32)}, 2),
    ("ReduceSum", "pre axes", {"keepdims": 0}, {"axes": whole(1)}, 1),
    ("ReduceMean", "pre", {"keepdims": 1}, {}, 2),
    ("ReduceMax", "pre axes", {"keepdims": 1}, {"axes": whole(-2)}, 2),
    ("ReduceMin", "pre axes", {"keepdims": 1}, {"axes": whole(0, 1)}, 2),
    ("Transpose", "x", {"perm": [0, 3, 1, 2]}, {}, 4),
    ("Transpose", "pre", {}, {}, 2),
    ("Flatten", "x", {"axis": -2}, {}, 2),
    ("Unsqueeze", "pre axes", {}, {"axes": whole(-1, 0)}, 4),
    ("Squeeze", "x axes", {}, {"axes": whole(0)}, 3),
    ("Reshape", "pre sizes", {}, {"sizes": whole(0, 2, -1)}, 3),
    ("Expand", "pre sizes", {}, {"sizes": whole(3, 1, 20)}, 3),
    ("Concat", "pre post", {"axis": -2}, {}, 2),
    (
        "Slice",
        "pre starts ends axes steps",
        {},
        {
            "starts": whole(-1, 3),
            "ends": whole(-99, 999),
            "axes": whole(1, 0),
            "steps": whole(-3, 2),
        },
        2,
    ),
    ("Slice", "pre starts ends", {}, {"starts": whole(2, -4), "ends": whole(9, -1)}, 2),
    ("Gather", "pre order", {"axis": 1}, {"order": whole(3, -1, 0)}, 2),
    ("Gather", "pre order", {"axis": 0}, {"order": np.array(-2)}, 1),
    ("Gather", "pre order", {"axis": 0}, {"order": whole(5)}, 2),
    ("GatherElements", "pre order", {"axis": 1}, {"order": np.full((12, 2), -3)}, 2),
    ("Pad", "pre pads zero", {}, {"pads": whole(1, 2, 0, 3), "zero": np.float32(7.0)}, 2),
    ("Pad", "pre pads", {"mode": "edge"}, {"pads": whole(1, 2, 0, 3)}, 2),
    ("Pad", "pre pads", {"mode": "reflect"}, {"pads": whole(0, 2, 3, 1)}, 2),
    ("Pad", "pre pads empty axes", {}, {"pads": whole(2, 3), "axes": whole(-1)}, 2),
    ("Conv", "x w", {"pads": [1, 1, 2, 2], "strides": [2, 2]}, {"w": np.ones((2, 4, 4, 4))}, 4),
    ("Conv", "x w", {"group": 4, "dilations": [1, 2]}, {"w": np.ones((4, 1, 3, 3))}, 4),
    ("AveragePool", "x", {"kernel_shape": [3, 5], "pads": [1, 2, 1, 2]}, {}, 4),
    (
        "AveragePool",
        "x",
        {"kernel_shape": [1, 4], "strides": [1, 4], "ceil_mode": 1, "count_include_pad": 0},
        {},
        4,
    ),
    ("AveragePool", "x", {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}, {}, 4),
    ("MaxPool", "x", {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 0, 1, 2]}, {}, 4),
    (
        "Resize",
        "x empty empty sizes",
        {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
        {"sizes": whole(1, 4, 13, 25)},
        4,
    ),
    ("Resize", "x empty scales", {"mode": "linear"}, {"scales": np.float32([1, 1, 2.5, 3])}, 4),
    ("Resize", "x empty empty sizes", {"mode": "linear"}, {"sizes": whole(1, 4, 13, 7)}, 4),
    ("DepthToSpace", "x", {"blocksize": 2, "mode": "CRD"}, {}, 4),
    ("DepthToSpace", "x", {"blocksize": 2, "mode": "DCR"}, {}, 4),
    (
        "GridSample",
        "x grid",
        {"mode": "bilinear", "padding_mode": "border", "align_corners": 1},
        {"grid": np.linspace(-1.3, 1.3, 60).reshape(1, 5, 6, 2)},
        4,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_an_operation_is_that_of_onnxruntime(
    case: tuple[str, str, dict[str, Any], dict[str, Any], int], tmp_path: Path
) -> None:
    name, inputs, attributes, constants, rank = case
    made = {
        key: value.astype(np.float32) if value.dtype == np.float64 else np.asarray(value)
        for key, value in constants.items()
    }
    empty = [part if part != "empty" else "" for part in inputs.split()]
    last = helper.make_node(name, empty, ["out"], **attributes)
    path = model(tmp_path, [*IMAGE, last], {**SHAPE_4D, **made}, rank=rank)
    rng = np.random.default_rng(2)
    pair = rng.standard_normal((2, 12, 20)).astype(np.float32)
    (got,), (wanted,) = by_torch(path, *pair), by_onnxruntime(path, *pair)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=5e-6)


def test_whole_numbers_divide_and_remain_as_in_onnx(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["pre"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Div", ["whole", "three"], ["parts"]),
        helper.make_node("Mod", ["whole", "three"], ["rest"]),
        helper.make_node("Mul", ["parts", "ten"], ["tens"]),
        helper.make_node("Add", ["tens", "rest"], ["out"]),
    ]
    constants = {"three": np.array(3), "ten": np.array(10)}
    path = model(tmp_path, nodes, constants, kind=TensorProto.INT64)
    pre = np.arange(-120, 120, dtype=np.float32).reshape(12, 20)
    (got,), (wanted,) = by_torch(path, pre, pre), by_onnxruntime(path, pre, pre)
    np.testing.assert_array_equal(got, wanted)


def test_an_unknown_operation_is_named_in_one_line(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Atan2", ["pre", "post"], ["a"], domain="far.away"),
        helper.make_node("Einsum", ["a", "post"], ["out"], equation="ij,ij->ij"),
    ]
    with pytest.raises(RtelastoError, match=r"operations Einsum, far\.away::Atan2") as caught:
        read_network(model(tmp_path, nodes), (12, 20))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (node("Resize", "x empty scales", mode="cubic"), "mode 'cubic'"),
        (node("AveragePool", "x", kernel_shape=[3, 3], pads=[0, 0, 1, 1]), "pads"),
        (node("Conv", "x w", auto_pad="SAME_UPPER"), "SAME_UPPER"),
        (node("Reshape", "pre sums"), "depends on what is in the frames"),
        (node("Softmax", "pre", temperature=2.0), "temperature"),
    ],
    ids=["resize", "pool", "conv", "shape", "attribute"],
)
def test_an_unknown_use_of_an_operation_is_named_in_one_line(
    wrong: onnx.NodeProto, said: str, tmp_path: Path
) -> None:
    sums = [
        helper.make_node("ReduceSum", ["pre", "axes"], ["few"], keepdims=0),
        helper.make_node("Cast", ["few"], ["sums"], to=TensorProto.INT64),
    ]
    constants = {
        **SHAPE_4D,
        "axes": whole(0),
        "empty": np.zeros(0, np.float32),
        "scales": np.float32([1, 1, 2, 2]),
        "w": np.ones((2, 4, 3, 3), np.float32),
    }
    path = model(tmp_path, [*IMAGE, *sums, wrong], constants)
    with pytest.raises(RtelastoError, match=said) as caught:
        read_network(path, (12, 20))
    assert wrong.op_type in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_old_or_broken_file_is_refused_in_one_line(tmp_path: Path) -> None:
    old = model(tmp_path, [node("Add", "pre post")], opset=11)
    with pytest.raises(RtelastoError, match="opset 11"):
        read_network(old, (12, 20))
    old.write_bytes(b"not a network")
    with pytest.raises(RtelastoError, match=r"model\.onnx: not a readable ONNX file") as caught:
        read_network(old, (12, 20))
    assert "\n" not in str(caught.value)


def test_compiled_it_gives_the_same_numbers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["pre", "post"], ["product"]),
        helper.make_node("Pad", ["product", "pads"], ["padded"], mode="edge"),
        helper.make_node("Abs", ["padded"], ["size"]),
        helper.make_node("Sqrt", ["size"], ["strain"]),
    ]
    value = helper.make_tensor_value_info
    inputs = [value(name, TensorProto.FLOAT, ["l", "s"]) for name in ("pre", "post")]
    outputs = [value("strain", TensorProto.FLOAT, None)]
    pads = numpy_helper.from_array(whole(1, 1, 1, 1), "pads")
    graph = helper.make_graph(nodes, "g", inputs, outputs, [pads])
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    pair = np.random.default_rng(0).standard_normal((2, 12, 20)).astype(np.float32)
    arrays = {"pre": pair[0], "post": pair[1], "strain": np.zeros((14, 22), np.float32)}
    try:
        BoundNetwork(path, arrays, compiled=True).run()
    except torch._inductor.exc.InvalidCxxCompiler:
        pytest.skip("torch.compile finds no C++ compiler")
    np.testing.assert_allclose(
        arrays["strain"], np.sqrt(np.abs(np.pad(pair[0] * pair[1], 1, mode="edge"))), rtol=1e-6
    )
