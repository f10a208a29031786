"""The path of a frame: receive → RF lines → pair → stretch → engine → publish.

Live and offline runs are this one composition; they differ in where frames come from and where strain
goes to.
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np

from rtelasto.counters import Counters
from rtelasto.cpu.beamform import BeamformSettings
from rtelasto.cpu.bmode import bmode_on_grid
from rtelasto.cpu.rf_lines import RfLines
from rtelasto.domain import FramePair, StrainFrame
from rtelasto.iq_data import ScannerFrame
from rtelasto.pair import Pairing, PairPolicy


class Estimator(Protocol):
    """A back-end: turns a pair into a strain frame on its device."""

    device: str

    def __call__(self, pair: FramePair) -> StrainFrame: ...


class Pipeline:
    """Pairs frames and estimates strain, counting whatever does not become a strain frame.

    Besides what :class:`~rtelasto.pair.Pairing` counts: ``frame.nonfinite`` and ``frame.constant``
    (frames without an image in them, dropped before pairing), ``rf_lines.refused`` (frames that cannot
    become RF lines) and ``strain.out``.

    With ``bmode``, strain frames carry the B-mode of their pre-compression frame.
    """

    def __init__(
        self,
        estimator: Estimator,
        policy: PairPolicy,
        counters: Counters | None = None,
        beamform: BeamformSettings | None = None,
        *,
        bmode: bool = False,
    ) -> None:
        self.estimator = estimator
        self.bmode = bmode
        self.counters = counters if counters is not None else Counters()
        self._rf_lines = RfLines(beamform, self.counters)
        self._pairing = Pairing(policy, self.counters)

    def process(self, scanned: ScannerFrame) -> StrainFrame | None:
        """Take the next frame; return the strain of the pair that it completes, if any.

        Of a frame that came over the wire the stage times also say how long it took to ``decode``, how
        long it stood in the ``queue``, and the ``total`` from its arrival to now; ``pair`` is the time
        for checking and pairing it.
        """
        started_ns = time.monotonic_ns()
        frame = self._rf_lines(scanned)
        if frame is None:
            return None
        fault = image_fault(frame.samples)
        if fault:
            self.counters.add(f"frame.{fault}")
            return None
        pair = self._pairing.push(frame)
        if pair is None:
            return None
        paired_ns = time.monotonic_ns()
        strain = self.estimator(pair)
        if not self._pairing.observe(pair, strain):
            return None
        if self.bmode:
            started = time.perf_counter_ns()
            strain = strain.replace(bmode=bmode_on_grid(pair.pre, strain.grid))
            strain.stage_ns["bmode"] = time.perf_counter_ns() - started
        self.counters.add("strain.out")
        strain.stage_ns["pair"] = paired_ns - started_ns - self._rf_lines.spent_ns
        if self._rf_lines.spent_ns:
            strain.stage_ns["rf_lines"] = self._rf_lines.spent_ns
        if frame.received_ns:
            strain.stage_ns["decode"] = frame.decoded_ns - frame.received_ns
            strain.stage_ns["queue"] = started_ns - frame.decoded_ns
            strain.stage_ns["total"] = time.monotonic_ns() - frame.received_ns
        strain.drops.update(self.counters.snapshot())
        return strain


def image_fault(samples: np.ndarray) -> str:
    """Why a frame holds no image: ``nonfinite``, ``constant``, or empty where it does hold one."""
    low, high = samples.min(), samples.max()
    # A NaN anywhere makes both extremes NaN and an infinity shows as one, so two passes settle it.
    if not (np.isfinite(low) and np.isfinite(high)):
        return "nonfinite"
    return "constant" if low == high else ""
