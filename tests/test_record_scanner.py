"""A recording of the simulated scanner in Octave: the same messages and the same strain come out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import octave
import processes
import pytest
from waiting import WAIT_S
from wire_tap import Message, tap

pytest.importorskip("hdf5plugin", reason="the record extra is not installed")

from rtelasto.bench.rig import free_endpoint
from rtelasto.frames.channel import ChannelFrame
from rtelasto.frames.iq import IqFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sources import open_recording

pytestmark = pytest.mark.octave

N_FRAMES = 3
OPTIONS = "'wait', 3, 'end_depth_mm', 10, 'width_mm', 8, 'n_targets', 1000"
KINDS = {"receive": ChannelFrame, "inter": IqFrame}


@dataclass
class Scan:
    """What the scanner sent, as three that listened to it had it."""

    source: str
    messages: list[Message]
    folder: Path
    strains: list[StrainFrame]


@pytest.fixture(scope="module", params=KINDS)
def scan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    folder = tmp_path_factory.mktemp(request.param)
    bridge = octave.build_bridge(folder)
    settings = RecordSettings(folder=folder / "scan", rf=free_endpoint(), strain=free_endpoint())
    with tap(settings.rf) as listener, Recorder(settings) as recorder:
        strains, _ = octave.strain_of(
            bridge,
            f"rtelasto_simulate({N_FRAMES}, struct('endpoint', 'ENDPOINT', {OPTIONS}, "
            f"'source', '{request.param}'));",
            N_FRAMES - 1,
            rf=settings.rf,
        )
        messages = listener.take(N_FRAMES)
        assert recorder._rf.counters.wait_for("received", N_FRAMES, WAIT_S)
    assert recorder.report()["rf.recorded"] == N_FRAMES
    return Scan(request.param, messages, settings.folder, strains)


def test_what_the_scanner_sent_is_sent_again_byte_for_byte(scan: Scan) -> None:
    with open_recording(scan.folder) as recording:
        assert isinstance(recording.as_sent(0), KINDS[scan.source])
    again = free_endpoint()
    replay = ("replay", str(scan.folder), "--rf", again, "--stamp", "sent", "--wait-s", str(WAIT_S))
    with tap(again) as listener, processes.running(*replay) as process:
        assert listener.take(N_FRAMES) == scan.messages
        assert process.wait(WAIT_S) == 0


def test_the_strain_of_a_recording_is_that_of_the_live_run(scan: Scan, tmp_path: Path) -> None:
    live, offline = tmp_path / "live.h5", tmp_path / "offline.h5"
    with StrainWriter(live, None) as writer:
        for strain in scan.strains:
            writer.write(strain)
    done = processes.finish(
        "process", str(scan.folder), "-o", str(offline), "--engine=ncc", "--pair=consecutive"
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(live) as one, h5py.File(offline) as other:
        assert one["custom/frame_ids"][()].tolist() == other["custom/frame_ids"][()].tolist()
        for name in ("strain_percentage_map", "axial_displacement", "correlation"):
            path = f"tracks/track_0/data/{name}/values"
            assert np.array_equal(one[path][()], other[path][()], equal_nan=True)
