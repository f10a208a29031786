"""The seams of the pipeline: what a source, an engine and a sink have to offer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from rtelasto.domain import ResidualMotion, RfFrame, StrainFrame, StretchedPair


@runtime_checkable
class FrameSource(Protocol):
    """Frames in acquisition order: a recording, or the live receiver."""

    def __iter__(self) -> Iterator[RfFrame]: ...


@runtime_checkable
class StrainEngine(Protocol):
    """Turns a stretched pair into the residual motion left in it.

    ``samples_per_wavelength`` is the axial sampling of the grid that the engine wants its pairs on,
    or None where any grid will do.
    """

    name: str
    samples_per_wavelength: float | None

    def estimate(self, pair: StretchedPair) -> ResidualMotion: ...


@runtime_checkable
class StrainSink(Protocol):
    """Takes strain frames: a socket, a file."""

    def write(self, frame: StrainFrame) -> None: ...

    def close(self) -> None: ...
