"""Trains ``cnn-lateral`` from the weights of ``cnn``; interrupted runs resume.

python -m rtelasto_engines.training.train_lateral --data SHARP BROAD --checkpoint lateral.pt \\
    --start engines/models/cnn.onnx --minutes 60 --out cnn-lateral.onnx

Stage 1 keeps its weights. Stage 2 and the new heads are trained on pairs with faults, with the errors of
`rtelasto_engines.training.strain_loss`. In the end the standard deviation is calibrated on held-out pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rtelasto_engines.network.cnn2 import Strain
from rtelasto_engines.network.cnn_lateral import CnnLateral
from rtelasto_engines.training.dataset import Example
from rtelasto_engines.training.faults import Crop, faulty
from rtelasto_engines.training.loop import (
    budget_of,
    spread_over,
    train_module,
    training_parser,
    weights_of,
)
from rtelasto_engines.training.measured import Images, inner_truth, shifted_crop
from rtelasto_engines.training.strain_loss import (
    as_batch,
    calibrate,
    errors_of,
    scores_of,
    total_loss,
)

LINES, SAMPLES = 64, 1280
# Half of the crops have no added faults, like the test sets.
_FAULTY_SHARE = 0.5


class FaultyFrames:
    """Draws crops of examples: frames ``pre``, ``post`` and their `inner_truth`."""

    def __init__(self, paths: Sequence[Path], *, batch: int, seed: int) -> None:
        examples = [Example.load(path) for path in paths]
        self._examples = [
            e for e in examples if e.pre.shape[0] >= LINES and e.pre.shape[1] >= SAMPLES + 8
        ]
        self._batch, self._rng = batch, np.random.default_rng(seed)

    def draw(self) -> dict[str, Tensor]:
        """Return frames (batch, 64, 1280), and the truth (batch, 64, 160) at every 8th sample."""
        crops = [self._crop() for _ in range(self._batch)]
        return {name: torch.from_numpy(np.stack([c[name] for c in crops])) for name in crops[0]}

    def _crop(self) -> Images:
        rng = self._rng
        c = shifted_crop(rng, self._examples[rng.integers(len(self._examples))])
        n_lines, n_samples = c.pre.shape
        line = int(rng.integers(0, n_lines - LINES + 1))
        first = 8 * int(rng.integers(0, (n_samples - SAMPLES) // 8 + 1))
        c = _part(c, slice(line, line + LINES), first)
        if rng.random() < _FAULTY_SHARE:
            c = faulty(rng, c)
        return frames_and_truth(c)


def _part(c: Crop, lines: slice, first: int) -> Crop:
    samples, depths = slice(first, first + SAMPLES), slice(first // 4, (first + SAMPLES) // 4)
    frames = (frame[lines, samples].copy() for frame in (c.pre, c.post))
    truth = (image[lines, depths].copy() for image in (c.displacement, c.strain, c.lateral))
    return Crop(*frames, *truth)


def frames_and_truth(c: Crop) -> Images:
    """Return the frames of a crop and its truth on the grid of stage 2."""
    return {"pre": c.pre, "post": c.post, **inner_truth(c)}


def estimate(model: CnnLateral, batch: dict[str, Tensor]) -> Strain:
    """Return the result of the network before its last, untrained step."""
    return model.motion(batch["pre"], batch["post"])[0]


def start_from(model: CnnLateral, path: Path) -> None:
    """Load the weights of the layers that ``cnn`` has from its ONNX file."""
    ours = model.state_dict()
    theirs = weights_of(path)
    model.load_state_dict({name: theirs.get(name, ours[name]) for name in ours})


def held_out(folders: Sequence[Path], count: int) -> list[Path]:
    """Return every so many files of the folders together, ``count`` in all."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.npz"))]
    return spread_over(paths, count)


@torch.no_grad()
def validate(model: CnnLateral, crops: Sequence[Images]) -> dict[str, float]:
    """Return the scores of `scores_of` on crops of whole lines."""
    return scores_of(_results(model, crops))


@torch.no_grad()
def _results(model: CnnLateral, crops: Sequence[Images]) -> list[tuple[Strain, dict[str, Tensor]]]:
    batches = [as_batch(c) for c in crops]
    return [(estimate(model, batch), batch) for batch in batches]


def whole_lines(paths: Sequence[Path], seed: int) -> list[Images]:
    """Return a crop of every pair, without faults."""
    rng = np.random.default_rng(seed)
    return [frames_and_truth(shifted_crop(rng, Example.load(path))) for path in paths]


def finish(
    model: CnnLateral, crops: Sequence[Images], path: Path, metadata: dict[str, str]
) -> None:
    """Calibrate the standard deviation on crops and write the ONNX file."""
    from rtelasto_engines.export import export

    assert model.certainty.bias is not None
    factor = calibrate(model.certainty.bias, _results(model, crops))
    export(model, path, {**metadata, "std_scaled_by": f"{factor:.3f}"})


def train(options: argparse.Namespace) -> None:
    """Train, and write the ONNX file if one is named."""
    torch.manual_seed(options.seed)
    held = set(held_out(options.data, options.validation))
    paths = [p for folder in options.data for p in sorted(folder.glob("*.npz")) if p not in held]
    if len(paths) < len(held):
        raise SystemExit(f"--data: {len(paths)} files are too few for training")
    crops = whole_lines(sorted(held), options.seed)
    batches = FaultyFrames(paths, batch=options.batch, seed=options.seed)
    model = CnnLateral()
    if options.start is not None:
        start_from(model, options.start)
    model.displacement_stage.requires_grad_(False)

    def terms(network: nn.Module) -> dict[str, Tensor]:
        batch = batches.draw()
        return errors_of(estimate(network, batch), batch)  # type: ignore[arg-type]

    average = train_module(
        model,
        options.checkpoint,
        budget_of(options),
        loss_terms=terms,
        total=total_loss,
        validate=lambda network: validate(network, crops),  # type: ignore[arg-type]
    )
    if options.out is not None:
        steps = torch.load(options.checkpoint, weights_only=True)["step"]
        finish(average, crops, options.out, {"training_steps": str(steps)})  # type: ignore[arg-type]


def main() -> None:
    parser = training_parser(
        "Train cnn-lateral from the weights of cnn.",
        minutes=60.0,
        batch=4,
        validation=16,
        several_folders=True,
    )
    parser.add_argument("--start", type=Path, help="cnn.onnx; without it, training is from scratch")
    parser.add_argument("--out", type=Path, help="the ONNX file to write in the end")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
