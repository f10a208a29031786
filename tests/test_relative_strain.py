"""Relative strain in every place where strain goes: Python, files, OpenIGTLink, metrics, pictures, a run."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest
from speckle import speckle_pair

import rtelasto
from rtelasto.bench.stages import timing_frames
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, PersistenceState, StrainFrame
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sources.strain_file import StrainFile
from rtelasto.telemetry.counters import Counters

FORMAT = RfFormat(
    n_lines=32, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
GRID = Grid(6, 9, 1e-4, 2e-4)
STATE = PersistenceState(seconds=1.25, frames=31, presses=2, age_s=0.5)


@pytest.fixture(scope="module")
def press() -> list[np.ndarray]:
    """Three frames, each compressed by 0.5 % from the one before."""
    return [frame.samples for frame in timing_frames(FORMAT)]


def strain_frame(k: int, *, relative: bool = True) -> StrainFrame:
    rng = np.random.default_rng(k)
    image = rng.normal(-0.01, 1e-3, GRID.shape).astype(np.float32)
    averaged = rng.uniform(0.3, 3.0, GRID.shape).astype(np.float32)
    averaged[0, 0] = np.nan
    frame = StrainFrame(
        image, image * 1e-3, np.full(GRID.shape, 0.9, np.float32), GRID, (k, k + 1), 1000 * (k + 1)
    )
    if not relative:
        return frame
    return frame.replace(
        relative_strain=averaged, relative_strain_std=0.1 * averaged, persistence=STATE
    )


def test_a_stream_of_arrays_gives_relative_strain(press: list[np.ndarray]) -> None:
    counters = Counters()
    shown = list(
        rtelasto.stream(
            iter(press),
            FORMAT,
            frame_rate_hz=50.0,
            engine="ncc",
            pair="consecutive",
            counters=counters,
        )
    )
    assert [frame.frame_ids for frame in shown] == [(0, 1), (1, 2)]
    assert [frame.acquired_ns for frame in shown] == [40_000_000, 60_000_000]
    assert counters.snapshot() == {"pair.first": 1, "strain.out": 2}
    last = shown[-1]
    assert last.relative_strain is not None
    assert last.relative_strain_std is not None
    assert np.nanmedian(last.relative_strain) == pytest.approx(1.0, abs=0.05)
    assert last.persistence is not None
    assert last.persistence.frames == 2
    assert last.persistence.presses == 1


def test_a_stream_takes_one_frame_at_a_time(press: list[np.ndarray]) -> None:
    taken = []

    def frames():  # type: ignore[no-untyped-def]
        for k, samples in enumerate(press):
            taken.append(k)
            yield samples

    stream = rtelasto.stream(frames(), FORMAT, engine="ncc")
    assert taken == []
    next(stream)
    assert taken == [0, 1]


def test_a_stream_of_frames_keeps_their_ids_and_times(press: list[np.ndarray]) -> None:
    frames = [
        RfFrame(s, FORMAT, FrameStamp(10 + k, 7_000_000_000 + k * 10**7))
        for k, s in enumerate(press)
    ]
    shown = list(rtelasto.stream(frames, FORMAT, engine="ncc", pair="lag 2", persistence_s=0.0))
    assert [(frame.frame_ids, frame.acquired_ns) for frame in shown] == [((10, 12), 7_020_000_000)]
    assert (shown[0].relative_strain, shown[0].persistence) == (None, None)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"frame_rate_hz": 0.0}, "frame_rate_hz"),
        ({"persistence_s": -1.0}, "persistence_s"),
        ({"pair": "sometimes"}, "sometimes"),
        ({"max_lag_s": 0.0}, "max_lag_s"),
        ({"engine": "magic"}, "magic"),
    ],
)
def test_a_stream_refuses_what_cannot_be_at_the_call(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(RtelastoError, match=named):
        rtelasto.stream([], FORMAT, **wrong)  # type: ignore[arg-type]


def test_a_stream_names_the_frame_that_is_of_another_shape(press: list[np.ndarray]) -> None:
    with pytest.raises(RtelastoError, match="frame 1: samples has shape"):
        list(rtelasto.stream([press[0], press[1].T], FORMAT, engine="ncc"))


@pytest.mark.parametrize("first_has_it", [True, False])
def test_a_strain_file_keeps_it(tmp_path: Path, first_has_it: bool) -> None:
    path = tmp_path / "strain.h5"
    frames = [
        strain_frame(0, relative=first_has_it),
        strain_frame(1),
        strain_frame(2, relative=False),
    ]
    with StrainWriter(path, FORMAT) as writer:
        for frame in frames:
            writer.write(frame)
    with StrainFile(path) as strain:
        assert strain.has_relative_strain == first_has_it
        read = list(strain)
    if not first_has_it:
        assert all(frame.relative_strain is None for frame in read)
        return
    for found, wanted in zip(read[:2], frames[:2], strict=True):
        np.testing.assert_array_equal(found.relative_strain, wanted.relative_strain)
        np.testing.assert_array_equal(found.relative_strain_std, wanted.relative_strain_std)
        assert found.persistence == wanted.persistence
    assert np.isnan(read[2].relative_strain).all()
    assert read[2].persistence is not None
    assert math.isnan(read[2].persistence.age_s)


def test_a_strain_file_whose_persistence_is_damaged_is_refused_in_a_line(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "strain.h5"
    with StrainWriter(path, FORMAT) as writer:
        writer.write(strain_frame(0))
    with h5py.File(path, "r+") as file:
        file["custom/persistence/frames"].resize(3, axis=0)
    with pytest.raises(RtelastoError, match="persistence/frames has shape"):
        StrainFile(path)


@pytest.mark.slow
def test_processing_a_recording_keeps_it_and_shows_it(
    tmp_path: Path, press: list[np.ndarray]
) -> None:
    pytest.importorskip("matplotlib")
    from rtelasto.offline.process import process_recording
    from rtelasto.settings import EstimateSettings
    from rtelasto.sources import open_recording

    with RecordingWriter(tmp_path / "press.h5", FORMAT, frame_rate_hz=20.0) as writer:
        for k in range(8):
            writer.write(RfFrame(press[(0, 1, 2, 1)[k % 4]], FORMAT, FrameStamp(k)))
    settings = EstimateSettings(engine="ncc")
    with open_recording(tmp_path / "press.h5") as recording:
        process_recording(recording, tmp_path / "strain.h5", settings, png=tmp_path / "strain.png")
    with StrainFile(tmp_path / "strain.h5") as strain:
        assert strain.has_relative_strain
        last = strain.frame(strain.n_frames - 1)
    assert np.nanmedian(last.relative_strain) == pytest.approx(1.0, abs=0.05)
    assert last.persistence is not None
    assert last.persistence.presses == 2
    assert (tmp_path / "strain.png").stat().st_size > 10_000


def test_a_picture_shows_relative_strain_where_it_is_certain(press: list[np.ndarray]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.colors import LogNorm

    from rtelasto.sinks.picture import Drawing

    grid = Grid(32, 96, FORMAT.axial_step_m * 8, FORMAT.line_pitch_m)
    image = np.full(grid.shape, 1e-6, np.float32)
    relative = np.ones(grid.shape, np.float32)
    relative[:, :20], relative[:, 20:40] = np.nan, 9.0
    std = np.where(np.arange(96) < 60, 0.1, 0.7) * np.ones(grid.shape)
    # A pair at rest, which correlates best of all: what it shows rests on the presses before.
    frame = StrainFrame(
        image, image, np.ones(grid.shape, np.float32), grid, quality=1.0, applied_strain=1e-6
    ).replace(
        relative_strain=relative, relative_strain_std=std.astype(np.float32), persistence=STATE
    )
    drawing = Drawing(frame, RfFrame(press[0], FORMAT))
    shown = drawing.figure.axes[1].images[-1]
    assert isinstance(shown.norm, LogNorm)
    assert (shown.norm.vmin, shown.norm.vmax) == (0.25, 4.0)
    mask = np.ma.getmaskarray(shown.get_array())
    assert mask[:20].all()
    assert not mask[20:60].any()
    assert mask[60:].all()
    assert "31 pairs of 2 presses, 0.5 s old" in drawing.figure.get_suptitle()
    drawing.update(frame.replace(relative_strain=0.5 * relative), RfFrame(press[0], FORMAT))
    assert drawing.figure.axes[1].images[-1].get_array()[50, 3] == 0.5


def test_open_igt_link_sends_it_as_a_device_of_its_own() -> None:
    pytest.importorskip("pyigtl")
    from rtelasto.outputs.openigtlink import image_messages
    from rtelasto.wire.strain import decode_strain, encode_strain

    def devices(frame: StrainFrame) -> list[bytes]:
        message = decode_strain([bytes(p) for p in encode_strain(frame, stream="s", seq=0)])
        return [packed[14:34].rstrip(b"\0") for packed in image_messages(message, 0)]

    assert devices(strain_frame(0)) == [b"Strain", b"RelativeStrain"]
    assert devices(strain_frame(0, relative=False)) == [b"Strain"]


def test_metrics_tell_what_the_picture_rests_on() -> None:
    client = pytest.importorskip("prometheus_client.parser")
    from urllib.request import urlopen

    from rtelasto.live.shared_counters import SharedState
    from rtelasto.telemetry.prometheus import MetricsServer

    _, _, pulse = SharedState().open()
    with MetricsServer(0, Counters(), pulse.gauges, dict) as server:
        pulse.show(strain_frame(0))
        with urlopen(server.address, timeout=60.0) as answer:
            text = answer.read().decode()
    found = {
        sample.name: sample.value
        for family in client.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["rtelasto_persistence_frames"] == 31
    assert found["rtelasto_persistence_presses"] == 2
    assert found["rtelasto_persistence_age_seconds"] == 0.5
    assert 0.0 < found["rtelasto_relative_strain_std"] < 0.5


def test_a_subscriber_of_a_run_gets_it(press: list[np.ndarray]) -> None:
    from rtelasto.live.run import LiveRun
    from rtelasto.settings import RunSettings
    from rtelasto.transport.receivers import StrainReceiver
    from rtelasto.transport.rf_sender import RfSender

    with RfSender("tcp://127.0.0.1:0") as sender:
        settings = RunSettings(rf=sender.endpoint, strain="tcp://127.0.0.1:0", engine="ncc")
        with (
            LiveRun(settings) as live,
            StrainReceiver(live.strain_endpoint, policy="every") as receiver,
        ):
            stop = threading.Event()
            running = threading.Thread(target=live.run, args=(stop,))
            running.start()
            try:
                assert receiver.counters.wait_for("statuses", 1, 60.0)
                assert sender.wait_for_subscriber(60.0)
                for k in range(4):
                    sender.send(press[(0, 1, 2, 1)[k]], FORMAT)
                    assert live.counters.wait_for("received", k + 1, 60.0)
                message = receiver.get(60.0)
            finally:
                stop.set()
                running.join(60.0)
    assert message is not None
    assert message.header["schema"] == "rtelasto/1.2"
    assert 0.0 <= message.frame.poor_share <= 1.0
    assert message.frame.relative_strain is not None
    assert np.nanmedian(message.frame.relative_strain) == pytest.approx(1.0, abs=0.05)
    assert message.frame.persistence is not None
    assert message.frame.persistence.frames >= 1


def test_a_probe_that_was_moved_begins_the_picture_anew() -> None:
    def at(seed: int) -> list[np.ndarray]:
        pair = speckle_pair(
            np.random.default_rng(seed), rf_format=FORMAT, elongation=Elongation(axial_slope=-0.006)
        )
        return [pair.pre.samples, pair.post.samples]

    here, there = at(1), at(2)
    frames = [here[k % 2] for k in range(12)] + [there[k % 2] for k in range(6)]
    shown = {
        frame.frame_ids: frame.persistence
        for frame in rtelasto.stream(frames, FORMAT, frame_rate_hz=20.0, engine="ncc")
    }
    before = [state for ids, state in shown.items() if ids[1] < 12]
    after = [state for ids, state in shown.items() if ids[1] >= 13]
    assert all(ids[0] >= 12 for ids in shown if ids[1] >= 13)
    assert before[-1] is not None
    assert before[-1].frames >= 8
    assert after[0] is not None
    assert after[0].frames == 1
