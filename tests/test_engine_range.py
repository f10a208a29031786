"""How far the default engine reaches: strain, slip across the lines, frames that do not match."""

from __future__ import annotations

import numpy as np
import pytest

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.frames.strain import DEFAULT_ENGINE, StrainFrame
from rtelasto.pipeline.engines import open_engine

pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

from rtelasto_engines.simulate.fem import TissueMotion, solve
from rtelasto_engines.simulate.pair import SimulatedPair, simulate_pair
from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT
from rtelasto_engines.simulate.tissue import Inclusion, Tissue

# Away from where tissue may leave the image: 8 lines, and the depth that 5 % of 50 mm push out of it.
INSIDE = np.s_[8:-8, 40:-60]


@pytest.fixture(scope="module")
def estimator() -> CpuEstimator:
    return CpuEstimator(open_engine(DEFAULT_ENGINE))


@pytest.fixture(scope="module")
def tissue() -> TissueMotion:
    return solve(Tissue(inclusions=(Inclusion(0.0, 25e-3, 5e-3, 5e-3, young_kpa=80.0),)))


def press(tissue: TissueMotion, applied_strain: float, slip_lines: float) -> SimulatedPair:
    field = tissue.field(applied_strain=applied_strain)
    field = field.plus_affine(lateral_offset_m=slip_lines * PUBLISHED_FORMAT.line_pitch_m)
    return simulate_pair(7, "published", field=field, echo_snr_db=25.0, truth_stride=16)


def run(estimator: CpuEstimator, pre: np.ndarray, post: np.ndarray) -> StrainFrame:
    return estimator(FramePair(RfFrame(pre, PUBLISHED_FORMAT), RfFrame(post, PUBLISHED_FORMAT)))


@pytest.mark.slow
@pytest.mark.parametrize("slip_lines", [0.0, -4.0])
@pytest.mark.parametrize("applied_strain", [-0.0005, -0.01, -0.05])
def test_half_a_thousandth_to_five_percent_and_four_lines_of_slip(
    estimator: CpuEstimator, tissue: TissueMotion, applied_strain: float, slip_lines: float
) -> None:
    pair = press(tissue, applied_strain, slip_lines)
    frame = run(estimator, pair.pre, pair.post)
    truth = pair.field.truth(frame.grid)
    error = np.abs(frame.axial_displacement_m - truth.axial_displacement_m)[INSIDE]
    strain_error = np.abs(frame.axial_strain - truth.axial_strain)[INSIDE]
    assert np.median(error) < 0.03 * PUBLISHED_FORMAT.axial_step_m
    assert np.quantile(error, 0.95) < 0.2 * PUBLISHED_FORMAT.axial_step_m
    assert np.median(strain_error) < 0.0001 + 0.02 * abs(applied_strain)
    assert frame.quality > 0.95


@pytest.mark.slow
def test_frames_that_do_not_match_are_marked(estimator: CpuEstimator, tissue: TissueMotion) -> None:
    pair = press(tissue, -0.01, 0.0)
    unrelated = np.random.default_rng(3).permutation(pair.post, axis=0)
    frame = run(estimator, pair.pre, unrelated)
    assert frame.quality < 0.5
    # Pictures hide strain where the correlation is below 0.7.
    assert np.mean(frame.correlation < 0.7) > 0.95
