"""The stages that are shipped as separate files: one after the other, they are the whole network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtelasto.cpu.network.runtimes import OnnxRuntime
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import MeasuredMotion
from rtelasto_engines import ShippedModel, shipped_models

ort = pytest.importorskip("onnxruntime")

SEPARATE = [model for model in shipped_models().values() if model.stages]


def frames(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Echoes that move by 2 samples, with noise, a shadow in both frames and a dead line in one."""
    rng = np.random.default_rng(4)
    pre = rng.standard_normal(shape).astype(np.float32)
    post = np.roll(pre, 2, axis=1) + 0.3 * rng.standard_normal(shape).astype(np.float32)
    pre[:, -200:], post[:, -200:], pre[shape[0] // 2] = 0.0, 0.0, 0.0
    return pre, post.astype(np.float32)


def run(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, image in wanted.items():
        error = np.linalg.norm(found[name][:, : image.shape[1]] - image) / np.linalg.norm(image)
        assert error < 1e-4, f"{name}: {error:.1e}"


def test_the_stages_of_one_network_are_shipped() -> None:
    assert [model.name for model in SEPARATE] == ["cnn2"]


@pytest.mark.parametrize("shape", [(128, 2608), (37, 1003)])
@pytest.mark.parametrize("model", SEPARATE, ids=lambda model: model.name)
def test_one_stage_after_the_other_gives_what_the_whole_graph_gives(
    model: ShippedModel, shape: tuple[int, int]
) -> None:
    pre, post = frames(shape)
    measured = run(model.stages[0], {"pre": pre, "post": post})
    assert measured["measured_displacement"].shape == (shape[0], -(-shape[1] // 8))
    same(run(model.stages[1], measured), run(model.path, {"pre": pre, "post": post}))


@pytest.mark.parametrize("model", SEPARATE, ids=lambda model: model.name)
def test_the_stages_are_the_whole_graph_on_openvino_too(model: ShippedModel) -> None:
    openvino = pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    pre, post = frames((64, 1208))
    core = openvino.Core()

    def compiled(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        network = core.compile_model(
            str(path), "CPU", {"INFERENCE_PRECISION_HINT": openvino.Type.f32}
        )
        found = network(inputs)
        return {port.any_name: np.array(found[port]) for port in network.outputs}

    measured = compiled(model.stages[0], {"pre": pre, "post": post})
    whole = run(model.path, {"pre": pre, "post": post})
    same(compiled(model.stages[1], measured), whole)


@pytest.mark.parametrize("model", SEPARATE, ids=lambda model: model.name)
def test_the_stages_have_the_metadata_of_the_whole(model: ShippedModel) -> None:
    whole, *parts = (OnnxRuntime(path, None).metadata for path in (model.path, *model.stages))
    for part in parts:
        assert part == whole


def test_an_average_weights_the_displacement_by_its_precision() -> None:
    pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")
    from benchmarks.averaged_measurements import average

    def measurement(displacement: float, precision: float) -> MeasuredMotion:
        image = np.full((3, 5), displacement, np.float32)
        sure, residual = np.full((3, 5), precision, np.float32), np.stack([image, image])
        return MeasuredMotion(image, 0.5 * image, sure, residual, Grid(3, 5, 1e-4, 3e-4), 1e-5)

    found = average([measurement(1.0, 3.0), measurement(2.0, 1.0)])
    np.testing.assert_allclose(found.displacement, 1.25, rtol=1e-5)
    np.testing.assert_allclose(found.lateral, 0.625, rtol=1e-5)
    np.testing.assert_allclose(found.precision, 4.0)
    np.testing.assert_allclose(found.residual, 1.5)
