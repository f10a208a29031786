"""``rtelasto view``: show the strain stream in a browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.outputs.viewer import ViewSettings, open_viewer


def view(
    *,
    settings: Annotated[ViewSettings, Parameter(name="*")] | None = None,
    browser: bool = False,
) -> None:
    """Show the strain stream in a browser, until SIGINT or SIGTERM.

    Parameters
    ----------
    browser
        Open the page in this machine's browser.
    """
    settings = settings or ViewSettings()
    notes.print(NOT_A_MEDICAL_DEVICE)
    with stop_on_signals() as stop, open_viewer(settings) as server:
        # The address ends its line, so that a terminal links, and a mouse selects, the address alone.
        notes.print(f"strain from {settings.strain}; Ctrl-C stops; viewer at {server.address}")
        if browser:
            webbrowser.open(server.address)
        stop.wait()
    print_table("rtelasto view", server.counters.snapshot())
