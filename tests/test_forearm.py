"""The real forearm recordings: the network against the classical engine on the same frames."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rtelasto.domain import FramePair, StrainFrame
from rtelasto.estimator import CpuEstimator
from rtelasto.registry import open_engine
from rtelasto.sources import open_recording

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


@pytest.mark.parametrize("name", ["rf0300_25", "rf0304_86"])
def test_cnn_tracks_the_forearm_as_well_as_ncc_and_finds_the_same_press(
    shared_data: Callable[[str], Path], name: str
) -> None:
    with open_recording(shared_data(f"deepuse_forearm/{name}.mhd")) as recording:
        frames = list(recording)
    strains: dict[str, list[StrainFrame]] = {}
    for engine in ("ncc", "cnn"):
        estimator = CpuEstimator(open_engine(engine))
        strains[engine] = [estimator(FramePair(pre, post)) for pre, post in pairwise(frames)]
    quality = {engine: np.median([s.quality for s in found]) for engine, found in strains.items()}
    assert quality["cnn"] >= quality["ncc"]
    assert quality["ncc"] > 0.9
    ours, theirs = step_strains(strains["cnn"]), step_strains(strains["ncc"])
    assert (ours < 0).all(), "the arm is pressed in every one of these steps"
    assert ours == pytest.approx(theirs, rel=0.15)
    # The network's images are calmer where the press is the same.
    calm = {
        engine: np.median([np.std(s.axial_strain[s.correlation > 0.9]) for s in found])
        for engine, found in strains.items()
    }
    assert calm["cnn"] < 0.8 * calm["ncc"]
