"""Training of the published network: small residuals, full contrast, settled statistics, resuming."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

import onnxruntime
import torch
from torch import nn

from rtelasto_engines.network.wu2018 import StrainStage, displacement_image
from rtelasto_engines.training import published_network
from rtelasto_engines.training.batches import AS_SIMULATED, IN_PLACE, Batches
from rtelasto_engines.training.dataset import Example, make_example
from rtelasto_engines.training.sets import SETS, TrainingSet
from rtelasto_engines.training.wu2018_loss import noisy_truth, settle, strain_errors

pytestmark = pytest.mark.slow

NEAR = SETS["near"]


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example(8, "published", NEAR)


def test_the_residual_of_a_near_pair_is_what_the_stretch_leaves(example: Example) -> None:
    coarse = make_example(8, "published", TrainingSet(NEAR.kinds, SETS["broad"].stretch_error))
    offsets = [abs(np.nanmean(pair.displacement)) for pair in (example, coarse)]
    assert 2.0 * offsets[0] < offsets[1]
    assert NEAR.kind_of(8) == "published"
    assert NEAR.kind_of(9) == "near"
    near = make_example(9, "near", NEAR)
    assert np.isfinite(near.displacement).mean() > 0.9
    assert near.pre.shape[1] != example.pre.shape[1]


def test_crops_as_simulated_are_pieces_of_the_pair(tmp_path: Path, example: Example) -> None:
    example.save(tmp_path / "one.npz")
    batches = Batches(
        [tmp_path / "one.npz"],
        batch=2,
        lines=32,
        samples=640,
        seed=1,
        augmentation=AS_SIMULATED,
    )
    frames = np.lib.stride_tricks.sliding_window_view(example.pre[:, ::4], (32, 160))
    for pre, _, displacement, _ in zip(*(part.numpy() for part in batches.draw()), strict=True):
        counts = np.rint(512.0 * pre[:, ::4]).astype(np.int16)
        at = np.argwhere((frames[..., :2, :8] == counts[:2, :8]).all((-1, -2)))
        assert len(at) == 1
        line, depth = at[0]
        truth = example.displacement[line : line + 32, depth : depth + 160]
        np.testing.assert_array_equal(displacement, truth)


def test_in_place_the_residual_stays_small(tmp_path: Path, example: Example) -> None:
    example.save(tmp_path / "one.npz")
    sizes = {"batch": 8, "lines": 32, "samples": 640, "seed": 1}
    kept = Batches([tmp_path / "one.npz"], **sizes, augmentation=IN_PLACE).draw()[2]
    moved = Batches([tmp_path / "one.npz"], **sizes).draw()[2]
    largest = np.nanmax(np.abs(example.displacement))
    assert kept.nan_to_num().abs().max() <= largest
    assert moved.nan_to_num().abs().max() > largest


@pytest.mark.parametrize("gain", [0.3, 1.0, 1.4])
def test_a_shrunken_contrast_costs_what_it_lacks(gain: float) -> None:
    truth = torch.zeros(2, 32, 160)
    truth[:, 8:24, 40:90] = 0.04
    truth[1, :3] = torch.nan
    noise = 1e-5 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    found = strain_errors(gain * truth.nan_to_num() + noise, truth)
    assert float(found["gain_error"]) == pytest.approx(abs(gain - 1.0), rel=0.1, abs=0.01)
    assert torch.isfinite(found["strain"])
    offset = strain_errors(truth.nan_to_num() + 0.002, truth)
    assert float(offset["gain_error"]) == pytest.approx(0.0, abs=0.01)
    assert offset["strain"] > 0.1


def test_noise_of_a_measured_displacement_has_a_level_per_crop() -> None:
    torch.manual_seed(1)
    truth = torch.linspace(-1.0, 1.0, 160).expand(16, 32, 160).clone()
    truth[:, :2] = torch.nan
    noisy = noisy_truth(truth, torch.full_like(truth, 5.0))
    levels = (noisy - truth)[:, 2:].std((1, 2))
    assert levels.max() / levels.min() > 3.0
    assert ((levels > 10**-2.6) & (levels < 10**-0.7)).all()
    assert (noisy[:, :2] - 5.0).abs().max() < 1.0


def test_settled_statistics_are_those_of_the_frames_in_use() -> None:
    torch.manual_seed(2)
    stage = StrainStage()
    images = [displacement_image(0.1 * torch.randn(2, 24, 80)) for _ in range(3)]
    for norm in stage.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.constant_(norm.running_mean, 7.0)
    drawn = iter(images * 20)
    settle(stage, lambda: stage.dense(next(drawn)))
    assert not stage.training
    first = stage.trunk[0]
    kernel = first.conv.weight - first.conv.weight.mean(-1, keepdim=True)
    padded = [nn.functional.pad(image, (30, 30, 4, 4), mode="replicate") for image in images]
    outputs = torch.cat(
        [nn.functional.conv2d(p[:, None], kernel, first.conv.bias, stride=(1, 2)) for p in padded]
    )
    expected = outputs.mean((0, 2, 3))
    torch.testing.assert_close(first.norm.running_mean, expected, atol=0.01, rtol=0.1)


def test_from_a_seed_to_the_onnx_file_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--pairs", "2", "--held-out", "1", "--batch", "1", "--samples", "320"]
    for minutes in ("0.02", "0.04"):
        command = ["published_network", str(tmp_path), *arguments, "--minutes", minutes]
        monkeypatch.setattr(sys, "argv", command)
        published_network.main()
    assert capsys.readouterr().out.count("resuming from") == 3
    session = onnxruntime.InferenceSession(str(tmp_path / "wu2018.onnx"))
    frame = np.random.default_rng(1).standard_normal((24, 400)).astype(np.float32)
    displacement, strain = session.run(None, {"pre": frame, "post": frame})
    assert displacement.shape == strain.shape == (24, 100)
    assert session.get_modelmeta().custom_metadata_map["training_steps"].count("+") == 2
