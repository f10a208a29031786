"""Puts what was measured into a page, between two marks that stand in it for the purpose."""

from __future__ import annotations

import datetime
from pathlib import Path

from rtelasto.bench.machine import describe_machine


def when_and_where() -> str:
    """Today, and the machine that this is."""
    machine = describe_machine()
    found = "; ".join(f"{name}: {machine[name]}" for name in ("system", "cores", "memory", "GPU"))
    return f"{datetime.date.today()}; {found}"


def write_measured(page: Path, mark: str, text: str) -> None:
    """Replace what is between ``<!-- MARK: begin -->`` and ``<!-- MARK: end -->`` in ``page``.

    Raises
    ------
    ValueError
        If the two marks are not in it, one after the other.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    head, found, rest = page.read_text("utf-8").partition(begin)
    _, found_too, tail = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"{page} has no {begin} … {end} to write between")
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", "utf-8")
