"""Acquisition times in a file: integer ns, seconds, or NumPy's dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rtelasto.sources.contents import Contents

TIMES = ("timestamps_ns", "timestamps_s")
_UNIT_NS = {"timestamps_ns": 1.0, "timestamps_s": 1e9}


def take_times(contents: Contents, found: Mapping[str, Any]) -> None:
    """Store the times found beside an array in its contents, or else a note on why they are not used.

    Parameters
    ----------
    contents
        Receives ``timestamps_ns``, int64, or another entry in ``notes``.
    found
        May hold ``timestamps_ns`` or ``timestamps_s``: numbers in that unit, or datetime64 or timedelta64
        in any unit. If both are present, the first is used.
    """
    for name in TIMES:
        if name in found:
            values = np.ravel(found[name])
            times = times_ns(values, _UNIT_NS[name])
            if times is None:
                contents.notes.append(
                    f"{name} left out: {_fault(values)} (--frame-rate-hz sets a rate)"
                )
            contents.timestamps_ns = times
            return


def times_ns(values: NDArray[np.generic], unit_ns: float) -> NDArray[np.int64] | None:
    """Convert times in a unit of this many ns to int64 ns; None if a value is not a time or does not fit.

    datetime64 (from 1970) and timedelta64 have units of their own.
    """
    if values.dtype.kind in "mM":
        if np.isnat(values).any() or values.dtype.str.endswith("8"):
            return None  # a type without a unit, "<M8", has no scale
        fine = values.astype(f"{values.dtype.kind}8[ns]")
        if np.any(fine.astype(values.dtype) != values):  # beyond the years that int64 ns can hold
            return None
        return fine.astype(np.int64)
    if values.dtype.kind in "iu" and unit_ns == 1.0:
        return values.astype(np.int64)
    if values.dtype.kind not in "iuf":
        return None
    scaled = values.astype(np.float64) * unit_ns
    if not np.all(np.abs(scaled) < 2.0**63):
        return None
    return np.rint(scaled).astype(np.int64)


def _fault(values: NDArray[np.generic]) -> str:
    if values.dtype.kind in "mM":
        n = int(np.isnat(values).sum())
        return f"{n} of {values.size} are NaT" if n else f"dates of type {values.dtype} do not fit"
    if values.dtype.kind not in "iuf":
        return f"they are {values.dtype}, numbers or dates are expected"
    n = int((~np.isfinite(values.astype(np.float64))).sum())
    return f"{n} of {values.size} are NaN or infinite" if n else "they are beyond the year 2262"
