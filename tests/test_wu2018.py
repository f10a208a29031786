"""wu2018: its dense form is the patch network, evaluated patch by patch, in PyTorch and as ONNX."""

from __future__ import annotations

import argparse
import json
import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript")

import onnxruntime as ort  # noqa: E402

from rtelasto_engines import ablations  # noqa: E402
from rtelasto_engines.export import export  # noqa: E402
from rtelasto_engines.network import make_network  # noqa: E402
from rtelasto_engines.network.patch_layers import BatchRenorm, LocallyConnected  # noqa: E402
from rtelasto_engines.network.wu2018 import (  # noqa: E402
    Architecture,
    Wu2018,
    displacement_image,
)
from rtelasto_engines.training.dataset import Example  # noqa: E402

pytestmark = pytest.mark.slow

# Displacement and strain are compared relative to their own spread, which forgives less than their size.
TOLERANCE = 1e-4
VARIANTS = {
    "average pooling": Architecture(pooling="average"),
    "strided convolution": Architecture(pooling="stride"),
    "3 convolutions": Architecture(layers=3),
    "4 convolutions": Architecture(layers=4),
    "6 convolutions": Architecture(layers=6),
    "1 connected": Architecture(hidden=()),
    "4 connected": Architecture(hidden=(64, 64, 32)),
    "dilation": Architecture(dilation=2),
    "short patch": Architecture(patch=(9, 55)),
    "long patch": Architecture(patch=(9, 87)),
    "narrow patch": Architecture(patch=(5, 71)),
    "wide patch": Architecture(patch=(13, 71)),
}


def random_network(seed: int, architecture: Architecture | None = None) -> Wu2018:
    """Random weights, and batch-norm statistics far from their initial 0 and 1."""
    torch.manual_seed(seed)
    network = Wu2018(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.3)
            module.running_var.uniform_(0.3, 3.0)
            # Of either sign, so that no order of pooling and batch norm is as good as another.
            module.weight.data.normal_(0.0, 1.0)
            module.bias.data.normal_(0.0, 0.3)
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, LocallyConnected)):
            torch.nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                module.bias.data.normal_(0.0, 0.1)
    return network.eval()


