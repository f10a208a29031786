"""What the pipeline asks of a back-end, and what some of them can do besides."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rtelasto.cpu.stretching.elongation import ElongationFit
from rtelasto.frames.rf import FramePair, Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.persistence import Average


class Estimator(Protocol):
    """A back-end: turns a pair into a strain frame on its device."""

    device: str

    def __call__(self, pair: FramePair) -> StrainFrame: ...


@runtime_checkable
class OverlappingEstimator(Estimator, Protocol):
    """A back-end whose device works on pairs while the host continues.

    ``room`` is the number of pairs that can be started before one must be collected. Pairs are collected in
    the order in which they were started.
    """

    @property
    def room(self) -> int: ...

    def start(self, pair: FramePair) -> None: ...

    def collect(self) -> StrainFrame: ...


@runtime_checkable
class LookingEstimator(Estimator, Protocol):
    """A back-end that can estimate the global motion in advance, and then does not estimate it again."""

    def look(self, pair: FramePair) -> ElongationFit: ...


@runtime_checkable
class AveragingEstimator(Estimator, Protocol):
    """A back-end with its own average over time: of measurements, or where the images of its pairs are.

    ``average`` returns an empty one over frames of a grid. A frame is measured and added before the next
    pair is started; later, its images have to be moved there.
    """

    def average(self, grid: Grid) -> Average: ...
