"""The training loop of a module: limited in time, resumable, with regular reports."""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtelasto.sinks.output_file import OutputFile

# The weights are averaged over about this many steps; the result of a short training is the average.
_AVERAGED_STEPS = 300


@dataclass(frozen=True, slots=True)
class Budget:
    """Duration and settings of a training.

    Parameters
    ----------
    minutes
        Total time, including earlier runs that are resumed.
    rate
        Highest learning rate; the rate follows a cosine over the budget.
    report_s
        Time between reports and checkpoints.
    bf16
        Multiply in bfloat16: faster on processors that support it, much slower on others.
    """

    minutes: float
    rate: float = 2e-3
    report_s: float = 120.0
    bf16: bool = False


def learning_rate(progress: float, peak: float) -> float:
    """Warm up over the first hundredth, then follow half a cosine down to a hundredth of the peak."""
    if progress < 0.01:
        return peak * (progress + 1e-4) / 0.0101
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))))


def training_parser(
    description: str,
    *,
    minutes: float,
    batch: int,
    validation: int,
    several_folders: bool = False,
) -> argparse.ArgumentParser:
    """Return a parser of the options that all trainings with `train_module` have, with these defaults.

    ``--data`` is a list of folders with ``several_folders``, otherwise one.
    """
    parser = argparse.ArgumentParser(description=description)
    nargs = "+" if several_folders else None
    parser.add_argument("--data", type=Path, required=True, nargs=nargs)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="budget in all, resumed runs included"
    )
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validation", type=int, default=validation, help="examples held out")
    parser.add_argument("--report-s", type=float, default=120.0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def recipe_parser(description: str, *, pairs: int, minutes: float) -> argparse.ArgumentParser:
    """Return a parser of the options that all trainings from a seed to ONNX files have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=pairs)
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="of training, all stages together"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser


def weights_of(path: Path) -> dict[str, Tensor]:
    """Return the weights in an ONNX file by their names in the network that was exported."""
    import onnx
    from onnx import numpy_helper

    return {
        tensor.name.removeprefix("network."): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
    }


def spread_over(paths: Sequence[Path], count: int) -> list[Path]:
    """Return up to ``count`` of the files, evenly chosen, to be held out."""
    return list(paths[:: max(1, len(paths) // max(count, 1))][:count])


def first_pair(seed: int) -> int:
    """Return the seed of the first simulated pair of a training with this seed."""
    return 1_000_000 + 100_000 * seed


def budget_of(options: argparse.Namespace) -> Budget:
    """Return the budget from the options of `training_parser`."""
    return Budget(options.minutes, options.rate, options.report_s, options.bf16)


def train_module(
    model: nn.Module,
    checkpoint: Path,
    budget: Budget,
    *,
    loss_terms: Callable[[nn.Module], dict[str, Tensor]],
    total: Callable[[dict[str, Tensor]], Tensor],
    validate: Callable[[nn.Module], dict[str, float]],
) -> nn.Module:
    """Train a module in place, and return it with averaged weights.

    ``loss_terms`` draws a batch and returns its errors by name. The checkpoint contains ``model`` (averaged
    weights), ``raw``, ``optimiser``, ``step``, ``spent_s`` and the last ``scores``; if it exists, training
    resumes from it. Every report is a line of JSON.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=budget.rate, weight_decay=1e-4)
    step, spent_s = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["raw"])
        average.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent_s = state["step"], state["spent_s"]
        print(f"resuming from {checkpoint}: step {step}, {spent_s / 60:.1f} min spent", flush=True)
    sums: dict[str, float] = {}
    n_summed = 0
    reported = started = time.monotonic()
    while True:
        now_spent_s = spent_s + time.monotonic() - started
        progress = now_spent_s / (60.0 * budget.minutes)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, budget.rate)
        with autocast(budget.bf16):
            terms = loss_terms(model)
        loss = total(terms)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        _follow(average, model, 1.0 / min(step, _AVERAGED_STEPS))
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        n_summed += 1
        finished = progress >= 1.0
        if finished or time.monotonic() - reported > budget.report_s:
            scores = validate(average)
            means = {name: value / n_summed for name, value in sums.items()}
            line = {"step": step, "minutes": round(now_spent_s / 60, 2), **means, **scores}
            print(json.dumps({k: round(v, 4) for k, v in line.items()}), flush=True)
            sums, n_summed = {}, 0
            save_checkpoint(
                checkpoint,
                {
                    "model": average.state_dict(),
                    "raw": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "spent_s": now_spent_s,
                    "scores": scores,
                },
            )
            reported = time.monotonic()
        if finished:
            return average


def autocast(bf16: bool, device: str = "cpu") -> contextlib.AbstractContextManager[Any]:
    """Return a context in which products are computed in bfloat16, if asked for."""
    return torch.autocast(device, torch.bfloat16) if bf16 else contextlib.nullcontext()


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, share: float) -> None:
    for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
        ours.lerp_(theirs, share)


def save_checkpoint(checkpoint: Path, state: dict[str, Any]) -> None:
    """Replace a checkpoint by another state, so that it is always whole."""
    with OutputFile(checkpoint) as temporary:
        torch.save(state, temporary)
