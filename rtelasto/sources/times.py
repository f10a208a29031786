"""Acquisition times as a file gives them: whole ns, seconds, or NumPy's dates."""

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
    """Put the times among what was found beside an array into its contents, or a note why they are not.

    Parameters
    ----------
    contents
        What gets ``timestamps_ns``, int64, or one more of ``notes``.
    found
        May hold ``timestamps_ns`` or ``timestamps_s``: numbers in that unit, or datetime64 or timedelta64
        of any unit. The first of the two counts.
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
    """Times in units of so many ns as int64 ns, or None where one is no time or does not fit.

    datetime64 (from 1970) and timedelta64 say their own unit.
    """
    if values.dtype.kind in "mM":
        if np.isnat(values).any() or values.dtype.str.endswith("8"):
            return None  # without a unit, "<M8", they say nothing
        fine = values.astype(f"{values.dtype.kind}8[ns]")
        if np.any(fine.astype(values.dtype) != values):  # beyond the years that int64 ns can say
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
