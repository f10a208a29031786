"""Trains stage 2 of ``cnn2`` on the measurements of stage 1; interrupted runs resume.

python -m rtelasto_engines.training.train_strain --data MEASURED --checkpoint strain.pt --minutes 60
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rtelasto_engines.network.cnn2 import StrainFromMotion
from rtelasto_engines.training.loop import budget_of, spread_over, train_module, training_parser
from rtelasto_engines.training.strain_loss import (
    MeasuredBatches,
    load,
    loss_terms,
    total_loss,
    validate,
)

# Number of steps after which the folder is checked for new files.
_LOOK_AGAIN_STEPS = 250


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    held = held_out(options.data, options.validation)
    if not held:
        raise SystemExit(f"--data {options.data}: too few files for training")
    names = {path.name.rpartition("_")[0] for path in held}

    def training_paths() -> list[Path]:
        found = sorted(options.data.glob("*.npz"))
        return [path for path in found if path.name.rpartition("_")[0] not in names]

    batches = MeasuredBatches(
        training_paths(),
        batch=options.batch,
        lines=options.lines,
        depths=options.depths,
        seed=options.seed,
    )
    files = [load(path) for path in held]
    drawn = 0

    def terms(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        nonlocal drawn
        drawn += 1
        if drawn % _LOOK_AGAIN_STEPS == 0:
            batches.add(training_paths())
        return loss_terms(model, batches.draw())  # type: ignore[arg-type]

    model = StrainFromMotion()
    if options.start is not None:
        model.load_state_dict(torch.load(options.start, weights_only=True)["model"])
    train_module(
        model,
        options.checkpoint,
        budget_of(options),
        loss_terms=terms,
        total=total_loss,
        validate=lambda model: validate(model, files),  # type: ignore[arg-type]
    )


def held_out(folder: Path, count: int) -> list[Path]:
    """Return the validation files, evenly chosen from those of pairs without added faults (variant 0)."""
    paths = sorted(folder.glob("*_0.npz"))
    return spread_over(paths, count) if len(paths) > count else []


def main() -> None:
    parser = training_parser("Train stage 2 of cnn2.", minutes=60.0, batch=6, validation=16)
    parser.add_argument("--lines", type=int, default=48)
    parser.add_argument("--depths", type=int, default=160)
    parser.add_argument("--start", type=Path, help="a checkpoint whose weights it starts from")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
