"""Pauses in a recording that is replayed: said, and waited out up to a limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import processes
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.offline.replay import MAX_PAUSE_S, Replayer, shorten_pauses
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sources import open_recording
from rtelasto.transport.receivers import Receiver

FORMAT = RfFormat(
    n_lines=12, n_samples=300, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
HOUR_NS = 3600 * 10**9
DECADES_NS = 1_600_000_000 * 10**9
PATIENCE_S = 60.0


def write(path: Path, *times_ns: int) -> Path:
    with RecordingWriter(path, FORMAT) as writer:
        for number, time_ns in enumerate(times_ns):
            samples = np.random.default_rng(number).integers(-3000, 3000, (12, 300))
            writer.write(RfFrame(samples.astype(np.int16), FORMAT, FrameStamp(number, time_ns)))
    return path


def test_only_steps_over_the_limit_are_shortened():
    times = np.array([0, 4, 5, 5 + HOUR_NS, 6 + HOUR_NS])
    assert shorten_pauses(times, 10.0).tolist() == [0, 4, 5, 5 + 10**10, 6 + 10**10]
    assert shorten_pauses(times, float("inf")) is times
    for nonsense in (0.0, -1.0, float("nan")):
        with pytest.raises(RtelastoError, match="max_pause_s must be above 0"):
            shorten_pauses(times, nonsense)


@pytest.mark.slow
@pytest.mark.parametrize(
    "times_ns",
    [(5, 10, 10 + HOUR_NS, 20 + HOUR_NS), (0, DECADES_NS, DECADES_NS + 10, DECADES_NS + 20)],
    ids=["an hour's pause", "a first stamp of 0"],
)
def test_a_replay_says_a_long_pause_and_shortens_it(tmp_path: Path, times_ns: tuple[int, ...]):
    path = write(tmp_path / "paused.h5", *times_ns)
    done = processes.finish(
        *(
            "replay",
            str(path),
            "--rf",
            "tcp://127.0.0.1:*",
            "--wait-s",
            "0",
            "--max-pause-s",
            "0.05",
        )
    )
    assert done.returncode == 0, done.stderr
    longest_s = round(max(np.diff(times_ns)) / 1e9)
    assert (
        f"paused.h5: pauses between its frames: 1, the longest of {longest_s} s; at most 0.05 s of each "
        "are waited out (--max-pause-s)"
    ) in " ".join(done.stderr.split())
    assert processes.table(done.stdout)["frames sent"] == "4"


def test_the_times_sent_stay_those_of_the_recording(tmp_path: Path):
    times = [5, 10, 10 + HOUR_NS]
    with (
        open_recording(write(tmp_path / "paused.h5", *times)) as recording,
        Replayer(
            recording,
            "tcp://127.0.0.1:0",
            stamp="recording",
            max_pause_s=0.01,
            loop=2,
            wait_s=PATIENCE_S,
        ) as replayer,
        Receiver(replayer.endpoint, policy="every") as receiver,
    ):
        replayer.run()
        received = [receiver.get(PATIENCE_S).acquired_ns for _ in range(6)]
    period = int(HOUR_NS + 5 + np.median(np.diff(times)))
    assert received == times + [time + period for time in times]


def test_a_rate_that_is_asked_for_has_no_pauses(tmp_path: Path):
    with (
        open_recording(write(tmp_path / "paused.h5", 0, HOUR_NS, 2 * HOUR_NS)) as recording,
        Replayer(recording, "tcp://127.0.0.1:0", fps=0.01) as slow,
        Replayer(recording, "tcp://127.0.0.1:0") as timed,
    ):
        assert slow.pauses_ns.size == 0
        assert slow._due_ns.tolist() == [0, 100 * 10**9, 200 * 10**9]
        assert timed.pauses_ns.tolist() == [HOUR_NS, HOUR_NS]
        assert timed._due_ns.tolist() == [0, round(MAX_PAUSE_S * 1e9), round(2 * MAX_PAUSE_S * 1e9)]
