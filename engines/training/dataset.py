"""The training set: simulated pairs in the form of the networks' input, stretched onto the engine's grid.

There is one file per pair, so that several processes can create a set and it can be resumed and enlarged. The
content of a file depends only on its seed.

    python -m rtelasto_engines.training.dataset OUT --pairs 400
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.resample import engine_grid, resample_frame
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import Elongation
from rtelasto.sinks.output_file import OutputFile
from rtelasto_engines.simulate.pair import SimulatedPair
from rtelasto_engines.training.broad import TrainingKind, training_pair
from rtelasto_engines.training.sets import SETS, StretchError, TrainingSet

SAMPLES_PER_WAVELENGTH = 6.4
AXIAL_STRIDE = 4
COUNTS_PER_RMS = 512.0
"""int16 covers ±64 times the RMS: no echo comes close, and the step is far below any noise."""
# Fraction of the pairs for which the scanner reports a wrong centre frequency, and its largest error
# (logarithm).
_WRONG_FREQUENCY_SHARE, _WRONG_FREQUENCY = 0.15, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A stretched pair and its true residual motion.

    ``pre`` and ``post`` are int16 (n_lines, n_samples), 512 counts per joint RMS; ``displacement`` (in
    samples), ``strain`` and ``lateral`` (displacement in lines, towards higher ones) float32 (n_lines,
    ⌈n_samples/4⌉), truth at input sample 4k. Pixels with a partner outside the post-compression frame have
    NaN truth. ``lateral`` is all NaN if it is not given.
    """

    pre: NDArray[np.int16]
    post: NDArray[np.int16]
    displacement: NDArray[np.float32]
    strain: NDArray[np.float32]
    lateral: NDArray[np.float32] | None = None

    def save(self, path: Path) -> None:
        """Write under a temporary name and rename, so that every existing file is complete."""
        with OutputFile(path) as temporary, temporary.open("wb") as file:
            arrays = {
                "pre": self.pre,
                "post": self.post,
                "displacement": self.displacement,
                "strain": self.strain,
                "lateral": self.lateral,
            }
            known = {name: array for name, array in arrays.items() if array is not None}
            np.savez(file, **known)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Example:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                arrays["pre"],
                arrays["post"],
                arrays["displacement"],
                arrays["strain"],
                arrays.get("lateral"),
            )


def global_fit(pair: SimulatedPair, grid: Grid) -> Elongation:
    """Fit the elongation to the true motion by least squares over the image."""
    truth = pair.field.truth(_coarse(grid))
    x = truth.grid.lateral_m[:, None]
    z = truth.grid.depth_m[None, :]
    terms = np.broadcast_arrays(np.ones_like(z), x, z, x * z)
    design = np.stack([term.ravel() for term in terms], axis=1)
    axial = np.linalg.lstsq(design, truth.axial_displacement_m.ravel(), rcond=None)[0]
    lateral = np.linalg.lstsq(design[:, :3], truth.lateral_displacement_m.ravel(), rcond=None)[0]
    return Elongation(*(float(value) for value in (*axial, *lateral)))


def _coarse(grid: Grid) -> Grid:
    return Grid(
        grid.n_lines,
        (grid.n_depths + 31) // 32,
        grid.axial_step_m * 32,
        grid.line_pitch_m,
        grid.start_depth_m,
    )


def _jittered(
    best: Elongation, grid: Grid, rng: np.random.Generator, error: StretchError
) -> Elongation:
    depth_m = grid.n_depths * grid.axial_step_m
    half_width_m = 0.5 * grid.n_lines * grid.line_pitch_m
    lateral_m = error.lateral_lines * grid.line_pitch_m
    slope_error = error.slope * rng.standard_normal()
    offset_error = error.offset_samples * grid.axial_step_m * rng.standard_normal()
    return Elongation(
        # The error of the slope is relative to mid-depth, as for a fit.
        best.axial_offset_m + offset_error - slope_error * (grid.start_depth_m + 0.5 * depth_m),
        best.axial_tilt,
        best.axial_slope + slope_error,
        best.axial_slope_tilt_per_m + 0.3 * error.slope * rng.standard_normal() / half_width_m,
        best.lateral_offset_m + lateral_m * rng.standard_normal(),
        best.lateral_slope,
        best.lateral_shear,
    )


def make_example(
    seed: int, kind: TrainingKind, training_set: TrainingSet = SETS["broad"]
) -> Example:
    """Simulate the pair of a seed and stretch it like the pipeline, with a similar error."""
    rng = np.random.default_rng(seed)
    pair = training_pair(
        rng,
        kind,
        tissue_seed=seed // training_set.pairs_per_block,
        truth_stride=AXIAL_STRIDE,
    )
    given = pair.format
    if (
        kind not in ("published", "near", "random", "ideal")
        and rng.random() < _WRONG_FREQUENCY_SHARE
    ):
        off = math.exp(rng.uniform(-_WRONG_FREQUENCY, _WRONG_FREQUENCY))
        given = dataclasses.replace(
            given,
            center_freq_hz=min(given.center_freq_hz * off, 0.45 * given.sampling_freq_hz),
        )
    return stretched_example(pair, rng, given, training_set.stretch_error)


