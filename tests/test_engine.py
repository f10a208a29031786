"""The network engines on the CPU: the shipped ONNX files, their contract, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from speckle import speckle_pair

from rtelasto.cpu.engine import OnnxEngine
from rtelasto.cpu.stretch import Stretch
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import DEFAULT_ENGINE, Elongation, StretchedPair
from rtelasto.pipeline.engines import engine_names, open_engine
from rtelasto_engines import shipped_models

MODELS = shipped_models()
MORE = ("lateral_displacement", "lateral_strain", "strain_std")
FORMAT = RfFormat(
    n_lines=40, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
# TensorRT 10.13 and 11 read opsets up to 22 at least.
OPSETS = range(17, 23)


def test_the_default_engine_is_shipped() -> None:
    assert next(iter(MODELS)) == DEFAULT_ENGINE
    assert {"cnn", "ncc", "am"} <= set(engine_names())


@pytest.mark.parametrize("name", MODELS)
def test_shipped_files_are_small_valid_and_have_a_card(name: str) -> None:
    model = MODELS[name]
    assert model.path.stat().st_size < 2e6
    loaded = onnx.load(model.path)
    onnx.checker.check_model(loaded, full_check=True)
    assert next(entry.version for entry in loaded.opset_import if not entry.domain) in OPSETS
    assert all(not entry.domain or entry.domain == "ai.onnx" for entry in loaded.opset_import)
    inferred = onnx.shape_inference.infer_shapes(loaded, strict_mode=True)
    outputs = tuple(output.name for output in inferred.graph.output)
    assert outputs == ("displacement", "strain", *(MORE if name in ("cnn-lateral", "cnn2") else ()))
    card = model.card.read_text(encoding="utf-8")
    for heading in ("Architecture", "Training", "Scores", "Limits"):
        assert f"## {heading}" in card
    assert model.summary in engine_names()[name]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(4, 64), (33, 1001), (40, 1200), (128, 800)])
def test_output_depth_k_lies_at_input_sample_4k(name: str, shape: tuple[int, int]) -> None:
    pair = stretched(np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32))
    residual = open_engine(name).estimate(pair)
    assert residual.axial_strain.shape == residual.grid.shape == (shape[0], -(-shape[1] // 4))
    assert residual.axial_strain.dtype == residual.axial_displacement_m.dtype == np.float32
    assert residual.grid.axial_step_m == pytest.approx(4 * pair.grid.axial_step_m)
    assert residual.grid.start_depth_m == pair.grid.start_depth_m
    assert np.isfinite(residual.axial_strain).all()


def stretched(frames: np.ndarray) -> StretchedPair:
    _, n_lines, n_samples = frames.shape
    grid = Grid(n_lines, n_samples, FORMAT.axial_step_m, 2e-4, 1e-3)
    return StretchedPair(frames[0], frames[1], grid, Elongation(), 6.4)


@pytest.mark.parametrize("name", MODELS)
def test_silence_gives_finite_numbers(name: str) -> None:
    residual = open_engine(name).estimate(stretched(np.zeros((2, 16, 256), np.float32)))
    assert np.isfinite(residual.axial_displacement_m).all()
    assert np.isfinite(residual.axial_strain).all()


@pytest.mark.parametrize("shift", [-2.0, -0.4, 0.0, 0.7, 3.0])
def test_cnn_finds_a_rigid_shift_of_so_many_samples(shift: float) -> None:
    rng = np.random.default_rng(3)
    offset = Elongation(axial_offset_m=shift * FORMAT.axial_step_m)
    pair = speckle_pair(rng, rf_format=FORMAT, elongation=offset)
    # Scaled as the stretch does, but not warped: all of the shift is left to the network.
    frames = np.stack([pair.pre.samples, pair.post.samples]).astype(np.float32)
    frames /= np.sqrt(np.mean(np.square(frames)))
    residual = open_engine("cnn").estimate(stretched(frames))
    inner = residual.axial_displacement_m[4:-4, 20:-20] / FORMAT.axial_step_m
    assert np.median(inner) == pytest.approx(shift, abs=0.05)
    assert np.median(np.abs(residual.axial_strain[4:-4, 20:-20])) < 5e-4


def test_cnn_sees_what_the_stretch_leaves() -> None:
    """A stiff band: the residual after the stretch has the sign and the size of the truth's."""
    rng = np.random.default_rng(4)
    depth_m = FORMAT.n_samples * FORMAT.axial_step_m

    def band(lateral_m: np.ndarray, z_m: np.ndarray) -> np.ndarray:
        # 0.6 % less strain between a third and two thirds of the depth
        return 0.006 * np.clip(z_m - depth_m / 3, 0.0, depth_m / 3)

    pair = speckle_pair(
        rng,
        rf_format=FORMAT,
        elongation=Elongation(axial_slope=-0.01),
        local_displacement_m=band,
    )
    stretch = Stretch()
    stretched_pair = stretch(pair)
    strain = open_engine("cnn").estimate(stretched_pair).axial_strain
    slope = stretched_pair.elongation.axial_slope
    inside, outside = strain[5:-5, 130:170], strain[5:-5, 230:270]
    assert np.median(inside) + slope == pytest.approx(-0.004, abs=8e-4)
    assert np.median(outside) + slope == pytest.approx(-0.010, abs=8e-4)


def test_files_that_are_no_engine_are_refused_by_name(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"rubbish")
    with pytest.raises(RtelastoError, match=r"rubbish\.onnx"):
        OnnxEngine(rubbish)
    with pytest.raises(RtelastoError, match=r"missing\.onnx"):
        OnnxEngine(tmp_path / "missing.onnx")
    other = tmp_path / "other.onnx"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [result])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), other
    )
    with pytest.raises(RtelastoError, match=r"other\.onnx.*'pre', 'post'"):
        OnnxEngine(other)
    nameless = tmp_path / "nameless.onnx"
    model = onnx.load(MODELS["cnn"].path)
    del model.metadata_props[:]
    onnx.save(model, nameless)
    with pytest.raises(RtelastoError, match=r"nameless\.onnx.*axial_stride"):
        OnnxEngine(nameless)


def test_an_engine_can_be_named_by_its_file(tmp_path: Path) -> None:
    copy = tmp_path / "mine.onnx"
    copy.write_bytes(MODELS["cnn"].path.read_bytes())
    assert open_engine(str(copy)).name == "mine"


def test_running_an_engine_leaves_the_arithmetic_of_its_caller_alone() -> None:
    # A runtime that treats denormals as zero does so for the whole thread that calls it.
    open_engine("cnn").estimate(stretched(np.ones((2, 16, 256), np.float32)))
    assert np.finfo(np.float64).tiny / 2.0 > 0.0
