"""What commands share: stop signals, tables, progress."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.table import Table

from rtelasto import logs
from rtelasto.notice import NOT_A_MEDICAL_DEVICE

# No markup: what is printed holds names of files and extras, such as rtelasto[gpu].
console = Console(highlight=False, markup=False)
notes = Console(stderr=True, highlight=False, markup=False)

log = logging.getLogger("rtelasto")


def say(text: str) -> None:
    """Tell whoever reads stderr: people, or a program that takes its lines as JSON."""
    if logs.as_json():
        log.info("%s", text, extra={"cause": text})
    else:
        notes.print(text)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM (on Windows also Ctrl-Break) set, instead of what they do else.

    The event is set from a thread of its own: a handler that takes a lock could run while the same
    thread holds it.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=stop.set, name="stop").start()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGBREAK"):
        numbers.append(signal.SIGBREAK)
    previous = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def examples(*lines: str) -> str:
    """The end of a command's help, as markdown."""
    quoted = (f"`{line}`" for line in lines)
    return "\n\n".join(["Examples:", *quoted, NOT_A_MEDICAL_DEVICE])


def print_table(title: str, rows: Mapping[str, object]) -> None:
    """A two-column table, names left."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
