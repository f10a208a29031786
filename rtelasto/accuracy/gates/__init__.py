"""The acceptance tests of a network: `rtelasto bench accuracy --gates` prints them as one table.

Every row is a median over held-out seeds unless it states otherwise; the target is that for the successor of
the first engine. The groups of rows are independent.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtelasto.accuracy.gates import field_rows, tissue_rows
from rtelasto.accuracy.gates.row import GateOptions, Row, Rows
from rtelasto.errors import RtelastoError

__all__ = ["GROUPS", "GateOptions", "Row", "as_json", "chosen"]

GROUPS: dict[str, Rows] = {
    "time": field_rows.engine_time,
    "layers": field_rows.layers,
    "slip": field_rows.slip,
    "small": field_rows.small,
    "faults": field_rows.faults,
    "forearm": field_rows.forearm,
    "published": tissue_rows.published,
    "calibration": tissue_rows.calibration,
    "lateral": tissue_rows.lateral,
    "noisy": tissue_rows.noisy,
    "random": tissue_rows.random,
    "channel": tissue_rows.channel,
}


def chosen(groups: str) -> list[str]:
    """Return the groups that a list names, separated by commas, or all for ``all``.

    Raises
    ------
    RtelastoError
        If there is no such group.
    """
    names = list(GROUPS) if groups == "all" else [name.strip() for name in groups.split(",")]
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise RtelastoError(f"gates must be all or some of {', '.join(GROUPS)}, got {unknown[0]!r}")
    return names


def as_json(rows: Sequence[Row]) -> dict[str, list[dict[str, object]]]:
    """Return rows as they are written to a JSON file."""
    return {
        "gates": [
            {"row": title, "values": {n: float(v) for n, v in values.items()}, "to_reach": target}
            for title, values, target in rows
        ]
    }
