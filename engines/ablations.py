"""The publication's ablations of ``wu2018``: pooling, layers, dilation, patch size.

python -m rtelasto_engines.training.dataset OUT --set published --pairs 52      # 40 tissues, 12 held out
python -m rtelasto_engines.ablations --data OUT                     # as published: 30 epochs each
python -m rtelasto_engines.ablations --data OUT --steps 1600        # reduced: compare trends, not scores
python -m rtelasto_engines.ablations --data OUT --only published --export FOLDER

Every variant starts from the same seed and is trained on the same crops in the same order for the same number
of steps, as in the publication: Adam, learning rate 10e-4, mean absolute error of displacement (in samples)
and strain (in percent), both stages at once, crops as simulated. The published variant is trained from more
than one seed (``--seeds``), which shows the spread. After each variant all results and their budget are
written as JSON, and as a table in a Markdown file beside it. A second run with the same --out resumes after
the last finished variant. ``--export`` also writes each variant as ``wu2018 (VARIANT).onnx``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rtelasto.sinks.output_file import OutputFile
from rtelasto_engines.export import export
from rtelasto_engines.network.wu2018 import Architecture, Wu2018
from rtelasto_engines.training.batches import AS_SIMULATED, Batches
from rtelasto_engines.training.dataset import Example
from rtelasto_engines.training.loop import autocast, spread_over
from rtelasto_engines.training.wu2018_loss import scores

PUBLISHED = "published"
VARIANTS: dict[str, Architecture] = {
    PUBLISHED: Architecture(),
    "average pooling": Architecture(pooling="average"),
    "no pooling (strided convolutions)": Architecture(pooling="stride"),
    "3 convolution layers": Architecture(layers=3),
    "4 convolution layers": Architecture(layers=4),
    "6 convolution layers": Architecture(layers=6),
    "1 fully connected layer": Architecture(hidden=()),
    "2 fully connected layers": Architecture(hidden=(64,)),
    "4 fully connected layers": Architecture(hidden=(64, 64, 32)),
    "dilation 2": Architecture(dilation=2),
    "patch 55 × 9": Architecture(patch=(9, 55)),
    "patch 87 × 9": Architecture(patch=(9, 87)),
    "patch 71 × 5": Architecture(patch=(5, 71)),
    "patch 71 × 13": Architecture(patch=(13, 71)),
}
PUBLISHED_EPOCHS = 30
_RATE = 10e-4
_STRAIN_UNIT = 0.01
_FULL_FRAME = (128, 2608)


def mean_absolute_error(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Return the mean error of displacement (samples) plus that of strain (percent) where truth is known."""
    pre, post, true_displacement, true_strain = batch
    displacement, strain = model(pre, post)
    valid = torch.isfinite(true_displacement)
    apart = (displacement - true_displacement)[valid].abs().mean()
    return apart + (strain - true_strain)[valid].abs().mean() / _STRAIN_UNIT


def frame_gflop(architecture: Architecture) -> float:
    """Return the multiplications and additions for one frame of 2608 × 128, in 1e9."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        Wu2018(architecture).eval()(torch.zeros(1, *_FULL_FRAME), torch.zeros(1, *_FULL_FRAME))
    return counter.get_total_flops() / 1e9


def runs(names: Iterable[str], seed: int, seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield the label, the variant and the seed of every run: the published variant ``seeds`` times."""
    for name in names:
        yield name, name, seed
        if name == PUBLISHED:
            for other in range(seed + 1, seed + seeds):
                yield f"{name}, seed {other}", name, other


