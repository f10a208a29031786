"""Refinement of a global motion: rounds of block correlation and robust fit until it converges."""

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
# The motion has converged when no coefficient sum changes by more.
CONVERGED_SAMPLES = 0.15
CONVERGED_LINES = 0.08
# A fit that ignores outliers follows the largest part of the tissue that moves uniformly, and the engine has
# to find the residual elsewhere. The last rounds therefore use every block that correlates (|ρ| > 0.5), so
# that the residual is small everywhere instead of zero in most places.
TIGHT_ROUNDS = 6
TIGHT_SAMPLES = 0.3
TIGHT_LINES = 0.1
# They continue until the motion is the same to 1e-4 samples for any starting point: a round leaves a fiftieth
# of the error that it corrects. Back-ends that round differently then agree.
LEVELLING_ROUNDS = 4
LEVEL_SAMPLES = 0.005
LEVEL_LINES = 0.005
TRUSTED_INFORMATION = 0.33
LEVELLING_SAMPLES = 10.0
UNMOVED_LINES = 0.01  # lateral shifts that need no interpolation
FIXED = 1e12  # ridge that excludes a coefficient from the fit
# Blocks with less than this fraction of the energy of the median block have no echo.
SILENT_FRACTION = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Refinement:
    """A refined motion and the correlation of the blocks when the pair is warped by it.

    ``correlation`` (n_blocks,) contains only the blocks with an echo, 0…1; ``settled`` is whether the motion
    had converged in the last round.
    """

    motion: GlobalMotion
    correlation: Vector
    settled: bool

    @property
    def score(self) -> float:
        """Mean square correlation over the blocks with an echo, 0 … 1."""
        return float(np.mean(np.square(self.correlation))) if self.correlation.size else 0.0

    def explained(self, threshold: float) -> float:
        """Fraction of the blocks with an echo whose correlation is at least ``threshold``."""
        return float(np.mean(self.correlation >= threshold)) if self.correlation.size else 0.0


def ridges(n_lines: int, blocks: BlockGrid) -> tuple[Vector, Vector]:
    """Ridges of both fits, which keep at 0 the coefficients that the blocks or lines cannot determine."""
    n_lateral, n_axial = blocks.shape
    axial, lateral = np.full(4, 1e-6), np.full(3, 1e-6)
    if n_lateral < 3:
        axial[[1, 3]] = lateral[1] = FIXED
    if n_axial < 3:
        axial[[2, 3]] = lateral[2] = FIXED
    if n_lines < 4:
        lateral[:] = FIXED
    return axial, lateral


class Refiner:
    """Refines global motions of pairs of one format, with reusable buffers."""

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
        self._lateral_design = np.ascontiguousarray(self._axial_design[:, :3])
        self._axial_ridge, self._lateral_ridge = ridges(n_lines, self.blocks)

    def __call__(
        self, pre: Baseband, post: Baseband, motion: GlobalMotion, *, max_rounds: int = TIGHT_ROUNDS
    ) -> Refinement:
        """Return the motion near ``motion`` that explains the pair best.

        A round measures displacements up to about two baseband points (a third of a millimetre at 6.25 MHz)
        and one line away from the assumed motion. The blocks within that range move the fit, and the next
        round then reaches the others.
        """
        settled = False
        for _ in range(max_rounds):
            self._measure(pre, post, motion)
            refined, step = self._fit(motion, TIGHT_SAMPLES, self._weights[0])
            settled = step[0] < CONVERGED_SAMPLES and step[1] < CONVERGED_LINES
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
        """Fit the motion to the blocks of the last round; return it, and its change in samples and lines."""
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
        if not (step[0] < np.inf and step[1] < np.inf):  # samples near the limits of a float
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
