"""The live run: real senders, real sockets, real processes, and every frame accounted for."""

from __future__ import annotations

import dataclasses
import signal
import threading
from pathlib import Path

import numpy as np
import processes
import pytest
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.bench.stages import timing_frames
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.live.run import LiveReport, LiveRun
from rtelasto.settings import RunSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.telemetry.counters import unaccounted
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.rf_sender import RfSender

FORMAT = RfFormat(
    n_lines=32, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
DEEPER = RfFormat(
    n_lines=32, n_samples=1024, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)


@pytest.fixture(scope="module")
def frames() -> list[RfFrame]:
    return timing_frames(FORMAT)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, frames: list[RfFrame]) -> Path:
    path = tmp_path_factory.mktemp("recording") / "press.h5"
    with RecordingWriter(path, FORMAT, frame_rate_hz=20.0) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize(
    ("number", "engine"),
    [
        (signal.SIGINT, "ncc"),
        pytest.param(signal.SIGTERM, "ncc", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "cnn", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "cnn", marks=pytest.mark.slow),
    ],
)
def test_run_fed_by_replay_accounts_for_every_frame(
    recording: Path, number: signal.Signals, engine: str
) -> None:
    rf, strain = free_endpoint(), free_endpoint()
    with (
        StrainReceiver(strain, policy="every") as receiver,
        processes.running(
            "run",
            "--rf",
            rf,
            "--strain",
            strain,
            "--engine",
            engine,
            "--every",
            "--pair",
            "consecutive",
        ) as run,
    ):
        # A status message shows that the engine is loaded and that the pipeline hears us.
        assert receiver.counters.wait_for("statuses", 1, WAIT_S)
        replay = processes.start(
            "replay", str(recording), "--rf", rf, "--fps", "50", "--repeat", "10", "--wait-s", "60"
        )
        received = []
        while len(received) < 29 and (message := receiver.get(WAIT_S)) is not None:
            received.append(message)
        sent = processes.table(replay.communicate(timeout=WAIT_S)[0])
        run.send_signal(number)
        output, errors = run.communicate(timeout=WAIT_S)
    assert run.returncode == 0, errors
    assert sent["frames sent"] == "30"
    rows = processes.table(output)
    assert rows["RF frames in"] == "30"
    assert rows["strain frames out"] == "29"
    assert rows["pair.first"] == "1"
    assert [message.frame.frame_ids for message in received] == [(i, i + 1) for i in range(29)]
    assert [message.seq for message in received] == list(range(29))
    first = received[0]
    assert np.median(first.frame.axial_strain) == pytest.approx(-0.005, abs=5e-4)
    assert first.clock == "monotonic"
    assert first.frame.acquired_ns < first.frame.published_ns
    assert {"stretch", "engine", "quality", "total"} <= set(first.frame.stage_ns)


class Live:
    """A live run on a thread of the test, with a sender in front of it."""

    def __init__(self, **settings: object) -> None:
        self.sender = RfSender("tcp://127.0.0.1:0")
        self.live = LiveRun(
            RunSettings(
                rf=self.sender.endpoint,
                strain="tcp://127.0.0.1:0",
                **{"engine": "ncc", "every": True, **settings},  # type: ignore[arg-type]
            )
        )
        self.stop = threading.Event()
        self.report: LiveReport | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.sender.wait_for_subscriber(WAIT_S)

    def _run(self) -> None:
        self.report = self.live.run(self.stop)

    def finish(self) -> LiveReport:
        self.stop.set()
        self._thread.join(WAIT_S)
        self.live.close()
        self.sender.close()
        assert self.report is not None
        return self.report

    def wait_for(self, counter: str, count: int) -> None:
        assert self.live.counters.wait_for(counter, count, WAIT_S), self.live.counters.snapshot()


def test_a_change_of_depth_and_a_restart_of_the_scanner_do_not_stop_it(
    frames: list[RfFrame],
) -> None:
    deeper = timing_frames(DEEPER)
    live = Live()
    for frame in (*frames, *deeper):
        live.sender.send(frame.samples, frame.format)
    live.wait_for("strain.out", 4)
    endpoint = live.sender.endpoint
    live.sender.close()
    live.sender = RfSender(endpoint)
    assert live.sender.wait_for_subscriber(WAIT_S)
    for frame in frames:
        live.sender.send(frame.samples, frame.format)
    live.wait_for("strain.out", 6)
    counters = live.finish().counters
    assert counters["pair.reset.format"] == 1
    assert counters["pair.reset.stream"] == 1
    assert counters["received"] == 9
    assert unaccounted(counters) == 0


def test_frames_without_an_image_are_counted_and_dropped(frames: list[RfFrame]) -> None:
    live = Live()
    nothing = np.zeros_like(frames[0].samples)
    broken = frames[0].samples.astype(np.float32)
    broken[:] = np.nan
    for samples in (nothing, broken, *(frame.samples for frame in frames)):
        live.sender.send(samples, FORMAT)
    live.wait_for("strain.out", 2)
    counters = live.finish().counters
    assert counters["frame.constant"] == 1
    assert counters["frame.nonfinite"] == 1
    assert counters["strain.out"] > 0
    assert unaccounted(counters) == 0


def test_an_overrun_pipeline_drops_the_oldest_and_counts_exactly(frames: list[RfFrame]) -> None:
    live = Live(every=False)
    for index in range(600):  # far more than wait in the ring, in far less time than they take
        live.sender.send(frames[index % 3].samples, FORMAT)
    live.wait_for("strain.out", 1)
    counters = live.finish().counters
    assert counters["strain.out"] > 0
    assert unaccounted(counters) == 0
    assert counters.get("overflow", 0) + counters.get("gaps", 0) > 0


def test_it_stops_after_so_many_frames(frames: list[RfFrame]) -> None:
    live = Live(frames=2)
    for frame in frames:
        live.sender.send(frame.samples, frame.format)
    live._thread.join(WAIT_S)
    assert live.finish().counters["strain.out"] == 2


def test_a_wrong_endpoint_is_named_before_the_engine_loads(tmp_path: Path) -> None:
    missing = str(tmp_path / "no_such_engine.onnx")
    settings = RunSettings(engine=missing, rf="nowhere", strain="tcp://127.0.0.1:0")
    with pytest.raises(RtelastoError, match="'nowhere' is no endpoint"):
        LiveRun(settings)
    with pytest.raises(RtelastoError, match="no_such_engine"):
        LiveRun(dataclasses.replace(settings, rf="tcp://127.0.0.1:5998"))
