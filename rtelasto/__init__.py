"""Live ultrasound strain imaging: RF frames in, axial strain out.

>>> frame = rtelasto.estimate(pre, post, rtelasto.RfFormat(...), engine="cnn")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.accuracy.region_measures import Region, measure_regions
    from rtelasto.api import estimate, stream
    from rtelasto.errors import RtelastoError
    from rtelasto.frames.rf import Grid, RfFormat, RfFrame
    from rtelasto.frames.strain import Elongation, PersistenceState, StrainFrame
    from rtelasto.sources import open_recording

__all__ = [
    "Elongation",
    "Grid",
    "PersistenceState",
    "Region",
    "RfFormat",
    "RfFrame",
    "RtelastoError",
    "StrainFrame",
    "estimate",
    "measure_regions",
    "open_recording",
    "stream",
]

_HOME = {
    "Elongation": "frames.strain",
    "Grid": "frames.rf",
    "PersistenceState": "frames.strain",
    "Region": "accuracy.region_measures",
    "RfFormat": "frames.rf",
    "RfFrame": "frames.rf",
    "RtelastoError": "errors",
    "StrainFrame": "frames.strain",
    "estimate": "api",
    "measure_regions": "accuracy.region_measures",
    "open_recording": "sources",
    "stream": "api",
}


def __getattr__(name: str) -> object:
    # On first use: importing the package loads neither NumPy, compilers nor runtimes, and a command has its
    # signals in hand before it loads any of them.
    if name not in _HOME:
        raise AttributeError(f"module 'rtelasto' has no attribute {name!r}")
    value = getattr(import_module(f"rtelasto.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
