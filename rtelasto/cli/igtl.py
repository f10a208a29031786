"""``rtelasto igtl``: the strain stream for 3D Slicer and PLUS."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.outputs.openigtlink import IgtlServer, IgtlSettings


def igtl(*, settings: Annotated[IgtlSettings, Parameter(name="*")] | None = None) -> None:
    """Serve strain and B-mode as OpenIGTLink images, until SIGINT or SIGTERM."""
    settings = settings or IgtlSettings()
    notes.print(NOT_A_MEDICAL_DEVICE)
    with stop_on_signals() as stop, IgtlServer(settings) as server:
        notes.print(f"{server.ready}, strain from {settings.strain}, Ctrl-C stops")
        stop.wait()
    print_table("rtelasto igtl", server.report())
