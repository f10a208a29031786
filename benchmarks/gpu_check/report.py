"""Checks, their outcomes, and the table and file of the outcomes."""

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
    """A check cannot run here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure and its limit; without a limit it is only reported."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool:
        if self.limit is None:
            return True
        # Written so that NaN never satisfies the limit.
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        text = f"{self.name} {self.value:.3g} {self.unit}".strip()
        if self.limit is None:
            return text
        return f"{text} ({'≥' if self.at_least else '≤'} {self.limit:g})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a check."""

    name: str
    state: State
    bounds: list[Bound] = field(default_factory=list)
    reason: str = ""


def run_check(name: str, check: Callable[[], list[Bound]]) -> Outcome:
    """Run a check; an exception becomes its outcome, and the other checks continue."""
    try:
        bounds = check()
    except NotRun as reason:
        return Outcome(name, "not run", reason=str(reason))
    except RtelastoError as error:
        return Outcome(name, "FAILED", reason=str(error))
    except Exception:  # the next check may still give a result
        return Outcome(name, "FAILED", reason=traceback.format_exc(limit=-3).strip())
    limited = [bound for bound in bounds if bound.limit is not None]
    if not all(bound.kept for bound in limited):
        return Outcome(name, "FAILED", bounds)
    return Outcome(name, "passed" if limited else "measured", bounds)


def print_outcomes(outcomes: list[Outcome], machine: dict[str, str], console: Console) -> None:
    """Print the machine, then a row per figure."""
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
    """Write the same as JSON."""
    content: dict[str, Any] = {"machine": machine, "checks": [asdict(one) for one in outcomes]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
