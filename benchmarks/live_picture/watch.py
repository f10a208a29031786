"""One run under observation: a sender, ``rtelasto run`` and this process as its subscriber."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns

import numpy as np
from numpy.typing import NDArray

from rtelasto.bench.rig import free_endpoint
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.transport.receivers import StrainReceiver

_START_S = 240.0
_QUIET_S = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """Strain frames, their times of arrival (s from the first RF frame), and their age at arrival."""

    frames: list[StrainFrame]
    time_s: NDArray[np.float64]
    age_s: NDArray[np.float64]
    counters: dict[str, int]


def watch(
    samples: NDArray[np.int16], rf_format: RfFormat, frames_per_s: float, options: tuple[str, ...]
) -> Watched:
    """Send the frames through a run and receive its strain.

    Raises
    ------
    RtelastoError
        If the run does not start, or publishes nothing.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.save(folder / "frames.npy", samples)
        command = [sys.executable, "-m", "benchmarks.live_picture.sender"]
        sender = stack.enter_context(
            subprocess.Popen(
                [
                    *command,
                    str(folder / "frames.npy"),
                    json.dumps(asdict(rf_format)),
                    str(frames_per_s),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert sender.stdin is not None
        assert sender.stdout is not None
        strain = free_endpoint()
        rf = json.loads(sender.stdout.readline())["endpoint"]
        receiver = stack.enter_context(StrainReceiver(strain, policy="every", queue_frames=1024))
        log = stack.enter_context((folder / "run.log").open("w+"))
        run = subprocess.Popen(
            [sys.executable, "-m", "rtelasto", "run", "--rf", rf, "--strain", strain, *options],
            stdout=log,
            stderr=log,
        )
        try:
            if not receiver.counters.wait_for("statuses", 1, _START_S):
                log.seek(0)
                raise RtelastoError(f"rtelasto run did not start: {log.read().strip()[-400:]}")
            sender.stdin.write("go\n")
            sender.stdin.flush()
            taken = _take(receiver, len(samples))
            sent = json.loads(sender.stdout.readline())
            seen = receiver.counters["statuses"]
            receiver.counters.wait_for("statuses", seen + 2, 10.0)
            counters = dict(receiver.status.counters) if receiver.status else {}
        finally:
            run.terminate()
            run.wait(60.0)
            sender.stdin.close()
            sender.wait(60.0)
    if not taken:
        raise RtelastoError("rtelasto run published no strain")
    frames = [frame for frame, _ in taken]
    arrived = np.array([arrived_ns for _, arrived_ns in taken])
    acquired = np.array([frame.acquired_ns for frame in frames])
    return Watched(frames, (arrived - sent["first_ns"]) / 1e9, (arrived - acquired) / 1e9, counters)


def _take(receiver: StrainReceiver, n_frames: int) -> list[tuple[StrainFrame, int]]:
    """Receive strain frames until that of the last RF frame, or until no more arrive."""
    taken: list[tuple[StrainFrame, int]] = []
    while (message := receiver.get(_START_S if not taken else _QUIET_S)) is not None:
        frame = message.frame
        # Arrays that are not needed are released, since hundreds of frames are kept.
        taken.append(
            (frame.replace(axial_displacement_m=frame.axial_strain, drops={}), monotonic_ns())
        )
        if frame.frame_ids[1] == n_frames - 1:
            break
    return taken
