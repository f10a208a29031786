"""Averages the weights of ``cnn-lateral`` over networks that were trained one from another.

python -m rtelasto_engines.training.average_weights second.onnx:0.5 first.onnx:0.2 cnn.onnx:0.3 \\
    --calibration other --out cnn-lateral.onnx

The mean keeps most of what each of them does well: training on new kinds of tissue costs accuracy on others,
and in the mean this loss is smaller than the gain (Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022). The deviation of the strain is then calibrated on pairs of which none was trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rtelasto_engines.network.cnn_lateral import CnnLateral
from rtelasto_engines.training.loop import weights_of
from rtelasto_engines.training.train_lateral import finish, whole_lines


def averaged(parts: Sequence[tuple[dict[str, Tensor], float]]) -> CnnLateral:
    """Return the network with the weighted mean of the weights.

    Weights that a part does not have, such as the heads that ``cnn`` lacks, are averaged over the others.

    Raises
    ------
    ValueError
        If a weight is in no part.
    """
    model = CnnLateral()
    state = {}
    for name in model.state_dict():
        having = [(weights[name], share) for weights, share in parts if name in weights]
        if not having:
            raise ValueError(f"{name}: in none of the files")
        total = sum(share for _, share in having)
        state[name] = torch.stack([share / total * weight for weight, share in having]).sum(0)
    model.load_state_dict(state)
    return model.eval()


def file_and_share(text: str) -> tuple[Path, float]:
    """Return the parts of ``PATH:SHARE``.

    Raises
    ------
    argparse.ArgumentTypeError
        If there is no share, or it is not a positive number.
    """
    path, _, share = text.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = 0.0
    if not path or not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: must be FILE:SHARE, as in first.onnx:0.2")
    return Path(path), number


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "parts",
        type=file_and_share,
        nargs="+",
        metavar="FILE:SHARE",
        help="ONNX file and its share",
    )
    parser.add_argument("--calibration", type=Path, required=True, help="folder of simulated pairs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    options = parser.parse_args()
    crops = whole_lines(sorted(options.calibration.glob("*.npz")), options.seed)
    if not crops:
        parser.error(f"--calibration: no pairs in {options.calibration}")
    parts = [(weights_of(path), share) for path, share in options.parts]
    shares = " ".join(f"{path.name}:{share:g}" for path, share in options.parts)
    finish(averaged(parts), crops, options.out, {"averaged": shares})


if __name__ == "__main__":
    main()
