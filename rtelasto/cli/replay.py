"""``rtelasto replay``: send a recording as a scanner would."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from rtelasto.cli.recording import RecordingFlags, describe
from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.errors import RtelastoError
from rtelasto.host.names import printable_name
from rtelasto.offline.replay import MAX_PAUSE_S, Replayer, Stamp


def replay(
    file: Path,
    *,
    rf: str = "tcp://127.0.0.1:5555",
    keys: Path | None = None,
    speed: float = 1.0,
    loop: bool = False,
    repeat: int = 1,
    fps: float | None = None,
    max_pause_s: float = MAX_PAUSE_S,
    stamp: Stamp = "monotonic",
    wait_s: float = 5.0,
    recording: Annotated[RecordingFlags, Parameter(name="*")] | None = None,
) -> None:
    """Send a recording over ZeroMQ at its true frame times.

    Parameters
    ----------
    file
        HDF5 (zea), MetaImage, MATLAB or NumPy recording.
    rf
        Endpoint to bind; `rtelasto run --rf` connects there.
    keys
        Folder of keys (rtelasto keys); without it only this machine can connect.
    speed
        2 replays twice as fast.
    loop
        Replay until SIGINT or SIGTERM.
    repeat
        Number of times to replay.
    fps
        Frames per second, instead of the recording's own times.
    max_pause_s
        The longest pause in the recording to wait out; longer ones are shortened to it. inf waits out
        all of them.
    stamp
        Clock of the acquisition times that are sent: monotonic, unix, or the recording's own. With
        "sent", messages that `rtelasto record` kept are sent byte for byte as they came.
    wait_s
        How long to wait for a subscriber before starting.
    """
    if repeat < 1:
        raise RtelastoError(f"repeat must be at least 1, got {repeat}")
    with (
        (recording or RecordingFlags()).open(file) as opened,
        Replayer(
            opened,
            rf,
            speed=speed,
            loop=loop or repeat,
            fps=fps,
            max_pause_s=max_pause_s,
            stamp=stamp,
            wait_s=wait_s,
            keys=keys,
        ) as replayer,
        stop_on_signals() as stop,
        notes.status("") as status,
    ):
        name = printable_name(file.name)
        notes.print(f"{name}: {describe(opened)}; sending from {replayer.endpoint}")
        if replayer.pauses_ns.size:
            notes.print(f"{name}: {_pauses(replayer.pauses_ns, max_pause_s)}")
        status.update("waiting for a subscriber")

        def progress(sent: int, total: int | None) -> None:
            status.update(f"{sent} of {total} frames sent" if total else f"{sent} frames sent")

        try:
            report = replayer.run(stop, progress)
        except RtelastoError:
            # Someone may use the frames that were sent before the recording proved damaged.
            print_table("rtelasto replay", {"frames sent": replayer.sent})
            raise
    print_table(
        "rtelasto replay",
        {
            "frames sent": report.sent,
            "late (over 2 ms)": report.late,
            "worst lateness": f"{1e3 * report.worst_lateness_s:.1f} ms",
            "sent without a subscriber": report.unheard,
            "duration": f"{report.duration_s:.2f} s",
        },
    )


def _pauses(pauses_ns: NDArray[np.int64], max_pause_s: float) -> str:
    found = (
        f"pauses between its frames: {pauses_ns.size}, the longest of {pauses_ns.max() / 1e9:.0f} s"
    )
    if math.isinf(max_pause_s):
        return f"{found}; all are waited out"
    return f"{found}; at most {max_pause_s:g} s of each are waited out (--max-pause-s)"
