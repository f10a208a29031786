"""The outcomes of the faults as tables for docs/reliability-measured.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.trial import Outcome
from benchmarks.measured import when_and_where, write_measured

# Counters that always rise, or that do not count frames.
_DULL = ("unread", "connected", "statuses", "unheard")


def tables(outcomes: Sequence[Outcome], others: Mapping[str, str]) -> str:
    """Return a table of the frames of each fault, and one of counters and messages."""
    lines = [
        "| fault | what is done | sent | received | strain | unaccounted | flows again after, s | longest "
        "pause, s | stale |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for outcome in outcomes:
        fault = outcome.fault
        died = f" ({outcome.died} lost with the sender)" if outcome.died else ""
        lines.append(
            f"| {fault.name} | {fault.about} | {outcome.sent}{died} | {outcome.received} | "
            f"{outcome.strain} | {outcome.unaccounted} | {outcome.flows_after_s:.2f} | "
            f"{outcome.longest_pause_s:.2f} | {outcome.stale} |"
        )
    lines += [f"| {name} | {why} | | | | | | | |" for name, why in others.items()]
    lines += ["", "| fault | counted | messages |", "| --- | --- | --- |"]
    for outcome in outcomes:
        counted = ", ".join(
            f"`{name}` {count}" for name, count in outcome.counted.items() if name not in _DULL
        )
        messages = "<br>".join(_cell(line) for line in outcome.messages[:4])
        lines.append(f"| {outcome.fault.name} | {counted or '–'} | {messages or '–'} |")
    return "\n".join(lines)


def write_tables(
    path: Path, outcomes: Sequence[Outcome], others: Mapping[str, str], options: Mapping[str, Any]
) -> None:
    """Write the tables, and the conditions of the run, between the marks in ``path``."""
    worst = max(outcome.flows_after_s for outcome in outcomes)
    complaints = [f"{o.fault.name}: {c}" for o in outcomes for c in o.complaints()]
    summary = (
        f"{when_and_where()}. {len(outcomes)} faults, engine {options['engine']}, "
        f"{options['fps']:g} frames/s of 2608 × 128, {options['long_s']:g} s for lasting faults. "
        f"Frames flowed again at most {worst:.2f} s after the end of the fault. "
        + (
            f"Failures: {'; '.join(complaints)}."
            if complaints
            else "Every frame was accounted for."
        )
    )
    write_measured(path, "faults", f"{summary}\n\n{tables(outcomes, others)}")


def _cell(line: str) -> str:
    line = line.replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= 160 else f"{line[:157]}…"
