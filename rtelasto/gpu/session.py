"""What belongs to one format of frames on a GPU: the ring of frames and two buffer sets with their graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.gpu.engine import GpuEngine
from rtelasto.gpu.graph import Sequence, Stage
from rtelasto.gpu.kernels import Kernels
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.quality import enqueue_quality
from rtelasto.gpu.stretch import enqueue_elongation, enqueue_ingest, enqueue_resampling
from rtelasto.gpu.transfer import Transfer
from rtelasto.gpu.workspace import Ring, Workspace

IN_FLIGHT = 2


class Lane:
    """A buffer set and the graphs that run on it: one pair at a time, from upload to download."""

    def __init__(
        self, layout: Layout, ring: Ring, engine: GpuEngine, upload_stream: Any, *, eager: bool
    ) -> None:
        import cupy as cp

        self.workspace = Workspace(cp, layout, ring)
        self.transfer = Transfer(self.workspace)
        self.stream = cp.cuda.Stream(non_blocking=True)
        self.upload_stream = upload_stream
        self.uploaded = cp.cuda.Event(disable_timing=True)
        self.done = cp.cuda.Event(disable_timing=True)
        launch = Kernels(self.workspace.work)
        bound = engine.bind(self.workspace, self.stream)
        # The buffers are zero, so the first, unrecorded run processes a silent frame.
        cp.cuda.Device().synchronize()
        self.ingest_stages = [
            Stage("upload", self.transfer.upload.enqueue_upload),
            Stage("ingest", lambda: enqueue_ingest(launch, layout)),
        ]
        self.pair_stages = [
            Stage("elongation", lambda: enqueue_elongation(launch, layout)),
            Stage("resampling", lambda: enqueue_resampling(launch, layout)),
            Stage("engine", bound.enqueue, bound.capturable),
            Stage("quality", lambda: enqueue_quality(launch, layout)),
            Stage("download", self.transfer.output.enqueue_download),
        ]
        blank = np.zeros((layout.rf_format.n_lines, layout.rf_format.n_samples), np.int16)
        self.transfer.stage(blank, pre_slot=0, post_slot=0)
        self._ingest = Sequence(self.ingest_stages, upload_stream, eager=eager)
        self._pair = Sequence(self.pair_stages, self.stream, eager=eager)

    def ingest(self, frame: RfFrame, *, pre_slot: int, post_slot: int) -> None:
        """Start the upload of a frame into ``post_slot`` of the ring."""
        self.uploaded.synchronize()  # the upload of the previous frame, from the same pinned memory
        self.transfer.stage(frame.samples, pre_slot=pre_slot, post_slot=post_slot)
        self._ingest.launch()
        self.uploaded.record(self.upload_stream)

    def estimate(self) -> None:
        """Start the computation of the pair that the last upload named."""
        self.stream.wait_event(self.uploaded)
        self._pair.launch()
        self.done.record(self.stream)


@dataclass(slots=True)
class _Slot:
    """A slot of the ring: its frame, the number of its upload, and that of the last pair that reads it."""

    frame: RfFrame | None = None
    came: int = 0
    read_by: int = -IN_FLIGHT


class Session:
    """Everything that belongs to one format of frames."""

    def __init__(self, layout: Layout, engine: GpuEngine, history: int, *, eager: bool) -> None:
        import cupy as cp

        self.layout = layout
        # As many frames as pairs reach back, plus those that pairs in flight still read: no upload waits.
        ring = Ring(cp, layout, slots=max(history, 1) + 1 + IN_FLIGHT)
        self._slots = [_Slot() for _ in range(ring.slots)]
        self._upload_stream = cp.cuda.Stream(non_blocking=True)
        self.lanes = [
            Lane(layout, ring, engine, self._upload_stream, eager=eager) for _ in range(IN_FLIGHT)
        ]
        # Of pairs and of uploads, from 1.
        self._n_pairs = self._n_frames = 0

    def start(self, pair: FramePair) -> Lane:
        """Start a pair on the next lane, which must be free."""
        self._n_pairs += 1
        lane = self.lanes[self._n_pairs % IN_FLIGHT]
        pre = self._find(pair.pre)
        if pre is None:
            pre = self._claim(pair.pre)
            lane.ingest(pair.pre, pre_slot=pre, post_slot=pre)
        post = self._claim(pair.post, but=pre)
        lane.ingest(pair.post, pre_slot=pre, post_slot=post)
        lane.estimate()
        for slot in (pre, post):
            self._slots[slot].read_by = self._n_pairs
        return lane

    def _find(self, frame: RfFrame) -> int | None:
        return next((k for k, slot in enumerate(self._slots) if slot.frame is frame), None)

    def _claim(self, frame: RfFrame, *, but: int = -1) -> int:
        """Return the slot of the earliest uploaded frame among those that no pair in flight reads.

        There is always one: a pair reads two, and the ring has slots for all pairs in flight. The least
        recently used slot would be wrong: at a fixed lag, that is the next one to be used.
        """
        free = [
            k
            for k, slot in enumerate(self._slots)
            if slot.read_by <= self._n_pairs - IN_FLIGHT and k != but
        ]
        oldest = min(free, key=lambda k: self._slots[k].came)
        self._n_frames += 1
        self._slots[oldest] = _Slot(frame, self._n_frames)
        return oldest
