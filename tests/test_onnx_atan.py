"""The arctangent in operations that ONNX Runtime has CUDA kernels for: the same numbers, no Atan left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from rtelasto.gpu.onnx_atan import without_atan
from rtelasto_engines import shipped_models


def run(model: bytes | str, **inputs: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_the_arctangent_is_right_for_every_number(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Atan", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("y", TensorProto.FLOAT, ["n"])],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "a.onnx")
    large = np.logspace(-30, 30, 4001)
    x = np.concatenate([-large, [0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], large])
    (y,) = run(without_atan(tmp_path / "a.onnx"), x=x.astype(np.float32))
    np.testing.assert_allclose(y, np.arctan(x.astype(np.float32)), rtol=3e-7, atol=0.0)


def test_a_network_without_it_gives_the_same_strain() -> None:
    path = shipped_models()["cnn"].path
    model = without_atan(path)
    names = {node.op_type for node in onnx.load_from_string(model).graph.node}
    assert "Atan" not in names
    rng = np.random.default_rng(0)
    pre = rng.standard_normal((33, 501)).astype(np.float32)
    post = np.roll(pre, 2, axis=1)
    for got, wanted in zip(
        run(model, pre=pre, post=post), run(str(path), pre=pre, post=post), strict=True
    ):
        assert np.linalg.norm(got - wanted) < 1e-5 * np.linalg.norm(wanted)
