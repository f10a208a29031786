"""The picture of a noisy palpation: an average of measurements against one of strain, by the same engine."""

from __future__ import annotations

import pytest

pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

from benchmarks.averaged_palpation import StrainAverages, deviations, processed
from benchmarks.live_picture.judge import averaged, figures
from benchmarks.live_picture.palpation import SMALL_FORMAT, Palpation
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.measured_average import MeasuredAverage
from rtelasto.frames.rf import Grid
from rtelasto.pipeline.engines import open_engine

pytestmark = pytest.mark.slow


def test_an_average_of_measurements_is_nearer_to_the_tissue_and_sharper() -> None:
    palpation = Palpation(0.003, 3.0, 20, SMALL_FORMAT)
    engine = open_engine("cnn2")
    measuring = CpuEstimator(engine)
    assert isinstance(measuring.average(Grid(8, 32, 1e-4, 3e-4)), MeasuredAverage)
    seen = [processed(palpation, by, 15.0) for by in (StrainAverages(engine), measuring)]
    of_strain, of_measurements = (figures(palpation, found, 1, averaged) for found in seen)
    assert of_measurements.error_percent < 0.95 * of_strain.error_percent
    assert of_measurements.edge_mm < 0.9 * of_strain.edge_mm
    # Half of a Gaussian's errors are within 0.67 of its standard deviation.
    assert 0.3 < deviations(palpation, seen[1].frames) < 1.3