def rf_pair(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pre = rng.standard_normal(shape, dtype=np.float32)
    post = np.roll(pre, 2, axis=-1) + 0.3 * rng.standard_normal(shape, dtype=np.float32)
    return pre, post


def patches(
    image: np.ndarray, patch: tuple[int, int], positions: np.ndarray, mode: str
) -> torch.Tensor:
    """The patches centred on (line, sample) positions, cut one by one out of the padded image."""
    lines, samples = patch
    border = ((lines // 2, lines // 2), (samples // 2, samples // 2))
    padded = np.pad(image, border, mode=mode)
    return torch.from_numpy(
        np.stack([padded[i : i + lines, k : k + samples] for i, k in positions.tolist()])
    )


@torch.no_grad()
def displacement_by_patches(network: Wu2018, pre, post, positions) -> np.ndarray:
    stage = network.displacement_stage
    cut = (patches(frame, stage.patch, positions, "constant") for frame in (pre, post))
    return stage(*cut).numpy()


@torch.no_grad()
def strain_by_patches(network: Wu2018, displacement, positions) -> np.ndarray:
    """``displacement`` is that of every fourth sample; linear between, constant after the last one."""
    n_depths = displacement.shape[1]
    depth = np.arange(4 * n_depths) / 4.0
    image = np.stack([np.interp(depth, np.arange(n_depths), line) for line in displacement])
    stage = network.strain_stage
    return stage(patches(image.astype(np.float32), stage.patch, positions, "edge")).numpy()


@torch.no_grad()
def dense(network: Wu2018, pre, post) -> tuple[np.ndarray, np.ndarray]:
    displacement, strain = network(torch.from_numpy(pre)[None], torch.from_numpy(post)[None])
    return displacement[0].numpy(), strain[0].numpy()


def positions_on(n_lines: int, n_samples: int) -> np.ndarray:
    """Every output position of a frame: all lines, every fourth sample."""
    grid = np.meshgrid(np.arange(n_lines), np.arange(0, n_samples, 4), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=1)


def random_positions(n_lines: int, n_samples: int, count: int) -> np.ndarray:
    """``count`` positions anywhere, 100 along each border, and the corners."""
    rng = np.random.default_rng(7)
    last = 4 * ((n_samples - 1) // 4)
    where = np.stack([rng.integers(n_lines, size=count), rng.integers(last // 4 + 1, size=count)])
    anywhere = where.T * [1, 4]
    borders = [anywhere[:100].copy() for _ in range(4)]
    for side, (axis, value) in zip(
        borders, ((0, 0), (0, n_lines - 1), (1, 0), (1, last)), strict=True
    ):
        side[:, axis] = value
    corners = [[0, 0], [0, last], [n_lines - 1, 0], [n_lines - 1, last]]
    return np.concatenate([anywhere, *borders, corners])


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    spread = expected.std()
    assert spread > 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0.0, atol=TOLERANCE * spread)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = random_network(0)
    path = tmp_path_factory.mktemp("engine") / "wu2018.onnx"
    # pytest keeps every log record, and the exporter's tracing would write some 100,000 of them.
    logging.disable(logging.INFO)
    try:
        export(network, path, {"note": "random weights"})
    finally:
        logging.disable(logging.NOTSET)
    return network, path


def test_dense_forms_are_the_patch_network_on_a_whole_frame(exported):
    network, path = exported
    pre, post = rf_pair((128, 2608), seed=1)
    positions = random_positions(128, 2608, count=1000)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    onnx = session.run(["displacement", "strain"], {"pre": pre, "post": post})
    lines, depths = positions[:, 0], positions[:, 1] // 4
    displacement = displacement_by_patches(network, pre, post, positions)
    for image, strain in (dense(network, pre, post), onnx):
        assert image.shape == strain.shape == (128, 652)
        assert_close(image[lines, depths], displacement)
        assert_close(strain[lines, depths], strain_by_patches(network, image, positions))


def test_both_stages_in_a_row_are_the_patch_network_at_every_position(exported):
    # 23 lines × 201 samples: 1,173 positions, a length that four does not divide, patches as wide as half.
    network, path = exported
    pre, post = rf_pair((23, 201), seed=2)
    positions = positions_on(23, 201)
    assert len(positions) >= 1000
    displacement = displacement_by_patches(network, pre, post, positions).reshape(23, 51)
    strain = strain_by_patches(network, displacement, positions).reshape(23, 51)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for got in (dense(network, pre, post), session.run(None, {"pre": pre, "post": post})):
        assert_close(got[0], displacement)
        assert_close(got[1], strain)


@pytest.mark.parametrize("shape", [(4, 64), (4, 65), (5, 66), (6, 67)])
def test_onnx_takes_frames_smaller_than_a_patch(exported, shape):
    network, path = exported
    pre, post = rf_pair(shape, seed=3)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    displacement, strain = session.run(["displacement", "strain"], {"pre": pre, "post": post})
    assert displacement.shape == strain.shape == (shape[0], (shape[1] + 3) // 4)
    expected = dense(network, pre, post)
    assert_close(displacement, expected[0])
    assert_close(strain, expected[1])


def test_the_exported_file_is_small(exported):
    assert exported[1].stat().st_size < 2_000_000


@pytest.mark.parametrize("architecture", VARIANTS.values(), ids=VARIANTS.keys())
def test_ablations_are_dense_exactly_too(architecture):
    network = random_network(4, architecture)
    pre, post = rf_pair((14, 81), seed=5)
    positions = positions_on(14, 81)
    displacement = displacement_by_patches(network, pre, post, positions).reshape(14, 21)
    assert_close(dense(network, pre, post)[0], displacement)


@pytest.mark.parametrize("pooling", ["max", "average", "stride"])
def test_dilation_in_place_of_stride_gives_every_sample(pooling):
    network = random_network(6, Architecture(pooling=pooling))
    pre, post = rf_pair((9, 50), seed=7)
    with torch.no_grad():
        frames = (torch.from_numpy(frame)[None] for frame in (pre, post))
        displacement = network.displacement_stage.dense(*frames, every_sample=True)[0]
        strain = network.strain_stage.dense(displacement[None], every_sample=True)[0].numpy()
    positions = np.stack([axis.ravel() for axis in np.mgrid[:9, :50]], axis=1)
    assert_close(
        displacement.numpy(),
        displacement_by_patches(network, pre, post, positions).reshape(9, 50),
    )
    cut = patches(displacement.numpy(), network.strain_stage.patch, positions, "edge")
    with torch.no_grad():
        assert_close(strain, network.strain_stage(cut).numpy().reshape(9, 50))


@pytest.mark.parametrize("patch", [(9, 70), (9, 69)])
def test_a_patch_that_pooling_would_not_use_up_is_refused(patch):
    with pytest.raises(ValueError, match="would skip a sample of the patch"):
        Wu2018(Architecture(patch=patch))


def reach(output: torch.Tensor, frame: torch.Tensor) -> tuple[range, range]:
    """Lines and samples of ``frame`` on which one number of the output depends."""
    (gradient,) = torch.autograd.grad(output, frame, retain_graph=True)
    lines, samples = np.nonzero(gradient[0].numpy())
    return range(lines.min(), lines.max() + 1), range(samples.min(), samples.max() + 1)


def test_each_output_sees_the_published_patch():
    network = random_network(8)
    pre, post = (torch.from_numpy(f)[None].requires_grad_() for f in rf_pair((21, 240), seed=9))
    displacement = network.displacement_stage.dense(pre, post)
    for frame in (pre, post):
        lines, samples = reach(displacement[0, 10, 30], frame)
        assert set(lines) <= set(range(6, 15))
        assert set(samples) <= set(range(120 - 35, 120 + 36))
        # Max pooling and rectifiers hide a few samples of any one patch, not many.
        assert len(lines) == 9
        assert len(samples) >= 65
    image = torch.randn(1, 21, 240, requires_grad=True)
    lines, samples = reach(network.strain_stage.dense(image)[0, 10, 30], image)
    assert set(lines) <= set(range(6, 15))
    assert set(samples) <= set(range(120 - 30, 120 + 31))
    assert len(lines) == 9
    assert len(samples) >= 55


def test_layers_follow_the_publication():
    stage = Wu2018().displacement_stage
    after = [(isinstance(b.norm, torch.nn.BatchNorm2d), b.dropout.p > 0.0) for b in stage.trunk]
    after.append((isinstance(stage.norm, torch.nn.BatchNorm2d), stage.dropout.p > 0.0))
    assert after == [(False, True), (True, False), (True, True), (True, False), (True, True)]
    assert [layer.out_features for layer in stage.connected.layers] == [64, 32, 1]
    assert stage.patch == (9, 71)
    assert [block.halve for block in stage.trunk].count("max") == 2
    stage = Wu2018().strain_stage
    after = [(isinstance(b.norm, torch.nn.BatchNorm2d), b.dropout.p > 0.0) for b in stage.trunk]
    assert after == [(True, False), (True, True), (True, True)]
    assert stage.patch == (9, 61)


def test_locally_connected_layer_has_a_kernel_of_its_own_at_each_position():
    torch.manual_seed(0)
    layer = LocallyConnected(2, 4, (5, 7), step=1)
    patch = torch.randn(1, 2, 5, 7)
    expected = []
    # 3 × 3 kernels in steps of two: 2 × 3 positions of 4 kernels, in that order.
    for line in (0, 2):
        for sample in (0, 2, 4):
            for _ in range(4):
                kernel, bias = layer.weight[len(expected)], layer.bias[len(expected)]
                window = patch[0, :, line : line + 3, sample : sample + 3]
                expected.append(float((kernel * window).sum() + bias))
    got = layer(patch)
    assert got.shape == (1, 24, 1, 1)
    np.testing.assert_allclose(got.detach().numpy().ravel(), expected, atol=1e-5)


def test_strain_does_not_depend_on_the_offset_of_the_displacement():
    stage = random_network(14).strain_stage
    image = torch.randn(1, 12, 120, generator=torch.Generator().manual_seed(15))
    with torch.no_grad():
        strain = stage.dense(image)[0].numpy()
        assert_close(stage.dense(image + 2.0)[0].numpy(), strain)


def test_batch_renorm_scales_in_training_as_it_does_in_use():
    # Batches of very unlike size, the same in use and in training once the average has settled.
    norm = BatchRenorm(1).train()
    generator = torch.Generator().manual_seed(16)
    batches = [
        size * torch.randn(2, 1, 20, 20, generator=generator) + 1.0 for size in (1.0, 0.5, 1.5)
    ]
    for _ in range(40):
        for batch in batches:
            norm(batch)
    # Mean over batches of their variances, and the mean they share.
    assert float(norm.running_var) == pytest.approx((1.0 + 0.25 + 2.25) / 3.0, rel=0.1)
    assert float(norm.running_mean) == pytest.approx(1.0, abs=0.1)
    in_training = [norm(batch).detach() for batch in batches]
    norm.eval()
    for batch, got in zip(batches, in_training, strict=True):
        torch.testing.assert_close(got, norm(batch).detach(), rtol=0.05, atol=0.05)
    sizes = [float(output.std()) for output in in_training]
    assert sizes[2] / sizes[1] == pytest.approx(3.0, rel=0.1)


def test_the_displacement_image_is_linear_between_depths_and_constant_after_the_last():
    displacement = torch.tensor([[[0.0, 4.0, 2.0]]])
    expected = [0.0, 1.0, 2.0, 3.0, 4.0, 3.5, 3.0, 2.5, 2.0, 2.0, 2.0, 2.0]
    assert displacement_image(displacement)[0, 0].tolist() == expected


def test_training_reaches_every_weight():
    network = make_network("wu2018").train()
    pre, post = (torch.from_numpy(frame)[None] for frame in rf_pair((16, 256), seed=10))
    first, displacement, strain = network.stages(pre, post)
    assert first is displacement
    assert displacement.shape == strain.shape == (1, 16, 64)
    (displacement.abs().mean() + strain.abs().mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0.0, name


def test_bf16_training_keeps_displacement_and_strain_in_full_precision():
    network = random_network(11)
    pre, post = (torch.from_numpy(frame)[None] for frame in rf_pair((12, 160), seed=12))
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            displacement, strain = network(pre, post)
        assert displacement.dtype == strain.dtype == torch.float32
        assert not torch.equal(displacement, network(pre, post)[0])
        assert torch.equal(strain, network.strain_stage.dense(displacement_image(displacement)))


def test_ablations_train_score_and_go_on_where_they_stopped(tmp_path, capsys):
    rng = np.random.default_rng(13)
    for number in range(3):
        pre = rng.integers(-1500, 1500, size=(30, 400), dtype=np.int16)
        still = np.zeros((30, 100), np.float32)
        Example(pre, pre, still, still).save(tmp_path / f"{number}.npz")
    out = tmp_path / "scores.json"
    options = argparse.Namespace(
        data=tmp_path,
        out=out,
        steps=2,
        batch=1,
        lines=16,
        samples=160,
        validation=1,
        seed=1,
        seeds=2,
        bf16=False,
        export=tmp_path / "networks",
    )
    ablations.run(argparse.Namespace(**vars(options), only=["dilation 2"]))
    first = json.loads(out.read_text("utf-8"))
    assert first["budget"]["steps"] == 2
    assert first["budget"]["training_pairs"] == 2
    assert set(first["variants"]) == {"dilation 2"}
    session = ort.InferenceSession(str(options.export / "wu2018 (dilation 2).onnx"))
    assert [output.name for output in session.get_outputs()] == ["displacement", "strain"]
    ablations.run(argparse.Namespace(**vars(options), only=["dilation 2", "average pooling"]))
    both = json.loads(out.read_text("utf-8"))
    assert both["variants"]["dilation 2"] == first["variants"]["dilation 2"]
    scores = both["variants"]["average pooling"]
    assert scores["displacement_rmse_samples"] > 0.0
    assert scores["gflop_a_frame"] == pytest.approx(13.45, abs=0.01)
    assert "average pooling" in capsys.readouterr().out
    written = out.with_suffix(".md").read_text("utf-8").splitlines()
    assert [line.split(" | ")[0] for line in written[2:]] == ["| dilation 2", "| average pooling"]
    options.steps = 3
    with pytest.raises(SystemExit, match="another budget"):
        ablations.run(argparse.Namespace(**vars(options), only=["dilation 2"]))


def test_ablations_train_the_published_variant_from_several_seeds() -> None:
    every = list(ablations.runs(ablations.VARIANTS, seed=5, seeds=3))
    assert len(every) == len(ablations.VARIANTS) + 2
    assert every[:3] == [
        ("published", "published", 5),
        ("published, seed 6", "published", 6),
        ("published, seed 7", "published", 7),
    ]
    assert {seed for _, _, seed in every[3:]} == {5}


def test_stage_2_learns_from_the_displacement_in_use() -> None:
    network = Wu2018().train()
    pre = torch.randn(2, 12, 160, generator=torch.Generator().manual_seed(4))
    first, final, strain = network.stages(pre, pre.roll(1, -1))
    assert first is final
    strain.abs().sum().backward()
    assert all(p.grad is None for p in network.displacement_stage.parameters())
    assert any(p.grad is not None for p in network.strain_stage.parameters())
    assert network.displacement_stage.training
    network.eval()
    with torch.no_grad():
        stages, outputs = network.stages(pre, pre), network(pre, pre)
    torch.testing.assert_close(stages[1:], outputs)
