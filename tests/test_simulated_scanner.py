"""The simulated scanner at frame rate: echoes made ahead are played forth and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import octave
import pytest

pytestmark = pytest.mark.octave


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return octave.build_bridge(tmp_path_factory.mktemp("simulated"))


def test_a_press_made_ahead_goes_forth_and_back(bridge: Path) -> None:
    options = "'endpoint', 'ENDPOINT', 'made_ahead', 3, 'end_depth_mm', 10, 'width_mm', 8"
    strains, _ = octave.strain_of(bridge, f"rtelasto_simulate(5, struct({options}));", 4)
    pressed = [float(np.median(s.axial_strain[octave.tissue_of(s)])) for s in strains]
    assert pressed == pytest.approx([-0.005, -0.005, 0.005, 0.005], abs=6e-4)


def test_one_frame_made_ahead_is_refused(bridge: Path) -> None:
    code = (
        "try, rtelasto_simulate(2, struct('made_ahead', 1)); "
        "catch problem, disp(problem.message), end"
    )
    said = octave.run(bridge, code).splitlines()[-1]
    assert said == "options.made_ahead must be 0 or at least 2, got 1"
