"""The floor against graphs whose work can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtelasto.bench.floor import engine_floor, graph_work
from rtelasto.bench.rates import PRODUCT_MODEL, Rates, cpu_rates, measure_rates
from rtelasto.frames.rf import RfFormat

FORMAT = RfFormat(
    n_lines=8, n_samples=100, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
RESAMPLING = 24 * 8 * 100


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(path: Path, nodes: list, weights: dict[str, np.ndarray]) -> Path:
    frame = ("lines", "samples")
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("pre", *frame), value("post", *frame)],
        [value("displacement", *frame), value("strain", *frame)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def test_work_of_elementwise_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["pre", "post"], ["displacement"]),
        helper.make_node("Relu", ["displacement"], ["strain"]),
    ]
    work = graph_work(save(tmp_path / "g.onnx", nodes, {}), FORMAT)
    assert [layer.operation for layer in work.layers] == ["Add", "Relu"]
    assert [layer.operations for layer in work.layers] == [800, 800]
    assert [layer.bytes for layer in work.layers] == [3 * 3200, 2 * 3200]
    assert work.operations == 1600 + RESAMPLING
    # Two int16 frames, two float32 images, no weights.
    assert work.least_bytes == 2 * 1600 + 2 * 3200


def test_work_of_a_convolution_counts_its_weights(tmp_path: Path) -> None:
    weight = np.ones((5, 1, 3, 7), np.float32)
    back = np.ones((1, 5, 1, 1), np.float32)
    axes = np.array([0, 1], np.int64)
    nodes = [
        helper.make_node("Unsqueeze", ["pre", "axes"], ["image"]),
        helper.make_node("Conv", ["image", "weight"], ["features"], pads=[1, 3, 1, 3]),
        helper.make_node("Conv", ["features", "back"], ["summed"]),
        helper.make_node("Squeeze", ["summed", "axes"], ["displacement"]),
        helper.make_node("Sub", ["post", "displacement"], ["strain"]),
    ]
    path = save(tmp_path / "g.onnx", nodes, {"weight": weight, "back": back, "axes": axes})
    work = graph_work(path, FORMAT)
    convolutions = [layer.operations for layer in work.layers if layer.operation == "Conv"]
    assert convolutions == [2 * 5 * 800 * 21, 2 * 800 * 5]
    assert work.operations == sum(convolutions) + 800 + RESAMPLING
    assert 4 * (weight.size + back.size) <= work.weight_bytes <= 4 * (weight.size + back.size) + 64


def test_the_floor_is_the_larger_of_moving_and_computing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["pre", "post"], ["displacement"]),
        helper.make_node("Relu", ["displacement"], ["strain"]),
    ]
    work = graph_work(save(tmp_path / "g.onnx", nodes, {}), FORMAT)
    quick = Rates(copy_bytes_s=9600.0, multiply_ops_s=1e12)
    assert work.floor_s(quick) == pytest.approx(1.0)
    slow = Rates(copy_bytes_s=1e12, multiply_ops_s=1600.0)
    assert work.floor_s(slow) == pytest.approx((1600 + RESAMPLING) / 1600.0)
    assert work.layered_s(quick) == pytest.approx(1.0 + 6400 / 9600)


def test_the_shipped_network_has_a_floor_and_a_classical_engine_none() -> None:
    floor = engine_floor("cnn", Rates(1e10, 1e11))
    assert floor is not None
    assert 0.0 < floor.floor_s < floor.work.layered_s(floor.rates)
    assert floor.work.weight_bytes < 2e6
    assert engine_floor("ncc", Rates(1e10, 1e11)) is None


def test_rates_are_those_of_the_work_done() -> None:
    small = measure_rates(copy_bytes=2**20, matrix_size=64, repeats=3)
    assert small.copy_bytes_s > 1e7
    assert small.multiply_ops_s > 1e6
    assert cpu_rates(2, matrix_size=64, repeats=3).multiply_ops_s > 1e6


def test_the_product_model_is_a_matrix_multiplication() -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [value("a", "n", "m"), value("b", "m", "k")],
        [value("c", "n", "k")],
    )
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    assert model == onnx.load_model_from_string(PRODUCT_MODEL)
