"""The commands and the configuration file that fills in what their flags leave out."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.config import Toml

from rtelasto.errors import RtelastoError

app = App(
    name="rtelasto",
    help="Live ultrasound strain imaging: RF frames in, axial strain out.",
    version=lambda: version("rtelasto"),
    help_format="markdown",
    help_epilogue="Not a medical device: for research only.",
)

_COMMANDS = {
    "run": "Live: RF frames in over ZeroMQ, strain frames out.",
    "replay": "Send a recording over ZeroMQ at its true frame times.",
    "process": "Estimate strain of a whole recording into a file.",
    "simulate": "Write a simulated recording with exact truth.",
    "demo": "Simulate, replay, run and draw: the main job from end to end.",
    "engines": "List the engines.",
    "bench": "Time the stages of the pipeline on this machine.",
    "doctor": "Say what this machine can run, and how fast.",
}
for _name, _help in _COMMANDS.items():
    # By import path, so that a command loads only what it needs.
    target = "app" if _name == "bench" else _name
    app.command(f"rtelasto.cli.{_name}:{target}", name=_name, help=_help)


@app.meta.default
def with_config(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None,
        Parameter(help="TOML file with a table per command, e.g. [run]; flags win over it."),
    ] = None,
) -> object:
    if config is not None:
        if not config.is_file():
            raise RtelastoError(f"{config}: no such configuration file")
        app.config = (Toml(config, must_exist=True),)
    return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
