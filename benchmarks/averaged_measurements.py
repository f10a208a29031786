"""Averages of several pairs: of their strain, and of their measurement before strain is computed from it.

    python -m benchmarks.averaged_measurements

Held-out tissues of the published kind are pressed by 0.5 %, with echoes at 15 dB and a tenth of the
scatterers replaced between the frames. Every pair of a tissue has the same motion and other echoes. Stage 1
of a network measures each of them. Either stage 2 computes the strain of every pair, and the strains are
averaged by their precision; or the measurements are averaged, and stage 2 computes one strain from that.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtelasto.accuracy.tissues import FIRST_SEED
from rtelasto.cpu.resample import engine_grid
from rtelasto.cpu.staged_engine import StagedEngine
from rtelasto.frames.strain import Elongation, MeasuredMotion, StretchedPair
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines.simulate.fem import solve
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair
from rtelasto_engines.simulate.tissue import published_tissue
from rtelasto_engines.training.dataset import (
    COUNTS_PER_RMS,
    SAMPLES_PER_WAVELENGTH,
    stretched_example,
)
from rtelasto_engines.training.sets import StretchError

PAIRS = (1, 2, 4, 8, 16)
_STRAIN, _ECHO_SNR_DB, _REPLACED_SHARE = -0.005, 15.0, 0.1
# Depths at either end that are not scored, in samples.
_BORDER = 128

Image = NDArray[np.float32]


def average(measurements: Sequence[MeasuredMotion]) -> MeasuredMotion:
    """Return the average of measurements of the same motion.

    Displacements are weighted by precision, precisions are added, and residuals have equal weights.
    """
    precision = np.stack([m.precision for m in measurements])
    weight = precision + 1e-6

    def weighted(images: list[Image]) -> Image:
        return ((weight * np.stack(images)).sum(0) / weight.sum(0)).astype(np.float32)

    return dataclasses.replace(
        measurements[0],
        displacement=weighted([m.displacement for m in measurements]),
        lateral=weighted([m.lateral for m in measurements]),
        precision=precision.sum(0),
        residual=np.stack([m.residual for m in measurements]).mean(0),
    )


def weighted_strain(strain: NDArray[np.float32], std: NDArray[np.float32]) -> Image:
    """Return the mean of strains (pairs, lines, depths), weighted by their precision."""
    weight = 1.0 / np.square(std)
    return np.asarray((weight * strain).sum(0) / weight.sum(0), np.float32)


def stretched(pair: SimulatedPair, rng: np.random.Generator) -> tuple[StretchedPair, Image]:
    """Return a pair without its true global motion, and the strain that is left.

    The stretch is the same for all pairs of a motion, so that their measurements can be averaged.
    """
    example = stretched_example(pair, rng, pair.format, StretchError(0.0, 0.0, 0.0))
    pre, post = (x.astype(np.float32) / COUNTS_PER_RMS for x in (example.pre, example.post))
    grid = engine_grid(pair.format, SAMPLES_PER_WAVELENGTH)
    # The engine does not use the elongation.
    whole = StretchedPair(pre, post, grid, Elongation(), SAMPLES_PER_WAVELENGTH)
    return whole, example.strain


def error_percent(found: Image, truth: Image) -> float:
    """Return the RMSE of the strain in percent, away from the ends of the lines."""
    depths = min(found.shape[1], truth.shape[1])
    inner = slice(_BORDER // 4, depths - _BORDER // 4)
    error = (found[:, :depths] - truth[:, :depths])[:, inner]
    return 100.0 * float(np.sqrt(np.nanmean(np.square(error))))


def errors(engine: StagedEngine, seed: int) -> dict[int, tuple[float, float]]:
    """Return the errors by number of pairs of a tissue: averaged strains, and strain of the average."""
    rng = np.random.default_rng(seed)
    motion = solve(published_tissue(rng))
    found, measured = [], []
    for _ in range(max(PAIRS)):
        pair = simulate_pair(
            rng,
            "published",
            motion=motion,
            applied_strain=_STRAIN,
            echo_snr_db=_ECHO_SNR_DB,
            replaced_share=_REPLACED_SHARE,
        )
        whole, truth = stretched(pair, np.random.default_rng(seed))
        result = engine.estimate(whole)
        assert result.measured is not None
        found.append((result.axial_strain, result.axial_strain_std))
        measured.append(result.measured)
    strain, std = (np.stack(images) for images in zip(*found, strict=True))
    n_depths = strain.shape[-1]
    return {
        n: (
            error_percent(weighted_strain(strain[:n], std[:n]), truth),
            error_percent(engine.strain_of(average(measured[:n]), n_depths)[0], truth),
        )
        for n in PAIRS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default="cnn2", help="one of two stages")
    parser.add_argument("--tissues", type=int, default=4)
    options = parser.parse_args()
    engine = open_engine(options.engine)
    if not isinstance(engine, StagedEngine):
        parser.error(f"--engine {options.engine}: its stages are no files of their own")
    tissues = [errors(engine, FIRST_SEED + k) for k in range(options.tissues)]
    print("pairs  mean of strains, RMSE %  strain of mean measurement, RMSE %")
    for n in PAIRS:
        strains, together = np.median([tissue[n] for tissue in tissues], axis=0)
        print(f"{n:5d}  {strains:23.4f}  {together:34.4f}")


if __name__ == "__main__":
    main()
