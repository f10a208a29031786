"""Networks that give more than displacement and strain, and files that give something unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

from rtelasto.cpu.engine import OnnxEngine  # noqa: E402
from rtelasto.errors import RtelastoError  # noqa: E402
from rtelasto.frames.rf import Grid  # noqa: E402
from rtelasto.frames.strain import Elongation, StretchedPair  # noqa: E402

MORE = ("lateral_displacement", "lateral_strain", "strain_std")


def network(path: Path, outputs: tuple[str, ...]) -> Path:
    """A file that gives at every 4th sample pre times 1, 2, 3 …, in the order of its outputs."""
    nodes = [helper.make_node("Slice", ["pre", "from", "to", "axis", "step"], ["every"])]
    weights = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("from", 0), ("to", 2**31), ("axis", 1), ("step", 4))
    ]
    for k, name in enumerate(outputs):
        weights.append(helper.make_tensor(f"times{k}", TensorProto.FLOAT, [], [k + 1.0]))
        nodes.append(helper.make_node("Mul", ["every", f"times{k}"], [name]))
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["lines", "samples"])
            for name in ("pre", "post")
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["lines", "depths"])
            for name in outputs
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"axial_stride": "4", "samples_per_wavelength": "6.4"})
    onnx.save(model, path)
    return path


@pytest.fixture
def pair() -> StretchedPair:
    pre = np.random.default_rng(1).standard_normal((8, 64)).astype(np.float32)
    return StretchedPair(pre, pre, Grid(8, 64, 2e-5, 3e-4), Elongation(), 6.4)


def test_a_file_of_two_outputs_still_opens_and_leaves_the_rest_out(
    tmp_path: Path, pair: StretchedPair
) -> None:
    motion = OnnxEngine(network(tmp_path / "two.onnx", ("displacement", "strain"))).estimate(pair)
    np.testing.assert_allclose(motion.axial_displacement_m, 2e-5 * pair.pre[:, ::4], rtol=1e-6)
    np.testing.assert_allclose(motion.axial_strain, 2.0 * pair.pre[:, ::4], rtol=1e-6)
    assert motion.lateral_displacement_m is None
    assert motion.lateral_strain is None
    assert motion.axial_strain_std is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_lateral_motion_and_certainty_come_through_in_metres(
    tmp_path: Path, pair: StretchedPair, runtime: str
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    path = network(tmp_path / "five.onnx", ("displacement", "strain", *MORE))
    motion = OnnxEngine(path, runtime=runtime).estimate(pair)
    assert motion.lateral_displacement_m is not None
    assert motion.lateral_strain is not None
    assert motion.axial_strain_std is not None
    every = pair.pre[:, ::4]
    np.testing.assert_allclose(motion.lateral_displacement_m, 3.0 * 3e-4 * every, rtol=1e-6)
    np.testing.assert_allclose(motion.lateral_strain, 4.0 * every, rtol=1e-6)
    np.testing.assert_allclose(motion.axial_strain_std, 5.0 * every, rtol=1e-6)


def test_some_of_the_further_outputs_are_enough(tmp_path: Path, pair: StretchedPair) -> None:
    path = network(tmp_path / "three.onnx", ("displacement", "strain", "strain_std"))
    motion = OnnxEngine(path).estimate(pair)
    assert motion.lateral_strain is None
    assert motion.axial_strain_std is not None


@pytest.mark.parametrize(
    "outputs",
    [
        ("strain", "displacement"),
        ("displacement", "strain", "modulus"),
        ("displacement", "strain_std", "strain"),
    ],
)
def test_a_file_that_gives_something_else_is_refused_by_name(
    tmp_path: Path, outputs: tuple[str, ...]
) -> None:
    path = network(tmp_path / "other.onnx", outputs)
    with pytest.raises(RtelastoError, match=r"other\.onnx: takes .* and gives"):
        OnnxEngine(path)
