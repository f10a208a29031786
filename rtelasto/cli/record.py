"""``rtelasto record``: what a scanner sends, and strain, to disk."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.outputs.recorder import Recorder, RecordSettings
from rtelasto.telemetry.counters import losses

_STATUS_S = 0.5


def record(settings: Annotated[RecordSettings, Parameter(name="*")]) -> None:
    """Record RF lines, channel data or IQ, and strain until SIGINT or SIGTERM; `replay` plays them back."""
    with stop_on_signals() as stop, notes.status("") as status, Recorder(settings) as recorder:
        notes.print(f"{recorder.ready}, Ctrl-C stops")
        while not stop.wait(_STATUS_S):
            status.update(_line(recorder.report()))
    print_table("rtelasto record", recorder.report())


def _line(counts: dict[str, int]) -> str:
    lost = 0
    for kind in ("rf.", "strain."):
        of_kind = {n.removeprefix(kind): c for n, c in counts.items() if n.startswith(kind)}
        lost += of_kind.get("lost", 0) + sum(losses(of_kind).values())
    return (
        f"{counts.get('rf.recorded', 0)} RF frames, {counts.get('strain.recorded', 0)} strain frames "
        f"on disk, {lost} lost"
    )
