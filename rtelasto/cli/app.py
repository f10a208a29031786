"""The commands and the configuration file that fills in what their flags leave out."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.config import Dict

from rtelasto.cli.bench import app as bench
from rtelasto.cli.engines import app as engines
from rtelasto.cli.settings_file import read_settings
from rtelasto.cli.terminal import console, examples
from rtelasto.host import interrupt
from rtelasto.host.thread_failure import end_process_on_thread_failure
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.telemetry import logs

app = App(
    name="rtelasto",
    help="Live ultrasound strain imaging: RF frames in, axial strain out.",
    version=lambda: version("rtelasto"),
    help_format="markdown",
    # Panels are as wide as the terminal; what is piped goes into other programs, line by line.
    help_formatter="default" if console.is_terminal else "plain",
    console=console,
    help_epilogue=NOT_A_MEDICAL_DEVICE,
)

# The summary of each command, then examples.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "run": (
        "Live: RF frames in over ZeroMQ, strain frames out.",
        "rtelasto run  — the scanner's bridge on this machine, strain on tcp://127.0.0.1:5556",
        "rtelasto run --engine ncc --pair adaptive",
        "rtelasto run --rf tcp://10.0.0.5:5555 --keys ~/rtelasto-keys  — a scanner elsewhere",
        "rtelasto run --view  — and the live viewer on http://127.0.0.1:8765",
        "rtelasto --config scanner.toml run",
    ),
    "view": (
        "Show the strain stream live in a browser.",
        "rtelasto view  — http://127.0.0.1:8765, strain from tcp://127.0.0.1:5556",
        "rtelasto view --browser",
        "rtelasto view --host 0.0.0.0 --port 8080  — for a tablet; prints the address with its token",
    ),
    "record": (
        "Record what the scanner sends, and strain, to disk.",
        "rtelasto record scan-1",
        "rtelasto record scan-1 --rf tcp://10.0.0.5:5555 --strain tcp://10.0.0.6:5556 --keys ~/rtelasto-keys",
    ),
    "igtl": (
        "Serve strain and B-mode over OpenIGTLink, for 3D Slicer and PLUS.",
        "rtelasto igtl",
        "rtelasto igtl --port 18945 --strain tcp://10.0.0.5:5556 --keys ~/rtelasto-keys",
    ),
    "replay": (
        "Send a recording over ZeroMQ at its true frame times.",
        "rtelasto replay press.h5",
        "rtelasto replay scan-1  — what `rtelasto record` wrote",
        "rtelasto replay forearm.mhd --speed 0.5 --repeat 10 --center-freq-hz 4.65e6",
        "rtelasto replay frames.npy --sampling-freq-hz 40e6 --line-pitch-m 0.0002 --fps 50 --loop",
    ),
    "keys": (
        "Make keys for streams that leave this machine.",
        "rtelasto keys ~/rtelasto-keys  — makes them, and prints what to copy where",
        "rtelasto keys ~/rtelasto-keys --allow tablet.key  — lets that machine connect to this one",
        "rtelasto keys ~/rtelasto-keys --server 10.0.0.5 scanner.key  — lets this machine connect to it",
    ),
    "process": (
        "Estimate strain of a recording into a file, or of many into a folder.",
        "rtelasto process press.h5 -o strain.h5",
        "rtelasto process scans -o strain  — all recordings in a folder, on all cores",
        'rtelasto process forearm.mhd -o strain.h5 --engine ncc --pair "lag 2" --png strain.png',
        "rtelasto process press.h5 -o strain.h5 --mp4 strain.mp4",
    ),
    "report": (
        "Write a recording's strain, quality and accuracy as one HTML page.",
        "rtelasto report press.h5",
        "rtelasto report forearm.mhd -o forearm.html --engine ncc --center-freq-hz 4.65e6",
    ),
    "simulate": (
        "Write a simulated recording with exact truth.",
        "rtelasto simulate press.h5",
        "rtelasto simulate long.h5 --frames 600 --frame-rate-hz 100 --strain 0.02 --seed 7",
    ),
    "demo": (
        "Simulate, replay, run and draw: the whole path in one command.",
        "rtelasto demo --out /tmp/demo",
    ),
    "doctor": (
        "Show what this machine can run, and how fast, or what is wrong with a stream.",
        "rtelasto doctor",
        "rtelasto doctor --rf tcp://127.0.0.1:5555  — looks at the stream for five seconds",
    ),
    "settings": (
        "Print a settings file with every option, its default and what it does.",
        "rtelasto settings > scanner.toml",
    ),
}
# By import path, so that a command loads only what it needs.
for _name, (_help, *_examples) in _COMMANDS.items():
    app.command(
        f"rtelasto.cli.{_name}:{_name}",
        name=_name,
        help=_help,
        help_epilogue=examples(*_examples),
    )
app.command(bench)
app.command(engines)


@app.meta.default
def with_config(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None,
        Parameter(help="TOML file with a table per command, e.g. [run]; flags override it."),
    ] = None,
    log_format: Annotated[
        Literal["text", "json"] | None,
        Parameter(help="Format of the log on stderr; json is one object per line."),
    ] = None,
) -> object:
    if log_format is not None:
        # In the environment, so that the processes that a command starts inherit it.
        os.environ[logs.FORMAT_VARIABLE] = log_format
    logs.set_up()
    end_process_on_thread_failure()
    if config is not None:
        app.config = (Dict(read_settings(config, app), source=str(config)),)
    # Imports the module of the command.
    command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    interrupt.raise_interrupt()
    return command(*bound.args, **bound.kwargs)
