"""Trains ``cnn2`` from a seed to the ONNX files; existing files are kept, so it can be interrupted.

python -m rtelasto_engines.training.second_network FOLDER --pairs 1600 --minutes 90 --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rtelasto_engines.export import export, export_stages
from rtelasto_engines.network.cnn2 import Cnn2
from rtelasto_engines.training import measured, train_strain, train_tracking
from rtelasto_engines.training.dataset import make_dataset
from rtelasto_engines.training.loop import first_pair, recipe_parser
from rtelasto_engines.training.strain_loss import calibrate, load, results

# Fraction of the training time for stage 1, which is small and learns fast.
_TRACKING_SHARE = 0.3


def join(tracking: Path, strain: Path, held_out: list[Path]) -> tuple[Cnn2, dict[str, str]]:
    """Return the whole network of two checkpoints, calibrated, and the training metadata for its file."""
    network = Cnn2()
    first, second = (torch.load(path, weights_only=True) for path in (tracking, strain))
    network.tracking.load_state_dict(first.get("model", first))
    network.strain_stage.load_state_dict(second["model"])
    network.eval()
    files = [load(path) for path in held_out]
    factor = calibrate(network.strain_stage.certainty, results(network.strain_stage, files))
    return network, {
        "training_steps": f"{first.get('step', 0)}+{second['step']}",
        "std_scaled_by": f"{factor:.3f}",
    }


def main() -> None:
    parser = recipe_parser((__doc__ or "").splitlines()[0], pairs=1600, minutes=90.0)
    parser.add_argument("--variants", type=int, default=3, help="of each pair, with other faults")
    parser.add_argument(
        "--start", type=Path, help="cnn.onnx; its sparse network initialises stage 1"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder: Path = options.folder
    make_dataset(
        folder / "pairs",
        pairs=options.pairs,
        first_seed=first_pair(options.seed),
        workers=options.threads,
    )
    common = {
        "seed": options.seed,
        "rate": 2e-3,
        "report_s": 120.0,
        "bf16": options.bf16,
        "validation": 16,
    }
    train_tracking.train(
        argparse.Namespace(
            **common,
            data=folder / "pairs",
            checkpoint=folder / "tracking.pt",
            start=options.start,
            minutes=_TRACKING_SHARE * options.minutes,
            batch=4,
        )
    )
    measured.measure_folder(
        folder / "pairs",
        folder / "tracking.pt",
        folder / "measured",
        variants=options.variants,
        seed=options.seed,
    )
    train_strain.train(
        argparse.Namespace(
            **common,
            data=folder / "measured",
            checkpoint=folder / "strain.pt",
            minutes=(1.0 - _TRACKING_SHARE) * options.minutes,
            batch=4,
            lines=48,
            depths=160,
        )
    )
    held_out = train_strain.held_out(folder / "measured", 16)
    network, metadata = join(folder / "tracking.pt", folder / "strain.pt", held_out)
    export(network, folder / "cnn2.onnx", metadata)
    export_stages(network, folder / "cnn2.onnx", metadata)
    print(f"{folder / 'cnn2.onnx'}: {metadata}")


if __name__ == "__main__":
    main()
