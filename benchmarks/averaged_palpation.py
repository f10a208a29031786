"""The averaged picture of a simulated palpation by several engines, compared with the tissue.

    python -m benchmarks.averaged_palpation

The palpation is that of `benchmarks.live_picture`, without the wire: every frame is processed, however long
it takes. ``cnn2, strain`` averages the strain of that engine instead of its measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.live_picture.palpation import PRESS_S, Palpation, judged
from rtelasto.accuracy.metrics import edge_width
from rtelasto.accuracy.tissue_regions import edge_profile
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.pattern_average import PatternAverage
from rtelasto.frames.rf import Grid, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline

PEAKS_SNR_DB = ((0.003, 15.0), (0.01, 25.0))
_SECONDS, _FRAMES_PER_S = 4.0, 20


class StrainAverages(CpuEstimator):
    """Averages strain, as with an engine whose stages are one graph."""

    def average(self, grid: Grid) -> PatternAverage:
        return PatternAverage(grid)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the pictures after the first press.

    ``error`` is the median error of the pattern, ``edge_mm`` the width of the lesion's rim, and
    ``deviations`` the error over the standard deviation shown, 0.67 if that is right.
    """

    error: float
    edge_mm: float
    deviations: float


def figures(palpation: Palpation, estimator: CpuEstimator, snr_db: float) -> Figures:
    """Process a palpation with noise, and compare every picture with the tissue at its points."""
    pipeline = Pipeline(estimator, PairPolicy.parse("adaptive"), persistence_s=1.0)
    errors, edges, deviations = [], [], []
    rf_format, rate = palpation.rf_format, palpation.frames_per_s
    for k, samples in enumerate(palpation.noisy(snr_db, 1)):
        stamp = FrameStamp(k, acquired_ns=1 + round(1e9 * k / rate))
        strain = pipeline.process(RfFrame(samples, rf_format, stamp))
        if strain is None or k < PRESS_S * rate:
            continue
        assert strain.relative_strain is not None
        assert strain.relative_strain_std is not None
        inside, at = judged(strain.grid), strain.frame_ids[0]
        picture = strain.relative_strain / np.nanmedian(strain.relative_strain[inside])
        error = np.abs(picture - palpation.pattern(at, strain.grid))
        errors.append(float(np.nanmedian(error[inside])))
        deviations.append(float(np.nanmedian((error / strain.relative_strain_std)[inside])))
        whole = np.nan_to_num(picture, nan=1.0)
        profile = edge_profile(whole, strain.grid, inside, palpation.inclusion(at))
        edges.append(1e3 * edge_width(*profile))
    return Figures(*(float(np.nanmedian(values)) for values in (errors, edges, deviations)))


def main() -> None:
    measuring = open_engine("cnn2")
    estimators = {
        "cnn-lateral": CpuEstimator(open_engine("cnn-lateral")),
        "cnn2, strain": StrainAverages(measuring),
        "cnn2": CpuEstimator(measuring),
    }
    print("peak, %  SNR, dB  engine        error, %  edge, mm  error / deviation")
    for peak, snr_db in PEAKS_SNR_DB:
        palpation = Palpation(peak, _SECONDS, _FRAMES_PER_S)
        for name, estimator in estimators.items():
            found = figures(palpation, estimator, snr_db)
            print(
                f"{100 * peak:7.1f}  {snr_db:7.0f}  {name:12s}  {100 * found.error:8.2f}"
                f"  {found.edge_mm:8.2f}  {found.deviations:17.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