def run_variant(
    label: str,
    name: str,
    seed: int,
    train: list[Path],
    held_out: list[Example],
    o: argparse.Namespace,
) -> dict[str, float]:
    """Train one variant and score it on whole held-out frames."""
    architecture = VARIANTS[name]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    model = Wu2018(architecture).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = Batches(
        train,
        batch=o.batch,
        lines=o.lines,
        samples=o.samples,
        seed=seed,
        augmentation=AS_SIMULATED,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=_RATE)
    losses = []
    started = time.monotonic()
    for _ in range(o.steps):
        pre, post, displacement, strain = (part.to(device) for part in batches.draw())
        with autocast(o.bf16, device.type):
            loss = mean_absolute_error(model, (pre, post, displacement, strain))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    seconds = time.monotonic() - started
    last = losses[-max(1, o.steps // 5) :]
    model.cpu().eval()
    if o.export is not None:
        o.export.mkdir(parents=True, exist_ok=True)
        export(model, o.export / f"wu2018 ({label}).onnx", {"training_steps": str(o.steps)})
    return {
        "train_mae_last_fifth": sum(last) / len(last),
        **scores(model, held_out, strain=True),
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_a_frame": frame_gflop(architecture),
        "minutes": seconds / 60.0,
    }


def table(variants: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the results as the lines of a Markdown table."""
    heads = (
        "variant",
        "displacement RMSE, samples",
        "strain RMSE, %",
        "gain",
        "GFLOP a frame",
        "weights",
        "minutes",
    )
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for label, found in variants.items():
        cells = (
            f"{found['displacement_rmse_samples']:.3f}",
            f"{found['strain_rmse_percent']:.3f}",
            f"{found['gain']:.2f}",
            f"{found['gflop_a_frame']:.1f}",
            f"{found['parameters']:,.0f}",
            f"{found['minutes']:.0f}",
        )
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def budget(options: argparse.Namespace, n_train: int) -> dict[str, float | int | str]:
    """Return the budget of every variant; an epoch has as many samples as the training frames."""
    pixels = options.batch * options.lines * options.samples
    epochs = options.steps * pixels / (n_train * math.prod(_FULL_FRAME))
    return {
        "steps": options.steps,
        "crop": f"{options.batch} × {options.lines} lines × {options.samples} samples",
        "training_pairs": n_train,
        "held_out_pairs": options.validation,
        "epochs": round(epochs, 3),
        "published_epochs": PUBLISHED_EPOCHS,
        "multiplied_in": "bfloat16" if options.bf16 else "float32",
        "seed": options.seed,
    }


def run(options: argparse.Namespace) -> None:
    paths = sorted(options.data.glob("*.npz"))
    if len(paths) <= options.validation:
        raise SystemExit(f"--data {options.data}: {len(paths)} files are too few for training")
    held = spread_over(paths, options.validation)
    train = [path for path in paths if path not in set(held)]
    if options.steps is None:
        pixels = options.batch * options.lines * options.samples
        options.steps = math.ceil(PUBLISHED_EPOCHS * len(train) * math.prod(_FULL_FRAME) / pixels)
    report: dict[str, Any] = {"budget": budget(options, len(train)), "variants": {}}
    if options.out.exists():
        report = json.loads(options.out.read_text("utf-8"))
        if report["budget"] != budget(options, len(train)):
            raise SystemExit(
                f"--out {options.out}: contains runs with another budget; give a new file"
            )
    print(json.dumps(report["budget"], ensure_ascii=False), flush=True)
    held_out = [Example.load(path) for path in held]
    variants = report["variants"]
    for label, name, seed in runs(options.only or VARIANTS, options.seed, options.seeds):
        if label not in variants:
            variants[label] = run_variant(label, name, seed, train, held_out, options)
            with OutputFile(options.out) as temporary:
                temporary.write_text(json.dumps(report, indent=2), "utf-8")
            with OutputFile(options.out.with_suffix(".md")) as temporary:
                temporary.write_text("\n".join(table(variants)) + "\n", "utf-8")
        print(table({label: variants[label]})[-1], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ablations of wu2018.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("ablations.json"))
    parser.add_argument("--steps", type=int, help="per variant; default: the published 30 epochs")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lines", type=int, default=24)
    parser.add_argument("--samples", type=int, default=320)
    parser.add_argument("--validation", type=int, default=12, help="examples held out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2, help="runs of the published variant")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16")
    parser.add_argument("--export", type=Path, help="folder for the ONNX files of the variants")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="VARIANT")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
