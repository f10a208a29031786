"""One pair in, one strain frame out, on the GPU: upload → stretch → engine → add back → quality → download.

A frame passes through two graphs. The first uploads the frame and computes its baseband, once for all pairs
that contain it. The second processes a pair: it starts from two frames on the device and ends with the
download. A pair waits for the first graph of its frames and for nothing else. With two buffer sets, the
upload of one frame, the computation of another and the download of a third overlap.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.field_of_view import clear_outside, outside_view, poor_share, summarise
from rtelasto.cpu.measured_average import MeasuredAverage
from rtelasto.cpu.pattern_average import PatternAverage
from rtelasto.errors import first_line
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.strain import Elongation, StrainFrame
from rtelasto.gpu.engine import GpuEngine
from rtelasto.gpu.kernels import compile_kernels
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.pattern_average import GpuPatternAverage, OnDevice
from rtelasto.gpu.session import IN_FLIGHT, Lane, Session

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    """A pair that was started: the lane of its results, or the result of the fallback."""

    pair: FramePair
    started_ns: int
    lane: Lane | None = None
    finished: StrainFrame | None = None


@dataclass
class GpuEstimator:
    """Runs the stages between pairing and publishing on the GPU, up to two pairs at a time.

    Parameters
    ----------
    name
        Name of the engine, for the strain frames.
    samples_per_wavelength, axial_stride
        From the engine's metadata.
    engine_for
        Returns the engine for frames of (n_lines, n_depths) of the engine's grid. It is called once per
        format and may take as long as building a plan.
    fallback
        Processes pairs that the kernels do not support (extremely large or finely sampled ones).
    history
        How many frames back pairs reach; for pairs further apart the older frame is uploaded again.
    more_outputs
        What the network gives beside displacement and strain, by the names of the ONNX contract.
    eager
        Record no graphs.
    may_fall_back
        Use ``fallback`` for every pair of a format that the GPU cannot be prepared for.
    prepare
        Loads the libraries that ``engine_for`` needs for any format.
    """

    name: str
    samples_per_wavelength: float | None
    axial_stride: int
    engine_for: Callable[[tuple[int, int]], GpuEngine]
    fallback: Callable[[FramePair], StrainFrame]
    history: int = 16
    more_outputs: tuple[str, ...] = ()
    eager: bool = False
    may_fall_back: bool = False
    prepare: Callable[[], object] = lambda: None
    device: str = "gpu"
    _session: Session | None = field(default=None, init=False, repr=False)
    _session_for: tuple[RfFormat, bool] | None = field(default=None, init=False, repr=False)
    _pending: deque[_Pending] = field(default_factory=deque, init=False, repr=False)
    _collected: tuple[StrainFrame, OnDevice] | None = field(default=None, init=False, repr=False)

    def warm_up(self, rf_format: RfFormat | None = None) -> None:
        """Load and compile what all formats share and, if a format is given, prepare for its int16 frames.

        Without a format no plan is built: the scanner may send frames of any size, and building a plan takes
        seconds to minutes.
        """
        if rf_format is None:
            self.prepare()
            compile_kernels()
            return
        shape = (2, rf_format.n_lines, rf_format.n_samples)
        noise = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
        self(FramePair(RfFrame(noise[0], rf_format), RfFrame(noise[1], rf_format)))

    def __call__(self, pair: FramePair) -> StrainFrame:
        """Compute the strain of a pair, like :class:`rtelasto.cpu.estimator.CpuEstimator`, and wait for it.

        ``stage_ns`` has one entry, ``gpu``: from before the upload until the results are on the host.
        """
        if self._pending:
            raise RuntimeError("collect the pairs that were started first")
        self.start(pair)
        return self.collect()

    @property
    def newest_lane(self) -> Lane:
        """The lane of the pair that was started last, for tests that inspect the buffers."""
        lane = self._pending[-1].lane
        if lane is None:
            raise RuntimeError("the pair is not on the GPU")
        return lane

    @property
    def room(self) -> int:
        """How many more pairs can be started before one has to be collected."""
        return IN_FLIGHT - len(self._pending)

    def start(self, pair: FramePair) -> None:
        """Start a pair and return at once; :meth:`collect` returns the results in the same order."""
        if not self.room:
            raise RuntimeError(f"{IN_FLIGHT} pairs are in flight: collect one first")
        started_ns = time.perf_counter_ns()
        self._collected = None  # its buffers may be used again
        session = self._session_of(pair)
        if session is None:
            pending = _Pending(pair, started_ns, finished=self.fallback(pair))
        else:
            pending = _Pending(pair, started_ns, session.start(pair))
        self._pending.append(pending)

    def collect(self) -> StrainFrame:
        """Wait for the oldest pair that was started."""
        self._collected = None
        pending = self._pending.popleft()
        if pending.lane is None:
            assert pending.finished is not None
            return pending.finished
        pending.lane.done.synchronize()
        workspace = pending.lane.workspace
        images, summary = pending.lane.transfer.results()
        pair, rows = pending.pair, workspace.layout.rows
        quality, applied_strain = float(summary["quality"]), float(summary["applied_strain"])
        # This is rare, and the device does not know it: there, samples that are not finite are silence.
        outside = outside_view(pair.pre, rows)
        if outside is not None:
            clear_outside(outside, images["correlation"], images["post_warp_correlation"])
            quality, applied_strain = summarise(images["correlation"], images["strain"], outside)
        strain = StrainFrame(
            axial_strain=images["strain"],
            axial_displacement_m=images["displacement_m"],
            correlation=images["correlation"],
            grid=rows,
            frame_ids=(pair.pre.frame_id, pair.post.frame_id),
            acquired_ns=pair.post.acquired_ns,
            stream=pair.post.stream,
            clock=pair.post.clock,
            engine=self.name,
            quality=quality,
            applied_strain=applied_strain,
            poor_share=poor_share(images["correlation"], outside),
            post_warp_correlation=images["post_warp_correlation"],
            lateral_displacement_m=images.get("lateral_displacement_m"),
            lateral_strain=images.get("lateral_strain"),
            axial_strain_std=images.get("axial_strain_std"),
            elongation=Elongation(*(float(value) for value in summary["elongation"])),
            stage_ns={"gpu": time.perf_counter_ns() - pending.started_ns},
        )
        if outside is None:
            there = workspace.arrays
            self._collected = (
                strain,
                OnDevice(
                    there["strain"],
                    there.get("certainty", there["correlation"]),
                    images["node_means"],
                ),
            )
        return strain

    def average(self, grid: Grid) -> PatternAverage | MeasuredAverage | GpuPatternAverage:
        """Return an empty average over frames of this grid, on the GPU unless the CPU stands in for it."""
        if self.device == "cpu":
            fallback = self.fallback
            return (
                fallback.average(grid)
                if isinstance(fallback, CpuEstimator)
                else PatternAverage(grid)
            )
        return GpuPatternAverage(grid, self._find)

    def _find(self, strain: StrainFrame) -> OnDevice | None:
        """Return where the images of the frame collected last are, until the next pair is started."""
        collected = self._collected
        return None if collected is None or collected[0] is not strain else collected[1]

    def _session_of(self, pair: FramePair) -> Session | None:
        dtypes = (pair.pre.samples.dtype, pair.post.samples.dtype)
        is_float = not all(np.can_cast(dtype, np.int16) for dtype in dtypes)
        wanted = (pair.pre.format, is_float)
        if self._session_for != wanted:
            # Pairs in flight use the session that is about to be replaced.
            for pending in self._pending:
                if pending.lane is not None:
                    pending.lane.done.synchronize()
            layout = Layout(
                pair.pre.format,
                self.samples_per_wavelength,
                self.axial_stride,
                is_float,
                self.more_outputs,
            )
            self._session = None
            if not layout.unsupported():
                self._session = self._open_session(layout)
            self._session_for = wanted
        return self._session

    def _open_session(self, layout: Layout) -> Session | None:
        try:
            engine = self.engine_for(layout.grid.shape)
            session = Session(layout, engine, self.history, eager=self.eager)
        except Exception as error:  # CuPy and the runtimes raise their own types
            if not self.may_fall_back:
                raise
            reason = first_line(error)
            _log.warning(
                "the CPU processes frames of %s × %s: %s", *layout.grid.shape[::-1], reason
            )
            _log.debug("the GPU could not be prepared", exc_info=True)
            self.device = "cpu"
            return None
        self.device = "gpu"
        return session
