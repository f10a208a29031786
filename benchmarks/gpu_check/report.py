"""Checks and their outcomes: a line printed and a file written after each of them."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from rtelasto.errors import MissingExtraError, RtelastoError

State = Literal["passed", "FAILED", "measured", "not run"]


class NotRun(Exception):
    """A check cannot be made here; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure and its limit; a figure without a limit is only reported."""

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
        text = f"{self.name} {self.value:.3g} {self.unit}".strip()
        if self.limit is None:
            return text
        return f"{text} ({'≥' if self.at_least else '≤'} {self.limit:.3g})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a check."""

    name: str
    state: State
    bounds: list[Bound] = field(default_factory=list)
    reason: str = ""


def run_check(name: str, check: Callable[[], list[Bound]]) -> Outcome:
    """Make a check. Any error in it becomes its outcome, and the other checks continue."""
    try:
        bounds = check()
    except NotRun as reason:
        return Outcome(name, "not run", reason=str(reason))
    except MissingExtraError as error:
        return Outcome(name, "not run", reason=str(error))
    except ModuleNotFoundError as error:
        return Outcome(name, "not run", reason=f"{error.name} is not installed")
    except RtelastoError as error:
        return Outcome(name, "FAILED", reason=str(error))
    except Exception:  # the next check may still give a result
        return Outcome(name, "FAILED", reason=traceback.format_exc(limit=-3).strip())
    limited = [bound for bound in bounds if bound.limit is not None]
    if not all(bound.kept for bound in limited):
        return Outcome(name, "FAILED", bounds)
    return Outcome(name, "passed" if limited else "measured", bounds)


def print_outcome(outcome: Outcome, file: IO[str]) -> None:
    """Print an outcome, at once: a machine that is taken away leaves what came before."""
    figures = "; ".join(str(bound) for bound in outcome.bounds)
    said = ": ".join(part for part in (outcome.reason, figures) if part)
    print(f"{outcome.state:8} {outcome.name}: {said}", file=file, flush=True)


def write_outcomes(path: Path, outcomes: list[Outcome], machine: dict[str, str]) -> None:
    """Write the machine and all outcomes so far as JSON."""
    content: dict[str, Any] = {"machine": machine, "checks": [asdict(one) for one in outcomes]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
