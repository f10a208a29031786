"""The average over time on the device, with the contract of `rtelasto.cpu.pattern_average`.

The decisions that `rtelasto.pipeline.persistence` makes are the same on both devices, and made on the host.
They need little of the device: the means of a pair at nodes, which come down with its images, and how far
each line is from the average. The average takes a pair when it is collected, because pairing refuses some
pairs then; the images are still on the device. Those that are not, of a pair that the CPU processed or whose
frame has parts outside the field of view, are uploaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rtelasto.cpu.averaging.measurement import Measurement, NodeMeans, measure, n_nodes
from rtelasto.cpu.averaging.running_average import LINE_STEP, ROW_STEP
from rtelasto.cpu.pattern_average import TissuePosition, places, usual
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.gpu.kernels import Kernels
from rtelasto.gpu.protocols import Launch
from rtelasto.gpu.records import AVERAGE
from rtelasto.gpu.source import CHUNK
from rtelasto.gpu.transfer import Mirror
from rtelasto.gpu.workspace import Parts, address, packed_bytes, unpacked, work_record


class OnDevice(NamedTuple):
    """Images of a pair on the device, float32 (n_lines, n_depths), and on the host its means at nodes."""

    strain: Any
    certainty: Any
    node_means: NodeMeans


def enqueue_add(launch: Launch, grid: Grid) -> None:
    """Write the average with a pair to ``spare``, and how far its lines are from the average to ``apart``."""
    launch("add_pattern", (grid.n_lines,), threads=256)


def enqueue_read(launch: Launch, grid: Grid) -> None:
    """Write the average at the points of a frame to ``relative_strain``, ``relative_strain_std``."""
    launch("read_pattern", (-(-grid.n_depths // CHUNK), grid.n_lines), threads=256)


def enqueue_move(launch: Launch, grid: Grid) -> None:
    """Write the sums, moved to the points of a frame, to ``spare``."""
    launch("move_sums", (-(-grid.n_depths // CHUNK), grid.n_lines), threads=256)


def order_parts(grid: Grid) -> Parts:
    """Return what goes up before a launch: the record as bytes, and images at the nodes."""
    nodes = (np.dtype(np.float32), n_nodes(grid))
    record = (np.dtype(np.uint8), (AVERAGE.itemsize,))
    return {"average": record, "tissue_rows": nodes, "compression": nodes}


class GpuPatternAverage:
    """Like `rtelasto.cpu.pattern_average.PatternAverage`, with the sums on the device.

    Its work is short and has priority over that of pairs. A method that returns images or numbers
    waits for them; none waits for the pairs in flight.

    Parameters
    ----------
    grid
        That of the frames.
    find
        Returns where the images of a frame are on the device, as long as they stay there until the next call
        of a method; None if they are not.

    Attributes
    ----------
    launch, stream
        What its kernels are launched with, and where.
    """

    def __init__(self, grid: Grid, find: Callable[[StrainFrame], OnDevice | None]) -> None:
        import cupy as cp

        self._grid, self._find = grid, find
        self.stream = cp.cuda.Stream(non_blocking=True, priority=-1)
        n_compared = -(-grid.n_lines // LINE_STEP), 2, -(-grid.n_depths // ROW_STEP)
        with self.stream:
            self._sums = cp.zeros((*grid.shape, 3), np.float32)
            self._spare = cp.zeros((*grid.shape, 3), np.float32)
            self._uploaded = cp.zeros((2, *grid.shape), np.float32)
            order = cp.zeros(packed_bytes(order_parts(grid)), np.uint8)
            images = cp.zeros((2, *grid.shape), np.float32)
            names = ("node_lines", "node_line_shares", "node_rows", "node_row_shares")
            nodes = {name: cp.asarray(t) for name, t in zip(names, places(grid), strict=True)}
            self._arrays = {
                **unpacked(order, order_parts(grid)),
                **nodes,
                "compared": cp.zeros(n_compared, np.float32),
                "apart": cp.zeros((grid.n_lines, 2), np.float32),
                "relative_strain": images[0],
                "relative_strain_std": images[1],
            }
            n_node_lines, n_node_rows = n_nodes(grid)
            numbers = {
                "n_lines": grid.n_lines,
                "n_rows": grid.n_depths,
                "n_node_lines": n_node_lines,
                "n_node_rows": n_node_rows,
            }
            self.launch = Kernels(work_record(cp, numbers, self._arrays))
        self._order, self._images = Mirror(order), Mirror(images)
        self._apart, self._pair = Mirror(self._arrays["apart"]), Mirror(self._uploaded)
        self._staged = unpacked(self._order.host, order_parts(grid))

    def measure(self, strain: StrainFrame) -> Measurement:
        """Return the contribution of a pair."""
        found = self._find(strain)
        return measure(strain, None if found is None else found.node_means)

    def clear(self) -> None:
        """Empty the average."""
        with self.stream:
            self._sums.fill(0.0)

    def try_pair(
        self, pair: Measurement, at: TissuePosition, forget: float, variance: float
    ) -> tuple[float, float]:
        """Like `PatternAverage.try_pair`."""
        found = self._find(pair.strain)
        with self.stream:
            if found is None:
                self._pair.host[0], self._pair.host[1] = pair.strain.axial_strain, pair.certainty
                self._pair.enqueue_upload()
            strain, certainty = self._uploaded if found is None else found[:2]
            self._staged["compression"][:] = pair.compression
            self._send(
                at,
                strain=address(strain),
                certainty=address(certainty),
                scale=1.0 / pair.strain.applied_strain,
                forget=forget,
                variance=variance,
            )
            enqueue_add(self.launch, self._grid)
            self._apart.enqueue_download()
        self.stream.synchronize()
        return usual(self._apart.host, variance)

    def accept(self) -> None:
        """Make what `try_pair` computed the average."""
        self._sums, self._spare = self._spare, self._sums

    def read(self, at: TissuePosition, variance: float) -> tuple[Float32Image, Float32Image]:
        """Like `PatternAverage.read`."""
        with self.stream:
            self._send(at, variance=variance)
            enqueue_read(self.launch, self._grid)
            self._images.enqueue_download()
        self.stream.synchronize()
        pattern, std = self._images.host.copy()
        return pattern, std

    def move_to(self, at: TissuePosition) -> None:
        """Like `PatternAverage.move_to`."""
        with self.stream:
            self._send(at)
            enqueue_move(self.launch, self._grid)
        self.stream.synchronize()  # the next order is written to the same memory
        self.accept()

    def _send(self, at: TissuePosition, **numbers: float) -> None:
        """Start the upload of what the next launch is about."""
        rows, lines = at.in_pixels(self._grid)
        self._staged["tissue_rows"][:] = rows
        record = self._staged["average"].view(AVERAGE)
        record["sums"], record["spare"] = address(self._sums), address(self._spare)
        for name, number in {"lines": lines, **numbers}.items():
            record[name] = number
        self._order.enqueue_upload()
