"""The averaged picture of a simulated palpation by several engines, compared with the tissue.

    python -m benchmarks.averaged_palpation

The palpation and its judge are those of `benchmarks.live_picture`, without the wire: every frame is
processed, however long it takes. ``cnn2, strain`` averages the strain of that engine instead of its
measurements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.live_picture.judge import averaged, figures
from benchmarks.live_picture.palpation import PRESS_S, Palpation, judged
from benchmarks.live_picture.watch import Watched
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.pattern_average import PatternAverage
from rtelasto.frames.rf import Grid, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.engines import open_engine
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline

PEAKS_SNR_DB = ((0.003, 15.0), (0.01, 25.0))
_SECONDS, _FRAMES_PER_S = 4.0, 20


class StrainAverages(CpuEstimator):
    """Averages strain, as with an engine whose stages are one graph."""

    def average(self, grid: Grid) -> PatternAverage:
        return PatternAverage(grid)


def processed(palpation: Palpation, estimator: CpuEstimator, snr_db: float) -> Watched:
    """Process every frame of a palpation with noise; the strain frames are of no age."""
    pipeline = Pipeline(estimator, PairPolicy.parse("adaptive"), persistence_s=1.0)
    found: list[StrainFrame] = []
    times_s: list[float] = []
    for k, samples in enumerate(palpation.noisy(snr_db, 1)):
        time_s = k / palpation.frames_per_s
        stamp = FrameStamp(k, acquired_ns=1 + round(1e9 * time_s))
        strain = pipeline.process(RfFrame(samples, palpation.rf_format, stamp))
        if strain is not None:
            found.append(strain)
            times_s.append(time_s)
    return Watched(found, np.array(times_s), np.zeros(len(found)), pipeline.counters.snapshot())


def deviations(palpation: Palpation, frames: Sequence[StrainFrame]) -> float:
    """Return the median error over the standard deviation shown, 0.67 if that is right."""
    medians = []
    for frame in frames:
        pattern, std = frame.relative_strain, frame.relative_strain_std
        assert pattern is not None
        assert std is not None
        inside, at = judged(frame.grid), frame.frame_ids[0]
        if at < PRESS_S * palpation.frames_per_s:
            continue
        away = np.abs(pattern / np.nanmedian(pattern[inside]) - palpation.pattern(at, frame.grid))
        medians.append(float(np.nanmedian((away / std)[inside])))
    return float(np.median(medians))


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
            seen = processed(palpation, estimator, snr_db)
            found = figures(palpation, seen, 1, averaged)
            print(
                f"{100 * peak:7.1f}  {snr_db:7.0f}  {name:12s}  {found.error_percent:8.2f}"
                f"  {found.edge_mm:8.2f}  {deviations(palpation, seen.frames):17.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
