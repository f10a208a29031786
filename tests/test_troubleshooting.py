"""docs/counters.md has a row for each counter, docs/troubleshooting.md each finding of `doctor --rf`."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtelasto.live.supervisor import Supervisor
from rtelasto.pipeline.pipeline import image_fault
from rtelasto.pipeline.recent_frames import RecentFrames
from rtelasto.telemetry import counters
from rtelasto.wire.message import CAUSES

ROOT = Path(__file__).parents[1]
SYMPTOMS = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
COUNTERS = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
ROWS = {
    name
    for line in COUNTERS.splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`([\w.]+)`", line.split(" | ")[0])
}
# Methods that count under the name that they are given, besides `Counters.add`.
_COUNTING = {"_count", "_count_passed_over", "_send"}


def _strings(node: ast.expr) -> Iterator[str]:
    """The names that an argument can be; those that a variable completes end in an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _strings(node.body)
        yield from _strings(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)


def counted() -> set[str]:
    """Every name that a call in the package counts under, as far as its text says."""
    found = set()
    for path in (ROOT / "rtelasto").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                adds = node.func.attr == "add" and ast.unparse(node.func.value).endswith("counters")
                if adds or node.func.attr in _COUNTING:
                    found |= {name for argument in node.args for name in _strings(argument)}
    return found


def _returned(function: Callable[..., object]) -> set[str]:
    """The words that a function returns, alone or first in a tuple."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Return) and node.value is not None:
            first = node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value
            found |= set(_strings(first))
    return found - {""}


def test_the_search_for_counters_finds_those_of_every_station() -> None:
    assert {
        "received", "strain.out", "overflow", "partner_only", "gaps", "clock.steps", "worker.lost",
        "clients_refused", "publish_dropped", "published", "pages", "images_sent", "worker.…",
    } <= counted()  # fmt: skip


@pytest.mark.parametrize("name", sorted(counted()))
def test_every_counter_has_a_row(name: str) -> None:
    pattern = re.compile(re.escape(name).replace("…", r"\w+"))
    assert any(pattern.fullmatch(row) for row in ROWS), f"{name} has no row in docs/counters.md"


@pytest.mark.parametrize(
    "name",
    [
        *(f"malformed.{cause}" for cause in (*CAUSES, "rate")),
        *("connected", "disconnected", "refused"),
        *sorted(f"frame.{fault}" for fault in _returned(image_fault)),
        *sorted(f"pair.reset.{why}" for why in _returned(RecentFrames._break)),
        *sorted(f"worker.{cause}" for cause in _returned(Supervisor._cause_of_death)),
        "worker.hung",
        *(
            f"{kind}.{what}"
            for kind in ("rf", "strain")
            for what in ("recorded", "lost", "segments")
        ),
    ],
)
def test_every_counter_whose_name_is_composed_has_a_row(name: str) -> None:
    assert name in ROWS


def test_every_outcome_and_loss_has_a_row() -> None:
    for name in (*counters._OUTCOMES, *counters._DROPPED):
        assert any(row == name or (name[-1] == "." and row.startswith(name)) for row in ROWS), name


def findings() -> set[str]:
    """The names of all findings that the check of a stream can make."""
    found = set()
    for path in (ROOT / "rtelasto" / "live" / "stream_check").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                found |= set(_strings(node.args[0]))
    return found


@pytest.mark.parametrize("name", sorted(findings()))
def test_every_finding_is_on_the_page(name: str) -> None:
    assert name in SYMPTOMS
