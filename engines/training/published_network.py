"""Trains ``wu2018`` from a seed to the ONNX file; existing files are kept, so it can be interrupted.

python -m rtelasto_engines.training.published_network FOLDER --pairs 640 --minutes 150 --seed 1

Its stages are trained one after the other, then together:

1. stage 1 on pairs of the published kind and similar ones, which leave it a small residual motion;
2. stage 2 on the displacement of the finished stage 1, in a third of the crops on the true displacement with
   correlated noise, from which it learns contrast that the noise of stage 1 would hide;
3. both, with the statistics of batch norm fixed, so that training and inference are the same network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from rtelasto_engines.export import export
from rtelasto_engines.network.wu2018 import Wu2018, displacement_image
from rtelasto_engines.training.batches import IN_PLACE, Batches
from rtelasto_engines.training.dataset import Example, make_dataset
from rtelasto_engines.training.loop import Budget, first_pair, recipe_parser, train_module
from rtelasto_engines.training.sets import SETS
from rtelasto_engines.training.wu2018_loss import (
    displacement_error,
    noisy_truth,
    scores,
    settle,
    strain_errors,
)

# Shares of the training time, and the highest learning rates.
_SHARES = {"displacement": 0.4, "strain": 0.14, "together": 0.46}
_RATES = {"displacement": 2e-3, "strain": 2e-3, "together": 1e-3}
_TRUE_SHARE = 1.0 / 3.0
# Of the gain's error. Alone, stage 2 finds 0.8 of the contrast, and with half of the last weight both do not
# find much more.
_GAIN_WEIGHTS = {"strain": 0.3, "together": 0.8}
# In the last part: a displacement error of 0.04 samples and a relative strain error of 0.1 count alike.
_DISPLACEMENT_WEIGHT = 3.0
_HELD_OUT_SEED = 50_000


class Training:
    """The steps of the training of one network.

    Parameters
    ----------
    folder
        Receives a checkpoint of each step.
    batches, held_out
        Crops to train on, and whole pairs for the scores.
    options
        ``minutes`` of all steps, ``report_s``, ``bf16``.
    """

    def __init__(
        self, folder: Path, batches: Batches, held_out: list[Example], options: argparse.Namespace
    ) -> None:
        self._folder, self._batches, self._held_out = folder, batches, held_out
        self._options = options
        self.network = Wu2018()
        # With dropout the displacement of a crop is not the one in use, and more of it never helped.
        for module in self.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def _budget(self, step: str) -> Budget:
        options = self._options
        minutes = _SHARES[step] * options.minutes
        return Budget(minutes, _RATES[step], options.report_s, options.bf16)

    def displacement(self) -> None:
        """Train stage 1."""
        stage = self.network.displacement_stage

        def terms(model: nn.Module) -> dict[str, Tensor]:
            pre, post, truth, _ = self._batches.draw()
            return {"displacement": displacement_error(model.dense(pre, post), truth)}  # type: ignore[operator]

        def validate(average: nn.Module) -> dict[str, float]:
            settle(average, lambda: average.dense(*self._batches.draw()[:2]))  # type: ignore[operator]
            self.network.displacement_stage = average  # type: ignore[assignment]
            return scores(self.network, self._held_out, strain=False)

        self.network.displacement_stage = train_module(  # type: ignore[assignment]
            stage,
            self._folder / "displacement.pt",
            self._budget("displacement"),
            loss_terms=terms,
            total=lambda found: found["displacement"],
            validate=validate,
        )

    def strain(self) -> None:
        """Train stage 2 on the displacement of the finished stage 1."""

        def measured(pre: Tensor, post: Tensor) -> Tensor:
            with torch.no_grad():
                return self.network.displacement_stage.dense(pre, post)

        def terms(model: nn.Module) -> dict[str, Tensor]:
            pre, post, displacement, truth = self._batches.draw()
            found = measured(pre, post)
            taken = torch.rand(len(found), 1, 1) < _TRUE_SHARE
            found = torch.where(taken, noisy_truth(displacement, found), found)
            return strain_errors(model.dense(displacement_image(found)), truth)  # type: ignore[operator]

        def validate(average: nn.Module) -> dict[str, float]:
            settle(
                average,
                lambda: average.dense(displacement_image(measured(*self._batches.draw()[:2]))),  # type: ignore[operator]
            )
            self.network.strain_stage = average  # type: ignore[assignment]
            return scores(self.network, self._held_out, strain=True)

        self.network.strain_stage = train_module(  # type: ignore[assignment]
            self.network.strain_stage,
            self._folder / "strain.pt",
            self._budget("strain"),
            loss_terms=terms,
            total=lambda found: found["strain"] + _GAIN_WEIGHTS["strain"] * found["gain_error"],
            validate=validate,
        )

    def together(self) -> None:
        """Train both stages end to end."""

        def terms(model: nn.Module) -> dict[str, Tensor]:
            pre, post, displacement, truth = self._batches.draw()
            found, strain = model(pre, post)
            return {
                "displacement": displacement_error(found, displacement),
                **strain_errors(strain, truth),
            }

        def validate(average: nn.Module) -> dict[str, float]:
            return scores(average, self._held_out, strain=True)  # type: ignore[arg-type]

        self.network = train_module(  # type: ignore[assignment]
            self.network.eval(),
            self._folder / "together.pt",
            self._budget("together"),
            loss_terms=terms,
            total=lambda found: (
                _DISPLACEMENT_WEIGHT * found["displacement"]
                + found["strain"]
                + _GAIN_WEIGHTS["together"] * found["gain_error"]
            ),
            validate=validate,
        )


def main() -> None:
    parser = recipe_parser((__doc__ or "").splitlines()[0], pairs=640, minutes=150.0)
    parser.add_argument("--held-out", type=int, default=16, help="pairs for the scores")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lines", type=int, default=32)
    parser.add_argument("--samples", type=int, default=1280)
    parser.add_argument("--report-s", type=float, default=240.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    first_seed = first_pair(options.seed)
    sets = {"pairs": (options.pairs, first_seed)}
    sets["held_out"] = (options.held_out, first_seed + _HELD_OUT_SEED)
    for name, (pairs, seed) in sets.items():
        make_dataset(
            options.folder / name,
            pairs=pairs,
            first_seed=seed,
            workers=options.threads,
            training_set=SETS["near"],
        )
    batches = Batches(
        sorted((options.folder / "pairs").glob("*.npz")),
        batch=options.batch,
        lines=options.lines,
        samples=options.samples,
        seed=options.seed,
        augmentation=IN_PLACE,
    )
    held_out = [Example.load(path) for path in sorted((options.folder / "held_out").glob("*.npz"))]
    training = Training(options.folder, batches, held_out, options)
    training.displacement()
    training.strain()
    training.together()
    ended = [torch.load(options.folder / f"{name}.pt", weights_only=True) for name in _SHARES]
    path = options.folder / "wu2018.onnx"
    export(training.network, path, {"training_steps": "+".join(str(s["step"]) for s in ended)})
    print(f"{path}: {ended[-1]['scores']}")


if __name__ == "__main__":
    main()
