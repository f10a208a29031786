"""The real forearm recordings: the network against the classical engine on the same frames."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rtelasto.accuracy.compare import Competitor
from rtelasto.accuracy.recordings import score_recording
from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.frames.rf import FramePair
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.engines import open_engine
from rtelasto.sources import open_recording

pytestmark = pytest.mark.slow

# The last 77 of 2000 rows of these recordings are zero.
RECORDED = 1923 / 2000


def step_strains(frames: list[StrainFrame]) -> np.ndarray:
    """Slope of displacement over recorded depth, least squares, mean over the lines; per pair."""
    slopes = []
    for frame in frames:
        n = int(RECORDED * frame.grid.n_depths)
        depth_m = frame.grid.depth_m[:n] - frame.grid.depth_m[:n].mean()
        lines = frame.axial_displacement_m[:, :n] @ depth_m / (depth_m @ depth_m)
        slopes.append(float(lines.mean()))
    return np.array(slopes)


@pytest.mark.parametrize("network", ["cnn-lateral", "cnn"])
@pytest.mark.parametrize("name", ["rf0300_25", "rf0304_86"])
def test_networks_track_the_forearm_as_well_as_ncc_and_find_the_same_press(
    shared_data: Callable[[str], Path], name: str, network: str
) -> None:
    with open_recording(shared_data(f"deepuse_forearm/{name}.mhd")) as recording:
        frames = list(recording)
    strains: dict[str, list[StrainFrame]] = {}
    for engine in ("ncc", network):
        estimator = CpuEstimator(open_engine(engine))
        strains[engine] = [estimator(FramePair(pre, post)) for pre, post in pairwise(frames)]
    quality = {engine: np.median([s.quality for s in found]) for engine, found in strains.items()}
    assert quality[network] >= quality["ncc"]
    assert quality["ncc"] > 0.9
    ours, theirs = step_strains(strains[network]), step_strains(strains["ncc"])
    assert (ours < 0).all(), "the arm is pressed in every one of these steps"
    assert ours == pytest.approx(theirs, rel=0.15)


@pytest.mark.parametrize("network", ["cnn-lateral", "cnn"])
@pytest.mark.parametrize("name", ["rf0300_25", "rf0304_86"])
def test_networks_are_calmer_than_the_classics_and_cnn_agrees_better_with_itself(
    shared_data: Callable[[str], Path], name: str, network: str
) -> None:
    """In windows where all engines together see even strain, and from one pair to the next."""
    competitors = [Competitor(open_engine(engine), engine) for engine in (network, "ncc", "am")]
    scores = score_recording(shared_data(f"deepuse_forearm/{name}.mhd"), competitors)

    def median(engine: str, figure: str) -> float:
        values = [s.values[figure] for s in scores if s.column.own and s.column.label == engine]
        return float(np.nanmedian(values))

    for classic in ("ncc", "am"):
        assert median(network, "strain_snr_db") > median(classic, "strain_snr_db") + 1.5
    # What cnn-lateral shows of thin layers also differs more from one pair to the next.
    if network == "cnn":
        assert median(network, "consistency") > median("ncc", "consistency") + 0.03
