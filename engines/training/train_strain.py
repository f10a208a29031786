"""Trains stage 2 of ``cnn2`` on what stage 1 measured; interrupted runs go on where they stopped.

python -m rtelasto_engines.training.train_strain --data MEASURED --checkpoint strain.pt --minutes 60
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rtelasto_engines.network.cnn2 import StrainFromMotion
from rtelasto_engines.training.loop import Budget, train_module
from rtelasto_engines.training.strain_loss import (
    MeasuredBatches,
    load,
    loss_terms,
    total_loss,
    validate,
)

# Files that appear while it trains are taken in every so many steps.
_LOOK_AGAIN_STEPS = 250


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    held = held_out(options.data, options.validation)
    if not held:
        raise SystemExit(f"--data {options.data}: too few files to train on")
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

    train_module(
        StrainFromMotion(),
        options.checkpoint,
        Budget(options.minutes, options.rate, options.report_s, options.bf16),
        loss_terms=terms,
        total=total_loss,
        validate=lambda model: validate(model, files),  # type: ignore[arg-type]
    )


def held_out(folder: Path, count: int) -> list[Path]:
    """Files to validate on: every so-many-th of those whose pairs are as simulated (variant 0)."""
    paths = sorted(folder.glob("*_0.npz"))
    return paths[:: max(1, len(paths) // max(count, 1))][:count] if len(paths) > count else []


def main() -> None:
    parser = argparse.ArgumentParser(description="Train stage 2 of cnn2.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="budget in all, resumed runs included"
    )
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--lines", type=int, default=48)
    parser.add_argument("--depths", type=int, default=160)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validation", type=int, default=16, help="examples held out")
    parser.add_argument("--report-s", type=float, default=120.0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
