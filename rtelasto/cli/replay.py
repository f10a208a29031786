"""``rtelasto replay``: a recording as if a scanner sent it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.recording import RecordingFlags, describe
from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.errors import RtelastoError
from rtelasto.replay import Replayer, Stamp


def replay(
    file: Path,
    *,
    rf: str = "tcp://127.0.0.1:5555",
    keys: Path | None = None,
    speed: float = 1.0,
    loop: bool = False,
    repeat: int = 1,
    fps: float | None = None,
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
        Folder of keys (rtelasto keys); without it only this machine may connect.
    speed
        2 replays twice as fast.
    loop
        Replay until SIGINT or SIGTERM.
    repeat
        Replay so many times.
    fps
        Frames per second instead of the recording's own times.
    stamp
        Clock of the acquisition times sent: monotonic, unix, or the recording's own.
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
            stamp=stamp,
            wait_s=wait_s,
            keys=keys,
        ) as replayer,
        stop_on_signals() as stop,
        notes.status("") as status,
    ):
        notes.print(f"{file.name}: {describe(opened)}; sending from {replayer.endpoint}")
        status.update("waiting for a subscriber")

        def progress(sent: int, total: int | None) -> None:
            status.update(f"{sent} of {total} frames sent" if total else f"{sent} frames sent")

        try:
            report = replayer.run(stop, progress)
        except RtelastoError:
            # What went out before a recording turned out to be damaged is somebody's data.
            print_table("rtelasto replay", {"frames sent": replayer.sent})
            raise
    print_table(
        "rtelasto replay",
        {
            "frames sent": report.sent,
            "late (over 2 ms)": report.late,
            "worst lateness": f"{1e3 * report.worst_lateness_s:.1f} ms",
            "nobody listening": report.unheard,
            "duration": f"{report.duration_s:.2f} s",
        },
    )
