"""The simulated scanner at frame rate: echoes made ahead are played forth and back."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import octave
import pytest

from rtelasto.bench.rig import free_endpoint
from rtelasto.frames.strain import StrainFrame
from rtelasto.live.run import LiveRun
from rtelasto.settings import RunSettings

pytestmark = pytest.mark.octave

WAIT_S = 120.0


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return octave.build_bridge(tmp_path_factory.mktemp("simulated"))


def test_a_press_made_ahead_goes_forth_and_back(bridge: Path) -> None:
    strains: list[StrainFrame] = []
    settings = RunSettings(
        rf=free_endpoint(),
        strain="tcp://127.0.0.1:0",
        engine="ncc",
        pair="consecutive",
        every=True,
        frames=4,
    )
    options = f"'endpoint', '{settings.rf}', 'made_ahead', 3, 'end_depth_mm', 10, 'width_mm', 8"
    with LiveRun(settings, on_strain=strains.append) as live:
        thread = threading.Thread(target=live.run)
        thread.start()
        octave.run(bridge, f"rtelasto_simulate(5, struct({options}));")
        thread.join(WAIT_S)
    pressed = []
    for strain in strains:
        tissue = np.abs(strain.grid.lateral_m[:, None]) < 3e-3
        tissue = tissue & (strain.grid.depth_m > 2e-3) & (strain.grid.depth_m < 9.5e-3)
        pressed.append(float(np.median(strain.axial_strain[tissue])))
    assert pressed == pytest.approx([-0.005, -0.005, 0.005, 0.005], abs=6e-4)


def test_one_frame_made_ahead_is_refused(bridge: Path) -> None:
    code = (
        "try, rtelasto_simulate(2, struct('made_ahead', 1)); "
        "catch problem, disp(problem.message), end"
    )
    said = octave.run(bridge, code).splitlines()[-1]
    assert said == "options.made_ahead must be 0 or at least 2, got 1"
