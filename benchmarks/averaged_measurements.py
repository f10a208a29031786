"""Averages of several pairs: of their strain, and of their measurement before strain is computed from it.

    python -m benchmarks.averaged_measurements [TRACKING.onnx STRAIN.onnx]

Held-out tissues of the published kind are pressed by 0.5 %, with echoes at 15 dB and a tenth of the
scatterers replaced between the frames. Every pair of a tissue has the same motion and other echoes. Stage 1
of a network measures each of them. Either stage 2 computes the strain of every pair, and the strains are
averaged by their precision; or the measurements are averaged, and stage 2 computes one strain from that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rtelasto.accuracy.tissues import FIRST_SEED
from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.resample import engine_grid, resample_frame
from rtelasto_engines import shipped_models
from rtelasto_engines.simulate.fem import solve
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair
from rtelasto_engines.simulate.tissue import published_tissue
from rtelasto_engines.training.dataset import (
    COUNTS_PER_RMS,
    SAMPLES_PER_WAVELENGTH,
    global_fit,
    residual_truth,
)

PAIRS = (1, 2, 4, 8, 16)
ENGINE = "cnn2"
_STRAIN, _ECHO_SNR_DB, _REPLACED_SHARE = -0.005, 15.0, 0.1
# Depths at either end that are not scored, in samples.
_BORDER = 128

Image = NDArray[np.float32]
Images = dict[str, Image]


class Stages:
    """Both stages of a network as ONNX graphs.

    Parameters
    ----------
    tracking, strain
        The files that `rtelasto_engines.export.export_stages` writes.
    """

    def __init__(self, tracking: Path, strain: Path) -> None:
        self._tracking, self._strain = (
            ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            for path in (tracking, strain)
        )

    def measure(self, pre: Image, post: Image) -> Images:
        """Return the measurement of a pair, by the names of the first graph's outputs."""
        return _run(self._tracking, {"pre": pre, "post": post})

    def strain(self, measured: Images) -> Images:
        """Return the outputs of the network for a measurement, or for an average of several."""
        return _run(self._strain, measured)


def _run(session: ort.InferenceSession, inputs: Images) -> Images:
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def average(measurements: Sequence[Images]) -> Images:
    """Return the average of measurements of the same motion.

    Displacements are weighted by precision, precisions are added, and residuals have equal weights.
    """
    precision = np.stack([m["measured_precision"] for m in measurements])
    weight = precision + 1e-6
    found: Images = {"measured_precision": precision.sum(0)}
    for name in ("measured_displacement", "measured_lateral"):
        images = np.stack([m[name] for m in measurements])
        found[name] = ((weight * images).sum(0) / weight.sum(0)).astype(np.float32)
    residuals = np.stack([m["measured_residual"] for m in measurements])
    found["measured_residual"] = residuals.mean(0)
    return found


def weighted_strain(results: Sequence[Images]) -> Image:
    """Return the mean of the strains, weighted by their precision."""
    weight = np.stack([1.0 / np.square(r["strain_std"]) for r in results])
    strain = np.stack([r["strain"] for r in results])
    return np.asarray((weight * strain).sum(0) / weight.sum(0), np.float32)


def stretched(pair: SimulatedPair) -> tuple[Image, Image, Image]:
    """Return the frames of a pair on the network's grid with its true global motion removed, and the strain.

    The stretch is the same for all pairs of a motion, so that their measurements can be averaged.
    """
    grid = engine_grid(pair.format, SAMPLES_PER_WAVELENGTH)
    elongation = global_fit(pair, grid)
    before, after = echoes(pair.pre, pair.format), echoes(pair.post, pair.format)
    pre, energy_pre = resample_frame(before, pair.format, grid)
    post, energy_post = resample_frame(after, pair.format, grid, elongation)
    scale = 1.0 / np.sqrt((energy_pre + energy_post) / (2.0 * pre.size))
    _, strain, _ = residual_truth(pair, grid, elongation)
    # As whole counts, like the pairs of the training.
    frames = (np.rint(frame * scale * COUNTS_PER_RMS) / COUNTS_PER_RMS for frame in (pre, post))
    first, second = (frame.astype(np.float32) for frame in frames)
    return first, second, strain


def error_percent(found: Image, truth: Image) -> float:
    """Return the RMSE of the strain in percent, away from the ends of the lines."""
    depths = min(found.shape[1], truth.shape[1])
    inner = slice(_BORDER // 4, depths - _BORDER // 4)
    error = (found[:, :depths] - truth[:, :depths])[:, inner]
    return 100.0 * float(np.sqrt(np.nanmean(np.square(error))))


def errors(stages: Stages, seed: int) -> dict[int, tuple[float, float]]:
    """Return the errors by number of pairs of a tissue: averaged strains, and strain of the average."""
    rng = np.random.default_rng(seed)
    motion = solve(published_tissue(rng))
    measured = []
    truth = np.empty((0, 0), np.float32)
    for _ in range(max(PAIRS)):
        pair = simulate_pair(
            rng,
            "published",
            motion=motion,
            applied_strain=_STRAIN,
            echo_snr_db=_ECHO_SNR_DB,
            replaced_share=_REPLACED_SHARE,
        )
        pre, post, truth = stretched(pair)
        measured.append(stages.measure(pre, post))
    single = [stages.strain(m) for m in measured]
    found = {}
    for n in PAIRS:
        together = stages.strain(average(measured[:n]))["strain"]
        found[n] = (
            error_percent(weighted_strain(single[:n]), truth),
            error_percent(together, truth),
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stages", type=Path, nargs="*", metavar="ONNX", help="both stages")
    parser.add_argument("--tissues", type=int, default=4)
    options = parser.parse_args()
    paths = options.stages or shipped_models()[ENGINE].stages
    if len(paths) != 2:
        parser.error(f"must name both stages or neither, got {len(paths)} file(s)")
    stages = Stages(*paths)
    tissues = [errors(stages, FIRST_SEED + k) for k in range(options.tissues)]
    print("pairs  mean of strains, RMSE %  strain of mean measurement, RMSE %")
    for n in PAIRS:
        strains, together = np.median([tissue[n] for tissue in tissues], axis=0)
        print(f"{n:5d}  {strains:23.4f}  {together:34.4f}")


if __name__ == "__main__":
    main()
