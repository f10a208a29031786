"""What a row of the gates is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = tuple[str, dict[str, float], str]
"""Title, the figure of every engine, and the target."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What the rows are measured on.

    Attributes
    ----------
    pairs
        Tissues of the published kind; some rows take twice or four times as many.
    recordings
        Real recordings, for the rows that need them.
    """

    pairs: int
    recordings: Sequence[Path]


Rows = Callable[[Sequence[str], GateOptions], Iterator[Row]]
"""Yields some rows for engines given by name or path.

Raises RtelastoError if it needs a simulator (extras ``sim`` and ``channel``) that is not installed, or an
engine cannot be opened.
"""
