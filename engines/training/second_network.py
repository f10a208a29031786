"""Trains ``cnn2`` from a seed to the ONNX files; existing files are kept, so it can be interrupted.

python -m rtelasto_engines.training.second_network FOLDER --pairs 2900 --minutes 110 --seed 1
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
from rtelasto_engines.training.sets import SETS
from rtelasto_engines.training.strain_loss import calibrate, load, results

# Fraction of the training time for stage 1, which is small and learns fast.
_TRACKING_SHARE = 0.2
# The part of each set in the pairs, in percent, and the distance of their first seeds.
_MIXTURE = {"sharp": 31, "fine": 27, "broad": 14, "near": 14, "small": 14}
_SEEDS_PER_SET = 20_000
_HELD_OUT = 24


def make_pairs(folder: Path, pairs: int, first_seed: int, workers: int) -> None:
    """Simulate about so many pairs of all sets."""
    for number, (name, percent) in enumerate(_MIXTURE.items()):
        make_dataset(
            folder,
            pairs=max(1, round(pairs * percent / 100)),
            first_seed=first_seed + number * _SEEDS_PER_SET,
            workers=workers,
            training_set=SETS[name],
        )


def join(tracking: Path, strain: Path, calibration: list[Path]) -> tuple[Cnn2, dict[str, str]]:
    """Return the whole network of two checkpoints, and the training metadata for its file.

    Its standard deviation is calibrated on measured files of pairs that were not trained on.
    """
    network = Cnn2()
    first, second = (torch.load(path, weights_only=True) for path in (tracking, strain))
    network.tracking.load_state_dict(first.get("model", first))
    network.strain_stage.load_state_dict(second["model"])
    network.eval()
    files = [load(path) for path in calibration]
    bias = network.strain_stage.heads.bias
    assert bias is not None
    factor = calibrate(bias[-1:], results(network.strain_stage, files))
    return network, {
        "training_steps": f"{first.get('step', 0)}+{second['step']}",
        "std_scaled_by": f"{factor:.3f}",
    }


def main() -> None:
    parser = recipe_parser((__doc__ or "").splitlines()[0], pairs=2900, minutes=110.0)
    parser.add_argument("--variants", type=int, default=4, help="of each pair, with other faults")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder: Path = options.folder
    make_pairs(folder / "pairs", options.pairs, first_pair(options.seed), options.threads)
    common = {
        "seed": options.seed,
        "rate": 3e-3,
        "report_s": 120.0,
        "bf16": options.bf16,
        "validation": _HELD_OUT,
    }
    train_tracking.train(
        argparse.Namespace(
            **common,
            data=folder / "pairs",
            checkpoint=folder / "tracking.pt",
            minutes=_TRACKING_SHARE * options.minutes,
            batch=6,
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
            start=None,
        )
    )
    held_out = train_strain.held_out(folder / "measured", _HELD_OUT)
    network, metadata = join(folder / "tracking.pt", folder / "strain.pt", held_out)
    export(network, folder / "cnn2.onnx", metadata)
    export_stages(network, folder / "cnn2.onnx", metadata)
    print(f"{folder / 'cnn2.onnx'}: {metadata}")


if __name__ == "__main__":
    main()
