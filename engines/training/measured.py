"""Stores the measurements of stage 1 on a training set, so that stage 2 is trained without front ends.

    python -m rtelasto_engines.training.measured --data OUT --tracking tracking.pt --out MEASURED

There is one file per example and variant, each with different faults; existing files are kept. One core
measures 28 examples a second, and a training step on crops of these files takes a third of the time of one on
frames.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rtelasto.sinks.output_file import OutputFile
from rtelasto_engines.network.tracking import Measurement, Tracking
from rtelasto_engines.training.dataset import COUNTS_PER_RMS, Example
from rtelasto_engines.training.faults import Crop, crop, faulty

# Number of depths of the measurement, 8 samples each, that are stored of an example.
_DEPTHS = 208
# Largest shift of a crop of the second frame relative to the first, and the fraction with a shift by a line.
_MAX_SHIFT, _LATERAL_SHARE = 4, 0.2

Images = dict[str, NDArray[np.float32]]


def inner_truth(c: Crop) -> Images:
    """Return the truth on the grid of the measurement: (lines, depths) at every 8th sample.

    Axial strain is the change of the displacement over the 8 samples of the pixel, so that a slip keeps its
    jump; where there is no displacement, it is the strain of the crop. Lateral strain is computed likewise,
    in lines per line.
    """
    u, v = c.displacement, c.lateral
    after = np.concatenate([u[:, 1:], u[:, -1:]], 1)
    before = np.concatenate([u[:, :1], u[:, :-1]], 1)
    strain = ((after - before) / 8.0)[:, ::2]
    strain[:, 0] = c.strain[:, 0]
    unseen = np.isnan(u[:, ::2]) & np.isfinite(c.strain[:, ::2])
    strain = np.where(unseen, c.strain[:, ::2], strain)
    inner = v[:, ::2]
    lateral_strain = np.gradient(inner, axis=0) if inner.shape[0] > 1 else np.zeros_like(inner)
    truth = {
        "true_displacement": u[:, ::2],
        "true_strain": strain,
        "true_lateral": inner,
        "true_lateral_strain": lateral_strain,
    }
    return {name: np.ascontiguousarray(image, np.float32) for name, image in truth.items()}


def shifted_crop(rng: np.random.Generator, example: Example) -> Crop:
    """Return all lines of an example and up to 1664 samples, with the second frame shifted."""
    n_lines, n_samples = example.pre.shape
    samples = min(8 * _DEPTHS, n_samples - n_samples % 8)
    first = 8 * int(rng.integers(0, (n_samples - samples) // 8 + 1))
    # A crop at the border of the frame stays there, because borders have to be learned too.
    if rng.random() < 0.3:
        first = 0 if rng.random() < 0.5 else n_samples - samples - (n_samples - samples) % 8
    c = crop(example, slice(0, n_lines), first, samples)
    shift = int(rng.integers(-_MAX_SHIFT, _MAX_SHIFT + 1))
    whole = example.post.astype(np.float32) / np.float32(COUNTS_PER_RMS)
    c.post = np.zeros_like(c.pre)
    begin, end = max(first + shift, 0), min(first + shift + samples, n_samples)
    c.post[:, begin - first - shift : end - first - shift] = whole[:, begin:end]
    c.displacement -= np.float32(shift)
    if rng.random() < _LATERAL_SHARE:
        step = int(rng.choice([-1, 1]))
        # Tissue at line k + v is at k + v − step of the shifted frame.
        c.post = np.roll(c.post, -step, axis=0)
        c.post[-1 if step > 0 else 0] = 0.0
        c.lateral -= np.float32(step)
    return c


@torch.no_grad()
def measure(tracking: Tracking, c: Crop) -> Images:
    """Return the measurement of a crop and its truth, each (lines, depths); residual (2, lines, depths)."""
    frames = (torch.from_numpy(frame)[None] for frame in (c.pre, c.post))
    _, measured = tracking(*frames)
    images = {
        name: getattr(measured, name)[0, 0].numpy()
        for name in ("displacement", "lateral", "precision")
    }
    return {**images, "residual": measured.residual[0].numpy(), **inner_truth(c)}


def as_measurement(images: dict[str, torch.Tensor]) -> Measurement:
    """Convert a batch of images (batch, lines, depths) and residual (batch, 2, lines, depths)."""
    return Measurement(
        images["displacement"][:, None],
        images["lateral"][:, None],
        images["precision"][:, None],
        images["residual"],
    )


def save(path: Path, images: Images) -> None:
    """Save in half precision, except displacements; the file is renamed when complete."""
    kept = {
        name: image if "displacement" in name else image.astype(np.float16)
        for name, image in images.items()
    }
    with OutputFile(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **kept)  # type: ignore[arg-type]


def measure_folder(data: Path, weights: Path, out: Path, *, variants: int, seed: int = 1) -> None:
    """Measure every example of a folder in several variants, by stage 1 with these weights."""
    state = torch.load(weights, weights_only=True)
    tracking = Tracking().eval()
    tracking.load_state_dict(state.get("model", state))
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(data.glob("*.npz"))
    for variant in range(variants):
        for path in paths:
            file = out / f"{path.stem}_{variant}.npz"
            if file.exists():
                continue
            rng = np.random.default_rng((seed, variant, zlib.crc32(path.stem.encode())))
            c = shifted_crop(rng, Example.load(path))
            # Every third variant has no added faults, like the test sets.
            save(file, measure(tracking, c if variant % 3 == 0 else faulty(rng, c)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a training set by stage 1.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tracking", type=Path, required=True, help="weights of stage 1")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure_folder(
        options.data, options.tracking, options.out, variants=options.variants, seed=options.seed
    )
    print(f"{len(list(options.out.glob('*.npz')))} files in {options.out}")


if __name__ == "__main__":
    main()
