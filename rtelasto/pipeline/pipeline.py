"""The path of a frame: receive → RF lines → pair → stretch → engine → publish.

Live and offline runs use this same composition; they differ in where frames come from and where strain
goes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.bmode import bmode_on_grid
from rtelasto.cpu.pattern_average import PatternAverage
from rtelasto.cpu.stretching.elongation import ElongationEstimator, ElongationFit
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import FramePair, RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.accumulation import Accumulation
from rtelasto.pipeline.echo_centre import EchoCentre, RecordedFrames
from rtelasto.pipeline.estimators import (
    AveragingEstimator,
    Estimator,
    LookingEstimator,
    OverlappingEstimator,
)
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pairing import Pairing
from rtelasto.pipeline.partner_search import Look
from rtelasto.pipeline.persistence import Persistence
from rtelasto.pipeline.press_track import UNTIMED_PERIOD_S
from rtelasto.pipeline.recent_frames import RecentFrame
from rtelasto.pipeline.to_rf_lines import RfLines
from rtelasto.telemetry.counters import Counters


@dataclass(frozen=True, slots=True)
class _Started:
    """A pair between start and collection; ``strain`` is set once its estimator has finished."""

    pair: FramePair
    strain: StrainFrame | None
    started_ns: int
    paired_ns: int
    rf_lines_ns: int
    scene: int


class Pipeline:
    """Pairs frames and estimates strain, counting every frame that does not become strain.

    Besides what :class:`~rtelasto.pipeline.pairing.Pairing` and its ring count: ``frame.nonfinite`` and
    ``frame.constant`` (frames without an image), ``rf_lines.refused`` (frames that cannot become RF
    lines) and ``strain.out``. Only frames that are used are checked and turned into RF lines, each once.

    With ``drop_copies``, a frame with the samples of the frame before it counts as ``repeated`` and is
    dropped. Recordings number their frames anew, so the id does not show that a frame was stored twice, as
    it does on the wire.

    With ``bmode``, strain frames carry the B-mode of their pre-compression frame; with ``persistence_s``
    the pattern of strain averaged over time (`rtelasto.pipeline.persistence`). With ``accumulate`` they carry
    the motion from the frame with the id ``reference`` on, by default the older frame of the first pair
    (`rtelasto.pipeline.accumulation`); it estimates a second pair of each frame, so that :meth:`process` must
    be called, not its two halves.

    :meth:`process` takes a frame and returns its strain frame. If the estimator overlaps its work with
    the host's, :meth:`start` and :meth:`collect` do the same in two halves, with up to ``room`` pairs
    between them; adaptive pairing then learns from a pair that many pairs later. In a live run the receiver
    fills `recent`, and :meth:`start_newest` is called instead.

    Attributes
    ----------
    recent : RecentFrames
        The frames from which pairs are made.
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
        persistence_s: float = 0.0,
        accumulate: bool = False,
        reference: int | None = None,
    ) -> None:
        self.estimator = estimator
        # Checked once: isinstance of a protocol takes 13 µs on Python 3.11.
        self._overlapping = estimator if isinstance(estimator, OverlappingEstimator) else None
        averages = (
            estimator.average if isinstance(estimator, AveragingEstimator) else PatternAverage
        )
        self._persistence = Persistence(persistence_s, averages) if persistence_s else None
        self._accumulation = None
        if accumulate:
            self._accumulation = Accumulation(
                estimator, history=policy.history, reference=reference
            )
        self.bmode = bmode
        self.drop_copies = drop_copies
        self.counters = counters if counters is not None else Counters()
        self._rf_lines = RfLines(beamform, self.counters, on_gpu=estimator.device != "cpu")
        self._echo_centre = EchoCentre()
        looks = isinstance(estimator, LookingEstimator)
        self._elongation: Callable[[FramePair], ElongationFit] = (
            estimator.look if isinstance(estimator, LookingEstimator) else ElongationEstimator()
        )
        self._converted_ns = 0
        self._pairing = Pairing(
            policy, self.counters, usable=self._usable, look=self._look, look_is_free=looks
        )
        self.recent = self._pairing.recent
        self._started: deque[_Started] = deque()

    def warm_up(self) -> None:
        """Compile, or load, the kernels outside the estimator that the first pair would wait for."""
        self._echo_centre.warm_up()
        if self._persistence is not None:
            self._persistence.warm_up()

    def look_ahead(self, recording: RecordedFrames) -> RfFormat:
        """Decide on the centre frequency of a recording, and return the format to use (`EchoCentre`)."""
        return self._echo_centre.look_ahead(recording)

    @property
    def format_decided(self) -> bool:
        """Whether further frames like the newest have the same grid: its centre frequency was checked."""
        return self._echo_centre.decided

    @property
    def pending(self) -> int:
        """Number of pairs that were started and not collected."""
        return len(self._started)

    @property
    def room(self) -> int:
        """Number of further pairs that can be started before one must be collected."""
        return 1 - self.pending if self._overlapping is None else self._overlapping.room

    def process(self, scanned: ScannerFrame) -> StrainFrame | None:
        """Take the next frame; return the strain of the pair that it completes, if any."""
        return self.collect() if self.start(scanned) else None

    def start(self, scanned: ScannerFrame) -> bool:
        """Take the next frame and start the work on its pair; return whether it makes one."""
        if self.drop_copies and self.recent.is_copy(scanned):
            self.recent.pass_over_copy()
            return False
        self.recent.add(scanned)
        newest = self.recent.take()
        return newest is not None and self.start_newest(newest)

    def start_newest(self, newest: RecentFrame) -> bool:
        """Start the work on the pair of a frame just taken from the ring; return whether it makes one."""
        started_ns = time.monotonic_ns()
        self._converted_ns = 0
        if not self._usable(newest):
            return False
        pair = self._pairing.pair(newest)
        if pair is None:
            return False
        paired_ns = time.monotonic_ns()
        strain = None
        if self._overlapping is None:
            strain = self.estimator(pair)
        else:
            self._overlapping.start(pair)
        self._started.append(
            _Started(pair, strain, started_ns, paired_ns, self._converted_ns, self._pairing.scene)
        )
        return True

    def _usable(self, recent: RecentFrame) -> bool:
        """Turn a frame into RF lines, once, and return whether it holds an image; count it if it does not."""
        if recent.usable is None:
            lines = self._rf_lines(recent.scanned)
            self._converted_ns += self._rf_lines.spent_ns
            fault = "" if lines is None else image_fault(lines.samples)
            if fault:
                self.counters.add(f"frame.{fault}")
            recent.usable = lines is not None and not fault
            if lines is not None and recent.usable:
                recent.scanned = recent.lines = self._echo_centre(lines)
            else:
                self.recent.settle(recent)
        elif recent.lines is not None and self._echo_centre.differs:
            # A frame from before the first echo, too, so that all frames of a pair have one format.
            recent.scanned = recent.lines = self._echo_centre.known(recent.lines)
        return recent.usable

    def _look(self, pair: FramePair) -> Look:
        return Look.of(self._elongation(pair))

    def collect(self) -> StrainFrame | None:
        """Return the strain of the oldest pair that was started; None if the pairing policy refuses it.

        For a frame from the wire the stage times also contain the time to ``decode`` it, its time in the
        ``queue``, and the ``total`` from its arrival to now; ``pair`` is the time for checking and pairing
        it.
        """
        started = self._started.popleft()
        pair, strain = started.pair, started.strain
        if strain is None:
            assert self._overlapping is not None
            strain = self._overlapping.collect()
        if not self._pairing.observe(pair, strain):
            return None
        stage_ns, bmode = dict(strain.stage_ns), strain.bmode
        if self._persistence is not None:
            before_ns = time.perf_counter_ns()
            pre_s, post_s = _times_s(pair)
            strain = self._persistence(strain, pre_s=pre_s, post_s=post_s, scene=started.scene)
            stage_ns["persistence"] = time.perf_counter_ns() - before_ns
        if self._accumulation is not None:
            before_ns = time.perf_counter_ns()
            strain = self._accumulation(strain, pair)
            stage_ns["accumulation"] = time.perf_counter_ns() - before_ns
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


def _times_s(pair: FramePair) -> tuple[float, float]:
    """Return when the frames of a pair were acquired, s from any start; without stamps, by their ids."""
    pre, post = pair.pre, pair.post
    if post.acquired_ns > pre.acquired_ns:
        return 1e-9 * pre.acquired_ns, 1e-9 * post.acquired_ns
    return UNTIMED_PERIOD_S * pre.frame_id, UNTIMED_PERIOD_S * post.frame_id


def image_fault(samples: np.ndarray) -> str:
    """Return why a frame holds no image: ``nonfinite``, ``constant``, or empty if it does hold one.

    Samples that are not finite lie outside the field of view. A frame without finite samples holds no
    image, and it is constant if all finite samples are equal.
    """
    low, high = samples.min(), samples.max()
    # A NaN anywhere makes both extremes NaN and an infinity is one of them, so two passes decide.
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = samples[np.isfinite(samples)]
        if finite.size == 0:
            return "nonfinite"
        low, high = finite.min(), finite.max()
    return "constant" if low == high else ""