def stretched_example(
    pair: SimulatedPair, rng: np.random.Generator, given: RfFormat, error: StretchError
) -> Example:
    """Return the example of a pair for which the scanner reports the format ``given``."""
    grid = engine_grid(given, SAMPLES_PER_WAVELENGTH)
    elongation = _jittered(global_fit(pair, grid), grid, rng, error)
    before, after = echoes(pair.pre, given), echoes(pair.post, given)
    pre, energy_pre = resample_frame(before, given, grid)
    post, energy_post = resample_frame(after, given, grid, elongation)
    scale = COUNTS_PER_RMS / np.sqrt((energy_pre + energy_post) / (2.0 * pre.size) + 1e-30)
    return Example(
        np.clip(np.rint(pre * scale), -32767, 32767).astype(np.int16),
        np.clip(np.rint(post * scale), -32767, 32767).astype(np.int16),
        *residual_truth(pair, grid, elongation),
    )


def residual_truth(
    pair: SimulatedPair, grid: Grid, elongation: Elongation
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the true residual motion after the stretch, at every 4th sample.

    It consists of displacement (in samples of ``grid``), strain, and lateral displacement (in lines). From
    u(z) = r + u_g(z + r) with u_g linear in z: r = (u − u_g(z)) / (1 + s), ∂r/∂z = (ε − s) / (1 + s)
    with s the slope of u_g; likewise across the lines.
    """
    sparse = Grid(
        grid.n_lines,
        (grid.n_depths + AXIAL_STRIDE - 1) // AXIAL_STRIDE,
        grid.axial_step_m * AXIAL_STRIDE,
        grid.line_pitch_m,
        grid.start_depth_m,
    )
    truth = pair.field.truth(sparse)
    x, z = sparse.lateral_m[:, None], sparse.depth_m[None, :]
    slope = elongation.axial_strain(x)
    u = truth.axial_displacement_m.astype(np.float64)
    residual_m = (u - elongation.axial_displacement_m(x, z)) / (1.0 + slope)
    strain = (truth.axial_strain - slope) / (1.0 + slope)
    partner = z + u
    across = x + truth.lateral_displacement_m
    half_width_m = 0.5 * (grid.n_lines - 1) * grid.line_pitch_m
    outside = (
        (partner < grid.start_depth_m)
        | (partner > grid.start_depth_m + (grid.n_depths - 1) * grid.axial_step_m)
        | (np.abs(across) > half_width_m + 0.5 * grid.line_pitch_m)
    )
    lateral_m = truth.lateral_displacement_m - elongation.lateral_displacement_m(x, z + residual_m)
    left = (
        residual_m / grid.axial_step_m,
        strain,
        lateral_m / (1.0 + elongation.lateral_slope) / grid.line_pitch_m,
    )
    displacement, strain, lateral = (
        np.where(outside, np.nan, part).astype(np.float32) for part in left
    )
    return displacement, strain, lateral


def _make_block(folder: Path, seeds: range, training_set: TrainingSet) -> int:
    """Create the files of some seeds; finite elements are solved once for all seeds that share them."""
    for seed in seeds:
        kind = training_set.kind_of(seed)
        path = folder / f"{kind}_{seed:07d}.npz"
        if not path.exists():
            make_example(seed, kind, training_set).save(path)
    return len(seeds)


def make_dataset(
    folder: Path,
    *,
    pairs: int,
    first_seed: int = 0,
    workers: int = 1,
    training_set: TrainingSet = SETS["broad"],
) -> None:
    """Write ``pairs`` examples, one per seed from ``first_seed`` on, except those that already exist."""
    folder.mkdir(parents=True, exist_ok=True)
    last, size = first_seed + pairs, training_set.pairs_per_block
    blocks = [
        range(max(first_seed, start), min(last, start + size))
        for start in range(first_seed - first_seed % size, last, size)
    ]
    done = 0
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_make_block, folder, block, training_set) for block in blocks]
        for job in concurrent.futures.as_completed(jobs):
            done += job.result()
            print(f"\r{done} of {pairs} pairs", end="", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate a training set.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=1_000_000)
    parser.add_argument("--set", choices=list(SETS), default="broad", dest="set_name")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    make_dataset(
        options.folder,
        pairs=options.pairs,
        first_seed=options.first_seed,
        workers=options.workers,
        training_set=SETS[options.set_name],
    )


if __name__ == "__main__":
    main()
