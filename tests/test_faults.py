"""Every fault of ``benchmarks.faults`` on a live run of small frames: strain flows again, all is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import FAULTS
from benchmarks.faults.fault import Fault, rig_of
from benchmarks.faults.rig import FaultRig
from benchmarks.faults.trial import try_fault
from rtelasto.frames.rf import RfFormat

pytestmark = pytest.mark.faults

FORMAT = RfFormat(
    n_lines=32, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
FPS = 20.0
# A little longer than a machine that does not answer is borne.
LONG_S = 2.5


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    """One run for all faults that need nothing special, so that it meets them one after the other."""
    with FaultRig(tmp_path_factory.mktemp("run"), rf_format=FORMAT, fps=FPS, engine="ncc") as rig:
        yield rig


def complaints(fault: Fault, rig: FaultRig) -> list[str]:
    outcome = try_fault(fault, rig, LONG_S)
    found = outcome.complaints()
    return [*found, str(outcome)] if found else []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_strain_flows_again_and_every_frame_is_accounted_for(
    fault: Fault, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    obstacle = fault.needs()
    if obstacle:
        pytest.skip(obstacle)
    if fault.setting is None:
        assert not complaints(fault, request.getfixturevalue("shared_rig"))
        return
    with rig_of(fault, tmp_path, rf_format=FORMAT, fps=FPS, engine="ncc") as rig:
        assert not complaints(fault, rig)
