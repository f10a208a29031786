"""``rtelasto record``: RF and strain streams to disk."""

from __future__ import annotations

from pathlib import Path

from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.telemetry.counters import losses

_STATUS_S = 0.5


def record(
    folder: Path,
    *,
    rf: str = "tcp://127.0.0.1:5555",
    strain: str = "tcp://127.0.0.1:5556",
    keys: Path | None = None,
    buffer_frames: int = 256,
) -> None:
    """Record the RF and strain streams until SIGINT or SIGTERM; `replay` plays the folder back.

    Parameters
    ----------
    folder
        Folder for the recording; made if it is not there.
    rf
        Endpoint where the sender of RF frames is bound.
    strain
        Endpoint where `rtelasto run` publishes strain.
    keys
        Folder of keys (rtelasto keys), for both streams; without it both must be on this machine.
    buffer_frames
        Frames of each stream kept in memory for a disk that is behind.
    """
    settings = RecordSettings(
        folder=folder, rf=rf, strain=strain, keys=keys, buffer_frames=buffer_frames
    )
    with stop_on_signals() as stop, notes.status("") as status, Recorder(settings) as recorder:
        notes.print(f"{recorder.ready}, Ctrl-C stops")
        while not stop.wait(_STATUS_S):
            status.update(_line(recorder.report()))
    print_table("rtelasto record", recorder.report())


def _line(counts: dict[str, int]) -> str:
    lost = 0
    for kind in ("rf.", "strain."):
        of_kind = {n.removeprefix(kind): c for n, c in counts.items() if n.startswith(kind)}
        lost += (
            of_kind.get("lost", 0) + of_kind.get("not_rf_lines", 0) + sum(losses(of_kind).values())
        )
    return (
        f"{counts.get('rf.recorded', 0)} RF frames, {counts.get('strain.recorded', 0)} strain frames "
        f"on disk, {lost} lost"
    )
