"""The network with lateral motion: it starts as ``cnn``, learns, and is written with all its outputs."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

import torch

from rtelasto.cpu.engine import OnnxEngine
from rtelasto_engines import shipped_models
from rtelasto_engines.network.cnn_lateral import CnnLateral
from rtelasto_engines.training.average_weights import averaged, file_and_share
from rtelasto_engines.training.dataset import make_dataset
from rtelasto_engines.training.loop import weights_of
from rtelasto_engines.training.sets import SETS
from rtelasto_engines.training.train_lateral import held_out, start_from, train

pytestmark = pytest.mark.slow


def pair_beside(lines: float) -> tuple[np.ndarray, np.ndarray]:
    """Echoes of wide beams, and the same echoes some lines further on."""
    rng = np.random.default_rng(1)
    shape = (48, 1024)
    noise = np.fft.fft2(rng.standard_normal(shape))
    along, across = np.fft.fftfreq(shape[1]), np.fft.fftfreq(shape[0])[:, None]
    pulse = np.exp(-0.5 * ((np.abs(along) - 1 / 6.4) / 0.03) ** 2)
    beam = np.exp(-0.5 * (across / 0.15) ** 2)
    frames = [
        np.fft.ifft2(noise * pulse * beam * np.exp(-2j * np.pi * across * shift)).real
        for shift in (0.0, lines)
    ]
    pre, post = (np.float32(frame / frames[0].std()) for frame in frames)
    return pre, post


def started() -> CnnLateral:
    model = CnnLateral().eval()
    start_from(model, shipped_models()["cnn"].path)
    return model


@torch.no_grad()
def test_it_starts_as_cnn_with_the_measured_lateral_motion() -> None:
    pre, post = pair_beside(0.4)
    got = started()(*(torch.from_numpy(frame)[None] for frame in (pre, post)))
    session = ort.InferenceSession(str(shipped_models()["cnn"].path))
    for image, wanted in zip(got, session.run(None, {"pre": pre, "post": post}), strict=False):
        np.testing.assert_allclose(image[0].numpy(), wanted, atol=2e-5)
    lateral, widened, std = (image[0, 8:-8, 16:-16].numpy() for image in got[2:])
    assert np.median(lateral) == pytest.approx(0.4, abs=0.05)
    assert np.abs(np.median(widened)) < 0.002
    assert (std > 0.0).all()


def test_training_resumes_and_writes_all_outputs(tmp_path: Path) -> None:
    pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")
    data = tmp_path / "fine"
    make_dataset(data, pairs=8, first_seed=40, training_set=SETS["fine"])
    options = argparse.Namespace(
        data=[data], checkpoint=tmp_path / "lateral.pt", start=shipped_models()["cnn"].path,
        minutes=0.02, batch=2, rate=1e-3, seed=1, validation=2, report_s=60.0, bf16=False,
        out=tmp_path / "lateral.onnx",
    )  # fmt: skip
    train(options)
    first = torch.load(options.checkpoint, weights_only=True)
    options.minutes = 0.04
    train(options)
    second = torch.load(options.checkpoint, weights_only=True)
    assert second["step"] > first["step"]
    name = "displacement_stage.first.weight"
    assert torch.equal(second["raw"][name], started().state_dict()[name])
    assert not torch.equal(second["raw"]["lateral.weight"], first["raw"]["lateral.weight"])
    engine = OnnxEngine(options.out)
    assert engine.more_outputs == ("lateral_displacement", "lateral_strain", "strain_std")


def test_held_out_pairs_are_spread_over_all_folders(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        for k in range(10):
            (folder / f"{k}.npz").touch()
    held = held_out(folders, 4)
    assert [path.parent.name for path in held] == ["a", "a", "b", "b"]


def test_weights_are_averaged_over_the_networks_that_have_them() -> None:
    cnn, lateral = (weights_of(shipped_models()[name].path) for name in ("cnn", "cnn-lateral"))
    found = averaged([(cnn, 0.5), (lateral, 1.5)]).state_dict()
    name = "strain_stage.enter.weight"
    torch.testing.assert_close(found[name], 0.25 * cnn[name] + 0.75 * lateral[name])
    torch.testing.assert_close(found["lateral.weight"], lateral["lateral.weight"])
    with pytest.raises(ValueError, match=r"^lateral\.weight: in none of the files$"):
        averaged([(cnn, 1.0)])


@pytest.mark.parametrize("text", ["first.onnx", "first.onnx:", "first.onnx:0", ":0.5", "a:nan"])
def test_a_file_without_its_share_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be FILE:SHARE"):
        file_and_share(text)
