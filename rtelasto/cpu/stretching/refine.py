"""Refinement of a global motion: rounds of block correlation and robust fit until it stands still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtelasto.cpu.stretching.baseband import Baseband
from rtelasto.cpu.stretching.block_motion import (
    N_LAGS,
    PAD,
    BlockGrid,
    block_corrections,
    block_grid,
    correlate_blocks,
    warp_baseband,
)
from rtelasto.cpu.stretching.global_motion import (
    GlobalMotion,
    Vector,
    axial_design,
    half_sizes,
    robust_fit,
)

BLOCK_POINTS = 16
BLOCK_LINES = 8
# The motion stands still when no coefficient sum moves by more.
STILL_SAMPLES = 0.15
STILL_LINES = 0.08
# A fit that ignores outliers settles on the part of the tissue that moves most alike. What it leaves
# elsewhere the engine has to find: the last rounds take every block that correlates (|ρ| > 0.5) for
# what it is, so that the residual is small everywhere rather than nil in most places.
TIGHT_ROUNDS = 6
TIGHT_SAMPLES = 0.3
TIGHT_LINES = 0.1
# They go on until the motion is the same to 1e-4 samples however it was come by: what a round leaves
# is a fiftieth of what it corrects. Back-ends that round differently then agree.
LEVELLING_ROUNDS = 4
LEVEL_SAMPLES = 0.005
LEVEL_LINES = 0.005
TRUSTED_INFORMATION = 0.33
LEVELLING_SAMPLES = 10.0
UNMOVED_LINES = 0.01  # lateral shifts that need no interpolation
FIXED = 1e12  # ridge that takes a coefficient out of the fit
# Blocks with less than this fraction of the median block's energy hold no echo.
SILENT_FRACTION = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Refinement:
    """A refined motion and the correlation of the blocks when the pair is warped by it.

    ``correlation`` (n_blocks,) holds the blocks with an echo only, 0…1; ``settled`` says whether the
    motion stood still in the last round.
    """

    motion: GlobalMotion
    correlation: Vector
    settled: bool

    @property
    def score(self) -> float:
        """Mean square correlation over the blocks that hold an echo, 0 … 1."""
        return float(np.mean(np.square(self.correlation))) if self.correlation.size else 0.0

    def explained(self, threshold: float) -> float:
        """Fraction of the blocks with an echo that correlate at least so well."""
        return float(np.mean(self.correlation >= threshold)) if self.correlation.size else 0.0


def ridges(n_lines: int, blocks: BlockGrid) -> tuple[Vector, Vector]:
    """Ridges of the axial and the lateral fit: what too few blocks or lines cannot tell stays 0."""
    n_lateral, n_axial = blocks.shape
    axial, lateral = np.full(4, 1e-6), np.full(2, 1e-6)
    if n_lateral < 3:
        axial[[1, 3]] = lateral[1] = FIXED
    if n_axial < 3:
        axial[[2, 3]] = FIXED
    if n_lines < 4:
        lateral[:] = FIXED
    return axial, lateral


class Refiner:
    """Refines global motions of pairs of one format; holds the work space."""

    def __init__(self, frame: Baseband) -> None:
        self.blocks = block_grid(frame, BLOCK_LINES, BLOCK_POINTS)
        self._half = half_sizes(frame.format)
        n_lines, n_points = frame.shape
        n_lateral, n_axial = self.blocks.shape
        n_blocks = n_lateral * n_axial
        self._warped = np.zeros((2, n_lines + 2, n_points + 2 * PAD), np.float32)
        self._product = np.empty((2, N_LAGS, n_lateral, n_axial), np.float32)
        self._energy = np.empty((N_LAGS + 1, n_lateral, n_axial), np.float32)
        self._correlation = np.empty(n_blocks)
        self._change = np.empty((2, n_blocks))
        self._weights = np.empty((2, n_blocks))
        self._axial_design = axial_design(self.blocks.x, self.blocks.z)
        self._lateral_design = np.ascontiguousarray(self._axial_design[:, :2])
        self._axial_ridge, self._lateral_ridge = ridges(n_lines, self.blocks)

    def __call__(
        self, pre: Baseband, post: Baseband, motion: GlobalMotion, *, max_rounds: int = TIGHT_ROUNDS
    ) -> Refinement:
        """The motion near ``motion`` that explains the pair best.

        A round sees displacements up to about two baseband points (a third of a millimetre at
        6.25 MHz) and one line from where it assumes them; blocks that it does see carry the fit, and
        with it the next round, on to the others.
        """
        settled = False
        for _ in range(max_rounds):
            self._measure(pre, post, motion)
            refined, step = self._fit(motion, TIGHT_SAMPLES, self._weights[0])
            settled = step[0] < STILL_SAMPLES and step[1] < STILL_LINES
            if settled:
                break
            motion = refined
        if not settled:
            self._measure(pre, post, motion)
        for _ in range(LEVELLING_ROUNDS):
            information = self._weights[0]
            trusted = np.where(information > TRUSTED_INFORMATION, np.minimum(information, 1.0), 0.0)
            if not trusted.any():
                break
            motion, step = self._fit(motion, LEVELLING_SAMPLES, trusted)
            if step[0] < LEVEL_SAMPLES and step[1] < LEVEL_LINES:
                break
            self._measure(pre, post, motion)
        return Refinement(motion, self._correlation[self._correlation >= 0.0], settled)

    def _fit(
        self, motion: GlobalMotion, scale_floor: float, axial_weights: Vector
    ) -> tuple[GlobalMotion, tuple[float, float]]:
        """The motion moved to where the blocks of the last round say, and by how many samples and lines."""
        axial = robust_fit(
            self._axial_design, self._change[0], axial_weights, scale_floor, self._axial_ridge
        )
        lateral = robust_fit(
            self._lateral_design,
            self._change[1],
            self._weights[1],
            TIGHT_LINES,
            self._lateral_ridge,
        )
        step = float(np.abs(axial).sum()), float(np.abs(lateral).sum())
        if not (step[0] < np.inf and step[1] < np.inf):  # samples at the ends of what a float holds
            return motion, (0.0, 0.0)
        return motion.changed_by(axial, lateral), step

    def _measure(self, pre: Baseband, post: Baseband, motion: GlobalMotion) -> None:
        omega = 2.0 * np.pi * post.cycles_per_sample
        warp_baseband(
            post.real,
            post.imag,
            motion.axial,
            motion.lateral,
            self._half,
            post.decimation,
            post.first_sample,
            omega,
            UNMOVED_LINES,
            self._warped,
        )
        blocks = self.blocks
        correlate_blocks(
            pre.real,
            pre.imag,
            self._warped,
            blocks.lines,
            blocks.points,
            self._product,
            self._energy,
        )
        floor = max(SILENT_FRACTION * float(np.median(self._energy[N_LAGS])), 1e-12)
        block_corrections(
            self._product,
            self._energy,
            post.decimation,
            omega,
            floor,
            self._correlation,
            self._change,
            self._weights,
        )
