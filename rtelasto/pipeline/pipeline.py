"""The path of a frame: receive → RF lines → pair → stretch → engine → publish.

Live and offline runs are this one composition; they differ in where frames come from and where strain
goes to.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.bmode import bmode_on_grid
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import FramePair
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.pairing import Pairing, PairPolicy
from rtelasto.pipeline.to_rf_lines import RfLines
from rtelasto.telemetry.counters import Counters


class Estimator(Protocol):
    """A back-end: turns a pair into a strain frame on its device."""

    device: str

    def __call__(self, pair: FramePair) -> StrainFrame: ...


@runtime_checkable
class OverlappingEstimator(Estimator, Protocol):
    """A back-end whose device works on pairs while the host goes on.

    ``room`` is how many more pairs can be started before one has to be collected; they are collected in
    the order in which they were started.
    """

    @property
    def room(self) -> int: ...

    def start(self, pair: FramePair) -> None: ...

    def collect(self) -> StrainFrame: ...


@dataclass(frozen=True, slots=True)
class _Started:
    """A pair between start and collection; ``strain`` is there where its estimator has finished."""

    pair: FramePair
    strain: StrainFrame | None
    started_ns: int
    paired_ns: int
    rf_lines_ns: int


class Pipeline:
    """Pairs frames and estimates strain, counting whatever does not become a strain frame.

    Besides what :class:`~rtelasto.pipeline.pairing.Pairing` counts: ``frame.nonfinite`` and
    ``frame.constant``
    (frames without an image in them, dropped before pairing), ``rf_lines.refused`` (frames that cannot
    become RF lines) and ``strain.out``.

    With ``drop_copies``, a frame whose samples are those of the frame before counts as ``repeated`` and is
    dropped: recordings number their frames anew, so that one which was stored twice cannot be told by
    its id, as it is on the wire.

    With ``bmode``, strain frames carry the B-mode of their pre-compression frame.

    :meth:`process` takes a frame and gives what comes of it. Where the estimator overlaps its work with
    the host's, :meth:`start` and :meth:`collect` do the same in two halves, with up to ``room`` pairs
    between them; an adaptive lag then follows the strain that many pairs later.
    """

    def __init__(
        self,
        estimator: Estimator,
        policy: PairPolicy,
        counters: Counters | None = None,
        beamform: BeamformSettings | None = None,
        *,
        bmode: bool = False,
        drop_copies: bool = False,
    ) -> None:
        self.estimator = estimator
        self.bmode = bmode
        self.drop_copies = drop_copies
        self.counters = counters if counters is not None else Counters()
        self._rf_lines = RfLines(beamform, self.counters, on_gpu=estimator.device != "cpu")
        self._pairing = Pairing(policy, self.counters)
        self._started: deque[_Started] = deque()

    @property
    def pending(self) -> int:
        """How many pairs were started and not collected."""
        return len(self._started)

    @property
    def room(self) -> int:
        """How many more pairs can be started before one has to be collected."""
        if isinstance(self.estimator, OverlappingEstimator):
            return self.estimator.room
        return 1 - self.pending

    def process(self, scanned: ScannerFrame) -> StrainFrame | None:
        """Take the next frame; return the strain of the pair that it completes, if any."""
        return self.collect() if self.start(scanned) else None

    def start(self, scanned: ScannerFrame) -> bool:
        """Take the next frame and start the work on the pair that it completes; whether there is one."""
        started_ns = time.monotonic_ns()
        frame = self._rf_lines(scanned)
        if frame is None:
            return False
        fault = image_fault(frame.samples)
        if fault:
            self.counters.add(f"frame.{fault}")
            return False
        if self.drop_copies and self._pairing.is_copy(frame):
            self._pairing.pass_over(frame)
            return False
        pair = self._pairing.push(frame)
        if pair is None:
            return False
        paired_ns = time.monotonic_ns()
        strain = None
        if isinstance(self.estimator, OverlappingEstimator):
            self.estimator.start(pair)
        else:
            strain = self.estimator(pair)
        self._started.append(_Started(pair, strain, started_ns, paired_ns, self._rf_lines.spent_ns))
        return True

    def collect(self) -> StrainFrame | None:
        """The strain of the oldest pair that was started; None if the pairing policy refuses it.

        Of a frame that came over the wire the stage times also say how long it took to ``decode``, how
        long it stood in the ``queue``, and the ``total`` from its arrival to now; ``pair`` is the time
        for checking and pairing it.
        """
        started = self._started.popleft()
        pair, strain = started.pair, started.strain
        if strain is None:
            assert isinstance(self.estimator, OverlappingEstimator)
            strain = self.estimator.collect()
        if not self._pairing.observe(pair, strain):
            return None
        stage_ns, bmode = dict(strain.stage_ns), strain.bmode
        if self.bmode:
            before_ns = time.perf_counter_ns()
            bmode = bmode_on_grid(pair.pre, strain.grid)
            stage_ns["bmode"] = time.perf_counter_ns() - before_ns
        self.counters.add("strain.out")
        stage_ns["pair"] = started.paired_ns - started.started_ns - started.rf_lines_ns
        if started.rf_lines_ns:
            stage_ns["rf_lines"] = started.rf_lines_ns
        frame = pair.post
        if frame.received_ns:
            stage_ns["decode"] = frame.decoded_ns - frame.received_ns
            stage_ns["queue"] = started.started_ns - frame.decoded_ns
            stage_ns["total"] = time.monotonic_ns() - frame.received_ns
        return strain.replace(stage_ns=stage_ns, drops=self.counters.snapshot(), bmode=bmode)


def image_fault(samples: np.ndarray) -> str:
    """Why a frame holds no image: ``nonfinite``, ``constant``, or empty where it does hold one.

    Samples that are not finite lie outside the field of view: a frame holds none where no sample is
    finite, and it is constant where all that are finite are alike.
    """
    low, high = samples.min(), samples.max()
    # A NaN anywhere makes both extremes NaN and an infinity shows as one, so two passes settle it.
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = samples[np.isfinite(samples)]
        if finite.size == 0:
            return "nonfinite"
        low, high = finite.min(), finite.max()
    return "constant" if low == high else ""
