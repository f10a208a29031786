"""What the commands share: stop signals, tables, progress."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.telemetry import logs

# Pipes and files have no width: rich would assume 80 columns and break lines in the middle of a sentence.
_PIPE_WIDTH = 10_000


class _PlainConsole(Console):
    """Prints no spaces at the ends of lines; rich pads lines to the full width."""

    def print(self, *objects: Any, **options: Any) -> None:
        with self.capture() as captured:
            super().print(*objects, **options)
        self.file.write(re.sub(r" +$", "", captured.get(), flags=re.MULTILINE))
        self.file.flush()


def _console(*, stderr: bool = False) -> Console:
    # No markup: the output holds names of files and extras, such as rtelasto[gpu].
    made = Console(stderr=stderr, highlight=False, markup=False)
    if made.is_terminal:
        return made
    width = None if "COLUMNS" in os.environ else _PIPE_WIDTH
    return _PlainConsole(stderr=stderr, highlight=False, markup=False, width=width)


console = _console()
notes = _console(stderr=True)

log = logging.getLogger("rtelasto")


def say(text: str) -> None:
    """Write a message to stderr, as text for people or as a JSON line for programs."""
    if logs.as_json():
        log.info("%s", text, extra={"cause": text})
    else:
        notes.print(text)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM (on Windows also Ctrl-Break) set, in place of their default.

    A separate thread sets the event: a handler that takes a lock could run in the thread that already
    holds it.
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


@contextmanager
def frame_bar(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on stderr; yield the function that advances it by one frame.

    While kernels are compiled, which happens before the first frame, the bar says so.
    """
    from rtelasto.host.compiled import on_compiling

    with Progress(console=notes, transient=True) as bar:
        task = bar.add_task(label, total=total)

        def compiling(n_kernels: int) -> None:
            bar.update(task, description=f"{label}: compiling, {n_kernels} kernels")

        with on_compiling(compiling):
            yield lambda: bar.update(task, advance=1, description=label)


@contextmanager
def busy(text: str) -> Iterator[Callable[[str], None]]:
    """Show a line on stderr, on a terminal only; yield the function that replaces its text.

    While kernels are compiled, the line says so.
    """
    from rtelasto.host.compiled import on_compiling

    with notes.status(text) as status:
        shown = text

        def show(replacement: str) -> None:
            nonlocal shown
            shown = replacement
            status.update(shown)

        def compiling(n_kernels: int) -> None:
            status.update(f"{shown} (compiling, {n_kernels} kernels)")

        with on_compiling(compiling):
            yield show


def examples(*lines: str) -> str:
    """The end of a command's help, as Markdown."""
    quoted = (f"`{line}`" for line in lines)
    return "\n\n".join(["Examples:", *quoted, NOT_A_MEDICAL_DEVICE])


def print_table(title: str, rows: Mapping[str, object]) -> None:
    """Print a two-column table, names on the left."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
