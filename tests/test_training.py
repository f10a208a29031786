"""Training: the truth of a stretched pair, augmentation that keeps it, learning, resuming, export."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

import torch

from rtelasto.cpu.resample import engine_grid
from rtelasto.frames.strain import ResidualMotion, compose
from rtelasto_engines.export import export
from rtelasto_engines.network import make_network
from rtelasto_engines.simulate.pair import simulate_pair
from rtelasto_engines.simulate.sliding import layered_field
from rtelasto_engines.training.batches import Batches
from rtelasto_engines.training.dataset import (
    AXIAL_STRIDE,
    SAMPLES_PER_WAVELENGTH,
    Example,
    global_fit,
    make_dataset,
    make_example,
    residual_truth,
)
from rtelasto_engines.training.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example(5, "ideal")


def correlation_at(example: Example, displacement: np.ndarray) -> float:
    """Correlation of the two frames at every 4th sample after reading post where the truth says."""
    n_lines, n_samples = example.pre.shape
    z = 4.0 * np.arange(displacement.shape[1])
    pre = example.pre[:, ::4].astype(float)
    post = np.stack(
        [
            np.interp(z + np.nan_to_num(displacement[i]), np.arange(n_samples), example.post[i])
            for i in range(n_lines)
        ]
    )
    valid = np.isfinite(displacement)
    return float(np.corrcoef(pre[valid], post[valid])[0, 1])


def test_an_example_is_the_same_every_time_and_its_truth_aligns_the_frames(
    example: Example,
) -> None:
    again = make_example(5, "ideal")
    for name in ("pre", "post", "displacement", "strain"):
        np.testing.assert_array_equal(getattr(example, name), getattr(again, name))
    aligned = correlation_at(example, example.displacement)
    assert aligned > correlation_at(example, np.zeros_like(example.displacement)) + 0.05
    assert aligned > correlation_at(example, example.displacement + 1.0) + 0.05
    slope = np.diff(example.displacement, axis=1) / 4.0
    middle = 0.5 * (example.strain[:, 1:] + example.strain[:, :-1])
    valid = np.isfinite(slope) & np.isfinite(middle)
    assert np.abs(slope - middle)[valid].max() < 2e-3


def test_the_residual_truth_and_the_elongation_compose_to_the_motion_of_the_tissue() -> None:
    angle = np.deg2rad(2.0)
    field = layered_field(np.full(64, -0.008), width_m=0.03, depth_m=0.055).plus_affine(
        axial_offset_m=0.3e-3, axial_tilt=-angle, lateral_shear=angle, lateral_slope=0.01
    )
    pair = simulate_pair(
        3,
        "published",
        field=field,
        rigid_share=0.0,
        out_of_plane_m=0.0,
        truth_stride=AXIAL_STRIDE,
    )
    grid = engine_grid(pair.format, SAMPLES_PER_WAVELENGTH)
    left_over = dataclasses.replace(global_fit(pair, grid), axial_offset_m=0.6e-3)
    displacement, strain, lateral = residual_truth(pair, grid, left_over)
    sparse = dataclasses.replace(
        grid, n_depths=displacement.shape[1], axial_step_m=AXIAL_STRIDE * grid.axial_step_m
    )
    zero = np.zeros(sparse.shape, np.float32)
    found = compose(
        left_over,
        ResidualMotion(
            displacement * np.float32(grid.axial_step_m),
            strain,
            sparse,
            lateral * np.float32(grid.line_pitch_m),
            zero,
        ),
    )
    truth = pair.field.truth(sparse)
    known = np.isfinite(displacement)
    assert known.mean() > 0.7
    for name, atol in (
        ("axial_displacement_m", 1e-7),
        ("axial_strain", 1e-6),
        ("lateral_displacement_m", 1e-7),
    ):
        np.testing.assert_allclose(
            getattr(found, name)[known], getattr(truth, name)[known], atol=atol, err_msg=name
        )


def test_augmentation_keeps_the_truth(tmp_path: Path, example: Example) -> None:
    example.save(tmp_path / "one.npz")
    batches = Batches([tmp_path / "one.npz"], batch=4, lines=32, samples=640, seed=1)
    for _ in range(4):
        for pre, post, displacement, strain in zip(
            *(part.numpy() for part in batches.draw()), strict=True
        ):
            crop = Example(pre, post, displacement, strain)
            inside = np.where(np.abs(displacement) < 20, displacement, np.nan)
            assert correlation_at(crop, inside) > correlation_at(crop, inside + 1.0) + 0.03


def options(folder: Path, steps_minutes: float) -> argparse.Namespace:
    return argparse.Namespace(
        network="cnn",
        data=folder / "set",
        checkpoint=folder / "cnn.pt",
        minutes=steps_minutes,
        batch=1,
        lines=24,
        samples=320,
        rate=2e-3,
        seed=1,
        validation=1,
        report_s=1e9,
    )


def test_training_learns_resumes_and_exports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "set", pairs=3, first_seed=7)
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "set").iterdir())
    make_dataset(tmp_path / "set", pairs=3, first_seed=7)
    assert before == sorted(
        (path, path.stat().st_mtime_ns) for path in (tmp_path / "set").iterdir()
    )

    train(options(tmp_path, 0.02))
    first = torch.load(tmp_path / "cnn.pt", weights_only=True)
    train(options(tmp_path, 0.05))
    second = torch.load(tmp_path / "cnn.pt", weights_only=True)
    assert second["step"] > first["step"] > 0
    assert second["spent_s"] > first["spent_s"]
    assert "resuming from" in capsys.readouterr().out
    changed = [
        name for name, value in second["model"].items() if not value.equal(first["model"][name])
    ]
    assert len(changed) > 10

    network = make_network("cnn")
    network.load_state_dict(second["model"])
    export(network, tmp_path / "cnn.onnx", {})
    assert (tmp_path / "cnn.onnx").stat().st_size < 2e6
