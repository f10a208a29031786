"""Training of the second network: faults that keep the truth, averages, a loss that sees slips, resuming."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

import torch

from rtelasto_engines.network.cnn2 import Cnn2, StrainFromMotion
from rtelasto_engines.network.tracking import Tracking
from rtelasto_engines.training import faults
from rtelasto_engines.training.dataset import Example, make_example
from rtelasto_engines.training.faults import Crop, crop, faulty
from rtelasto_engines.training.measured import inner_truth, measure, save, shifted_crop
from rtelasto_engines.training.sets import SETS
from rtelasto_engines.training.strain_loss import MeasuredBatches, _average, loss_terms
from rtelasto_engines.training.train_strain import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example(7, "ideal")


def taken(example: Example) -> Crop:
    return crop(example, slice(8, 72), 320, 1024)


def agreement(c: Crop, off: float = 0.0) -> float:
    """Correlation of the frames after reading post where the truth, plus some samples, says."""
    n = c.pre.shape[1]
    z = 4.0 * np.arange(c.displacement.shape[1])
    known = np.isfinite(c.displacement)
    post = np.stack(
        [
            np.interp(z + np.nan_to_num(c.displacement[i]) + off, np.arange(n), c.post[i])
            for i in range(c.pre.shape[0])
        ]
    )
    return float(np.corrcoef(c.pre[:, ::4][known], post[known])[0, 1])


@pytest.mark.parametrize("kind", ["published", "inclusion", "random", "layers", "slip", "smooth"])
def test_every_kind_of_pair_is_aligned_by_its_truth(kind: str) -> None:
    seed = next(s for s in range(96, 200) if SETS["broad"].kind_of(s) == kind)
    example = make_example(seed, kind)  # type: ignore[arg-type]
    assert example.lateral is not None
    assert example.lateral.shape == example.displacement.shape
    whole = crop(example, slice(None), 0, example.pre.shape[1] // 8 * 8)
    at_truth = agreement(whole)
    assert at_truth > agreement(whole, 1.0)
    assert at_truth > agreement(whole, -1.0)


@pytest.mark.parametrize("fault", [f for _, f in faults.FAULTS], ids=lambda f: f.__name__)
def test_a_fault_changes_the_frames_and_keeps_what_truth_is_left(
    example: Example, fault: faults.Callable[[np.random.Generator, Crop], None]
) -> None:
    for seed in range(4):
        before, after = taken(example), taken(example)
        fault(np.random.default_rng(seed), after)
        assert not (
            np.array_equal(before.pre, after.pre) and np.array_equal(before.post, after.post)
        )
        known = np.isfinite(after.displacement)
        np.testing.assert_array_equal(after.displacement[known], before.displacement[known])
        unseen = ~known & np.isfinite(after.strain)
        assert (after.strain[unseen] == 0.0).all()
        if known.mean() > 0.5:
            assert agreement(after) > agreement(after, 2.0)


def test_noise_alone_leaves_no_displacement_to_learn(example: Example) -> None:
    c = taken(example)
    faults.no_echo(np.random.default_rng(3), c)
    truth = inner_truth(c)
    assert np.isnan(truth["true_displacement"]).any()
    gone = np.isnan(truth["true_displacement"])
    assert (truth["true_strain"][gone] == 0.0).mean() > 0.9


def test_faulty_crops_are_the_same_every_time_and_mirror_the_lateral_motion(
    example: Example,
) -> None:
    a, b = (faulty(np.random.default_rng(5), taken(example)) for _ in range(2))
    for name in Crop.__slots__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_moved_crop_moves_its_truth(example: Example, tmp_path: Path) -> None:
    tracking = Tracking().eval()
    for seed in range(6):
        c = shifted_crop(np.random.default_rng(seed), example)
        assert agreement(c) > agreement(c, 1.0) + 0.02
        assert agreement(c) > agreement(c, -1.0) + 0.02
    images = measure(tracking, c)
    assert {image.shape[-2:] for image in images.values()} == {images["displacement"].shape}
    save(tmp_path / "one_0.npz", images)
    batches = MeasuredBatches([tmp_path / "one_0.npz"], batch=3, lines=48, depths=160, seed=1)
    batch = batches.draw()
    assert batch["residual"].shape == (3, 2, 48, 160)
    terms = loss_terms(StrainFromMotion(), batch)
    assert all(torch.isfinite(value) for value in terms.values())


def straight(
    n_lines: int = 48, n_depths: int = 160, slope: float = -0.004
) -> dict[str, np.ndarray]:
    """A perfect measurement of even strain."""
    u = np.broadcast_to((8.0 * slope * np.arange(n_depths)).astype(np.float32), (n_lines, n_depths))
    still = np.zeros((n_lines, n_depths), np.float32)
    return {
        "displacement": u.copy(),
        "lateral": still,
        "precision": np.full_like(still, 50.0),
        "residual": np.stack([still + 0.9, still]),
        "true_displacement": u.copy(),
        "true_strain": np.full_like(still, slope),
        "true_lateral": still,
        "true_lateral_strain": still,
    }


def test_the_average_of_many_pairs_is_as_much_quieter_as_they_are_many() -> None:
    images = straight()
    noise = 0.1 * np.random.default_rng(1).standard_normal(images["displacement"].shape)
    images["displacement"] = (images["displacement"] + noise).astype(np.float32)
    _average(images, 16.0)
    error = (images["displacement"] - images["true_displacement"])[4:-4, 6:-6]
    assert error.std() == pytest.approx(0.1 / 4.0, rel=0.1)
    assert (images["precision"] == 50.0 * 16.0).all()


def test_the_average_of_many_pairs_has_a_calmer_phase_too() -> None:
    images = straight()
    angle = 0.3 * np.random.default_rng(1).standard_normal(images["displacement"].shape)
    images["residual"] = 0.9 * np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    _average(images, 16.0)
    left = np.arctan2(images["residual"][1], images["residual"][0])
    assert left.std() == pytest.approx(0.3 / 4.0, rel=0.1)
    assert np.hypot(*images["residual"]) == pytest.approx(0.9, abs=1e-5)


class Answer(torch.nn.Module):
    """A stage 2 that says what it is given."""

    def __init__(self, strain: np.ndarray, like: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.strain, self.like = torch.from_numpy(strain)[None, None], like

    def forward(self, measured: object) -> object:
        from rtelasto_engines.network.cnn2 import Strain

        del measured
        truth = {name: image[:, None] for name, image in self.like.items() if "true" in name}
        return Strain(
            truth["true_displacement"],
            self.strain,
            truth["true_lateral"],
            truth["true_lateral_strain"],
            torch.full_like(self.strain, 1e-3),
        )


def test_an_erased_slip_costs_consistency_and_a_smeared_one_hardly_does() -> None:
    images = straight()
    images["true_displacement"][:, 80:] += 8.0
    images["true_strain"][:, 80] += 1.0
    batch = {name: torch.from_numpy(image)[None] for name, image in images.items()}
    erased = np.full(images["true_strain"].shape, -0.004, np.float32)
    smeared = erased.copy()
    smeared[:, 77:84] += 1.0 / 7.0
    inverted = erased.copy()
    inverted[:, 77:84] -= 1.0 / 7.0
    cost = {
        name: float(loss_terms(Answer(strain, batch), batch)["consistency"])  # type: ignore[arg-type]
        for name, strain in (("erased", erased), ("smeared", smeared), ("inverted", inverted))
    }
    assert cost["smeared"] < 0.3 * cost["erased"]
    assert cost["erased"] < 0.7 * cost["inverted"]


def test_certainty_is_learned_as_the_size_of_the_errors() -> None:
    """The likelihood is best where the standard deviation is that of the errors."""
    images = straight()
    rng = np.random.default_rng(2)
    strain = images["true_strain"] + 2e-3 * rng.standard_normal(images["true_strain"].shape)
    batch = {name: torch.from_numpy(image)[None] for name, image in images.items()}

    def cost(std: float) -> float:
        model = Answer(strain.astype(np.float32), batch)
        result = model(None)

        class Fixed(torch.nn.Module):
            def forward(self, measured: object) -> object:
                return result._replace(std=torch.full_like(result.std, std))  # type: ignore[attr-defined]

        return float(loss_terms(Fixed(), batch)["certainty"])  # type: ignore[arg-type]

    assert cost(2e-3) < cost(1e-3)
    assert cost(2e-3) < cost(4e-3)


def seconds_of_training(checkpoint: Path, minutes: float, **more: object) -> argparse.Namespace:
    """Options of a training on the files beside its checkpoint, of which one is held out."""
    return argparse.Namespace(
        data=checkpoint.parent,
        checkpoint=checkpoint,
        minutes=minutes,
        batch=1,
        rate=2e-3,
        seed=1,
        validation=1,
        report_s=1e9,
        bf16=False,
        **more,
    )


def test_training_of_stage_two_learns_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    for number in range(4):
        images = straight(slope=float(rng.normal(0.0, 0.005)))
        images["displacement"] += 0.05 * rng.standard_normal((48, 160)).astype(np.float32)
        save(tmp_path / f"{number}_0.npz", images)

    def options(minutes: float) -> argparse.Namespace:
        checkpoint = tmp_path / "strain.pt"
        return seconds_of_training(checkpoint, minutes, lines=16, depths=48, start=None)

    train(options(0.02))
    first = torch.load(tmp_path / "strain.pt", weights_only=True)
    train(options(0.05))
    second = torch.load(tmp_path / "strain.pt", weights_only=True)
    assert second["step"] > first["step"] > 0
    assert "resuming from" in capsys.readouterr().out
    network = Cnn2()
    network.strain_stage.load_state_dict(second["model"])


def test_training_of_stage_one_learns_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rtelasto_engines.training.train_tracking import train

    for seed in (7, 9):
        make_example(seed, "ideal").save(tmp_path / f"{seed}.npz")

    checkpoint = tmp_path / "tracking.pt"
    train(seconds_of_training(tmp_path / "untrained.pt", 1e-6))
    train(seconds_of_training(checkpoint, 0.05))
    first = torch.load(checkpoint, weights_only=True)
    train(seconds_of_training(checkpoint, 0.15))
    second = torch.load(checkpoint, weights_only=True)
    assert second["step"] > first["step"] > 0
    assert "resuming from" in capsys.readouterr().out
    untrained = torch.load(tmp_path / "untrained.pt", weights_only=True)
    assert second["scores"]["sparse_error"] < 0.5 * untrained["scores"]["sparse_error"]


def test_the_whole_network_is_joined_of_both_stages_and_calibrated(tmp_path: Path) -> None:
    from rtelasto_engines.training.second_network import join

    images = straight()
    rng = np.random.default_rng(3)
    images["displacement"] += 0.05 * rng.standard_normal((48, 160)).astype(np.float32)
    save(tmp_path / "one_0.npz", images)
    torch.save(Tracking().state_dict(), tmp_path / "tracking.pt")
    torch.save({"model": StrainFromMotion().state_dict(), "step": 5}, tmp_path / "strain.pt")
    network, metadata = join(
        tmp_path / "tracking.pt", tmp_path / "strain.pt", [tmp_path / "one_0.npz"]
    )
    assert metadata["training_steps"] == "0+5"
    batch = {
        name: torch.from_numpy(image.astype(np.float32))[None] for name, image in images.items()
    }
    from rtelasto_engines.training.measured import as_measurement

    with torch.no_grad():
        result = network.strain_stage(as_measurement(batch))
    error = (result.strain[:, 0] - batch["true_strain"]).abs()
    assert float((error < result.std[:, 0]).float().mean()) == pytest.approx(0.68, abs=0.03)
