"""Trains stage 1 of ``cnn2``, the sparse displacement; interrupted runs resume.

python -m rtelasto_engines.training.train_tracking --data OUT --checkpoint tracking.pt --minutes 30
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtelasto_engines.network.tracking import Tracking
from rtelasto_engines.training.dataset import Example
from rtelasto_engines.training.faults import Crop, faulty
from rtelasto_engines.training.loop import (
    budget_of,
    spread_over,
    train_module,
    training_parser,
)
from rtelasto_engines.training.loss_parts import bounded
from rtelasto_engines.training.measured import shifted_crop

_MAX_DISPLACEMENT = 13.0
_LINES, _SAMPLES = 64, 1280


class FrameBatches:
    """Draws crops of examples with faults: (pre, post) and the truth on the sparse grid."""

    def __init__(self, paths: Sequence[Path], *, batch: int, seed: int) -> None:
        self._examples = [Example.load(path) for path in paths]
        self._batch, self._rng = batch, np.random.default_rng(seed)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return frames (batch, 64, 1280) and displacement (batch, 32, 80), NaN where there is no truth."""
        rng = self._rng
        crops: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        while len(crops) < self._batch:
            example = self._examples[rng.integers(len(self._examples))]
            if example.pre.shape[0] < _LINES or example.pre.shape[1] < _SAMPLES + 16:
                continue
            c = faulty(rng, shifted_crop(rng, example))
            if c.pre.shape[1] < _SAMPLES:
                continue
            line = 2 * int(rng.integers(0, (c.pre.shape[0] - _LINES) // 2 + 1))
            first = 16 * int(rng.integers(0, (c.pre.shape[1] - _SAMPLES) // 16 + 1))
            lines, samples = slice(line, line + _LINES), slice(first, first + _SAMPLES)
            depths = slice(first // 4, (first + _SAMPLES) // 4)
            crops.append(
                (c.pre[lines, samples], c.post[lines, samples], c.displacement[lines, depths])
            )
        pre, post, truth = (torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True))
        return pre, post, sparse_truth(truth)


def sparse_truth(displacement: Tensor) -> Tensor:
    """Return the truth of a sparse pixel: that at its middle, the mean of its two lines."""
    lines = displacement.shape[1] // 2 * 2
    return 0.5 * (displacement[:, 0:lines:2, 1::4] + displacement[:, 1:lines:2, 1::4])


def loss_terms(model: Tracking, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Return the mean bounded error, and a penalty for displacements out of range without truth."""
    pre, post, truth = batch
    found = model.sparse(pre, post)[:, 0]
    valid = truth.abs() < _MAX_DISPLACEMENT
    size = bounded(torch.where(valid, found - truth, torch.zeros_like(found)))
    astray = F.relu(found.abs() - _MAX_DISPLACEMENT) * ~valid
    count = valid.sum().clamp(min=1)
    return {"sparse": size.sum() / count, "astray": 0.1 * torch.log1p(astray).sum() / count}


@torch.no_grad()
def validate(model: Tracking, crops: Sequence[Crop]) -> dict[str, float]:
    """Return the median over crops of the mean absolute error, and the share of errors over 2 samples."""
    errors, wrong = [], []
    for c in crops:
        found = model.sparse(torch.from_numpy(c.pre)[None], torch.from_numpy(c.post)[None])[0, 0]
        truth = sparse_truth(torch.from_numpy(c.displacement)[None])[0]
        found = found[: truth.shape[0], : truth.shape[1]]
        valid = truth.abs() < _MAX_DISPLACEMENT
        error = (found - truth)[valid].abs()
        errors.append(float(error.mean()))
        wrong.append(float((error > 2.0).float().mean()))
    return {"sparse_error": float(np.nanmedian(errors)), "off_by_2": float(np.nanmean(wrong))}


def train(options: argparse.Namespace) -> nn.Module:
    torch.manual_seed(options.seed)
    paths = sorted(options.data.glob("*.npz"))
    if len(paths) <= options.validation:
        raise SystemExit(f"--data {options.data}: {len(paths)} files are too few for training")
    held = spread_over(paths, options.validation)
    rng = np.random.default_rng(options.seed)
    crops = [faulty(rng, shifted_crop(rng, Example.load(path))) for path in held]
    batches = FrameBatches(
        [path for path in paths if path not in held], batch=options.batch, seed=options.seed
    )
    model = Tracking()
    return train_module(
        model,
        options.checkpoint,
        budget_of(options),
        loss_terms=lambda m: loss_terms(m, batches.draw()),  # type: ignore[arg-type]
        total=lambda terms: terms["sparse"] + terms["astray"],
        validate=lambda m: validate(m, crops),  # type: ignore[arg-type]
    )


def main() -> None:
    parser = training_parser("Train stage 1 of cnn2.", minutes=30.0, batch=4, validation=12)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
