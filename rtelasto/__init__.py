"""Live ultrasound strain imaging: RF frames in, axial strain out.

>>> frame = rtelasto.estimate(pre, post, rtelasto.RfFormat(...), engine="cnn")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtelasto.domain import Elongation, Grid, RfFormat, RfFrame, StrainFrame
from rtelasto.errors import RtelastoError

if TYPE_CHECKING:
    from rtelasto.api import estimate
    from rtelasto.regions import Region, measure_regions
    from rtelasto.sources import open_recording

__all__ = [
    "Elongation",
    "Grid",
    "Region",
    "RfFormat",
    "RfFrame",
    "RtelastoError",
    "StrainFrame",
    "estimate",
    "measure_regions",
    "open_recording",
]


def __getattr__(name: str) -> object:
    # On first use, so that importing the package loads neither compilers nor runtimes.
    if name == "estimate":
        from rtelasto.api import estimate

        return estimate
    if name == "open_recording":
        from rtelasto.sources import open_recording

        return open_recording
    if name in ("Region", "measure_regions"):
        from rtelasto import regions

        return getattr(regions, name)
    raise AttributeError(f"module 'rtelasto' has no attribute {name!r}")
