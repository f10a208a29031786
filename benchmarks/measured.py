"""Writes measurements into a page, between two marks."""

from __future__ import annotations

import datetime
from pathlib import Path

from rtelasto.bench.machine import describe_machine


def when_and_where() -> str:
    """Return the date and a description of this machine."""
    machine = describe_machine()
    found = "; ".join(f"{name}: {machine[name]}" for name in ("system", "cores", "memory", "GPU"))
    return f"{datetime.date.today()}; {found}"


def write_measured(page: Path, mark: str, text: str) -> None:
    """Replace the text between ``<!-- MARK: begin -->`` and ``<!-- MARK: end -->`` in ``page``.

    Raises
    ------
    ValueError
        If the page does not contain the two marks in this order.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    head, found, rest = page.read_text("utf-8").partition(begin)
    _, found_too, tail = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"{page} does not contain {begin} … {end}")
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", "utf-8")
