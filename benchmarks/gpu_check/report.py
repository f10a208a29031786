"""Checks, what came of them, and the table and file that say so."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from rtelasto.errors import RtelastoError

State = Literal["passed", "FAILED", "measured", "not run"]


class NotRun(Exception):
    """A check cannot be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure and what it is held against; without a limit it is only told."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool:
        if self.limit is None:
            return True
        # Not the other way round, so that NaN never counts as kept.
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        told = f"{self.name} {self.value:.3g} {self.unit}".strip()
        if self.limit is None:
            return told
        return f"{told} ({'≥' if self.at_least else '≤'} {self.limit:g})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check."""

    name: str
    state: State
    bounds: list[Bound] = field(default_factory=list)
    reason: str = ""


def run_check(name: str, check: Callable[[], list[Bound]]) -> Outcome:
    """Make a check; whatever goes wrong in it is its outcome, and the others go on."""
    try:
        bounds = check()
    except NotRun as reason:
        return Outcome(name, "not run", reason=str(reason))
    except RtelastoError as error:
        return Outcome(name, "FAILED", reason=str(error))
    except Exception:  # the next check may still tell something
        return Outcome(name, "FAILED", reason=traceback.format_exc(limit=-3).strip())
    limited = [bound for bound in bounds if bound.limit is not None]
    if not all(bound.kept for bound in limited):
        return Outcome(name, "FAILED", bounds)
    return Outcome(name, "passed" if limited else "measured", bounds)


def print_outcomes(outcomes: list[Outcome], machine: dict[str, str], console: Console) -> None:
    """A row per figure, and who was measured above it."""
    for key, value in machine.items():
        console.print(f"{key}: {value}", soft_wrap=True)
    table = Table("check", "state", "figures", box=None)
    for outcome in outcomes:
        rows = [str(bound) for bound in outcome.bounds] or [""]
        if outcome.reason:
            rows = [outcome.reason, *rows] if outcome.bounds else [outcome.reason]
        for k, row in enumerate(rows):
            table.add_row("" if k else outcome.name, "" if k else outcome.state, row)
    console.print(table)


def write_outcomes(path: Path, outcomes: list[Outcome], machine: dict[str, str]) -> None:
    """The same as JSON."""
    content: dict[str, Any] = {"machine": machine, "checks": [asdict(one) for one in outcomes]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
