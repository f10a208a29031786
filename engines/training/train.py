"""Trains a network on a simulated set, on a CPU or a GPU; interrupted runs resume.

python -m rtelasto_engines.training.train --data OUT --checkpoint cnn.pt --minutes 60
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rtelasto_engines.network import StrainNetwork, make_network
from rtelasto_engines.training.batches import Batches, whole_frames
from rtelasto_engines.training.dataset import AXIAL_STRIDE, Example
from rtelasto_engines.training.loop import autocast, learning_rate, save_checkpoint, spread_over
from rtelasto_engines.training.loss_parts import bounded, strain_weight

# Residual displacements beyond the range of the front end's lags cannot be learned.
_MAX_DISPLACEMENT = 13.0
_STRAIN_UNIT = 0.01


def loss_terms(
    model: StrainNetwork, batch: tuple[Tensor, Tensor, Tensor, Tensor]
) -> dict[str, Tensor]:
    """Return the mean absolute errors of stage 1, of the final displacement, of strain and of its steps.

    Strain errors are in percent, weighted by `strain_weight`. The step term compares differences of
    neighbouring strain pixels, which are wrong at a smoothed edge.
    """
    pre, post, displacement, strain = batch
    first, final, estimate = model.stages(pre, post)
    inner = slice(None, None, model.inner_step // AXIAL_STRIDE)
    displacement, strain = displacement[..., inner], strain[..., inner]
    valid = displacement.abs() < _MAX_DISPLACEMENT
    true_displacement = torch.where(valid, displacement, torch.zeros_like(displacement))
    true_strain = torch.where(valid, strain, torch.zeros_like(strain)) / _STRAIN_UNIT
    count = valid.sum().clamp(min=1)
    weight = strain_weight(true_strain, valid)
    error = estimate / _STRAIN_UNIT - true_strain
    axial = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:] * valid[..., :-1]
    lateral = (error[:, 1:] - error[:, :-1]).abs() * weight[:, 1:] * valid[:, :-1]
    return {
        "first": (
            (bounded(first - true_displacement) * valid).sum()
            # Without truth any displacement is allowed, except one beyond the range of the lags.
            + 0.1 * bounded(F.relu(first.abs() - _MAX_DISPLACEMENT) * ~valid).sum()
        )
        / count,
        "displacement": (bounded(final - true_displacement) * valid).sum() / count,
        "strain": (error.abs() * weight).sum() / count,
        "edges": (axial.sum() + lateral.sum()) / count,
    }


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    return (
        2.0 * terms["first"]
        + 4.0 * terms["displacement"]
        + 3.0 * terms["strain"]
        + 1.0 * terms["edges"]
    )


@torch.no_grad()
def validate(
    model: StrainNetwork, examples: list[Example], device: torch.device
) -> dict[str, float]:
    """Return medians over examples of their root-mean-square errors, in samples and in percent strain."""
    model.eval()
    errors = []
    for example in examples:
        pre, post = (frame.to(device) for frame in whole_frames(example))
        displacement, strain = (output[0].float().cpu().numpy() for output in model(pre, post))
        valid = np.abs(example.displacement) < _MAX_DISPLACEMENT
        errors.append(
            (
                np.sqrt(np.square(displacement - example.displacement)[valid].mean()),
                100.0 * np.sqrt(np.square(strain - example.strain)[valid].mean()),
            )
        )
    model.train()
    middle = np.median(errors, axis=0)
    return {
        "displacement_rmse_samples": float(middle[0]),
        "strain_rmse_percent": float(middle[1]),
    }


def train(options: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    paths = sorted(options.data.glob("*.npz"))
    if len(paths) <= options.validation:
        raise SystemExit(f"--data {options.data}: {len(paths)} files are too few for training")
    held_names = spread_over(paths, options.validation)
    held_out = [Example.load(path) for path in held_names]
    batches = Batches(
        [path for path in paths if path not in held_names],
        batch=options.batch,
        lines=options.lines,
        samples=options.samples,
        seed=options.seed,
    )
    # Channels last: several times faster on a CPU, and the preferred layout of tensor cores.
    model = make_network(options.network).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=1e-4)
    step, spent_s = 0, 0.0
    if options.checkpoint.exists():
        state = torch.load(options.checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent_s = state["step"], state["spent_s"]
        print(f"resuming from {options.checkpoint}: step {step}, {spent_s / 60:.1f} min spent")
    budget_s = 60.0 * options.minutes
    sums: dict[str, float] = {}
    reported = started = time.monotonic()
    while True:
        now_spent_s = spent_s + time.monotonic() - started
        progress = now_spent_s / budget_s
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, options.rate)
        batch = tuple(part.to(device, non_blocking=True) for part in batches.draw())
        with autocast(device.type == "cuda", device.type):
            terms = loss_terms(model, batch)  # type: ignore[arg-type]
        loss = total_loss(terms)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        sums["steps"] = sums.get("steps", 0.0) + 1
        finished = progress >= 1.0
        if finished or time.monotonic() - reported > options.report_s:
            scores = validate(model, held_out, device)
            averages = {
                name: value / sums["steps"] for name, value in sums.items() if name != "steps"
            }
            line = {"step": step, "minutes": round(now_spent_s / 60, 2), **averages, **scores}
            print(json.dumps({k: round(v, 4) for k, v in line.items()}), flush=True)
            sums.clear()
            save_checkpoint(
                options.checkpoint,
                {
                    "network": options.network,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "spent_s": now_spent_s,
                    "scores": scores,
                },
            )
            reported = time.monotonic()
        if finished:
            break


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a network on simulated pairs.")
    parser.add_argument("--network", choices=["cnn", "wu2018"], default="cnn")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="budget in all, resumed runs included"
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--samples", type=int, default=1280)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validation", type=int, default=12, help="examples held out")
    parser.add_argument("--report-s", type=float, default=120.0)
    options = parser.parse_args()
    assert options.samples % (2 * AXIAL_STRIDE) == 0, "--samples must be a multiple of 8"
    train(options)


if __name__ == "__main__":
    main()
