"""What one pair contributes to the average over time: a pattern, its precision, and the tissue's motion.

This module is the interface between measurement and average. The pattern is the finished strain image divided
by the applied strain; `rtelasto.cpu.measured_average` averages what a network measured besides. What reads
whole images has a counterpart in `rtelasto/gpu/cuda/average.cuh`; the rest is for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.host.compiled import kernel

# Spacing of the nodes of the coarse images, in pixels: motion and compression are smooth.
NODE_LINES, NODE_ROWS = 8, 16
# Below this, tissue is at rest, and any strain is noise.
LEAST_APPLIED_STRAIN = 2e-4
# If most of a pair does not correlate, its strain and motion are not those of the tissue.
LEAST_QUALITY = 0.5
# Correlations nearer to 1 than this carry no further information on the precision of strain.
LARGEST_CORRELATION = 0.995
# Variance of the strain of a pair is about this times (1 − c²) / c² at the correlation c: that of weight 1.
UNIT_VARIANCE = 1.5e-7
# Means over a node leave out pixels of less than this correlation, to the fourth power, and values that no
# tissue has: displacements beyond 1 m, strains beyond 1.
LEAST_TRUST = np.float32(0.0625)
LARGEST_MOTION = np.float32(1.0)
# Bounds of the smooth compression, relative to the applied strain, so that no pixel's weight is extreme.
_MIN_RELATIVE, _MAX_RELATIVE = 0.2, 2.0

# Float32 (3, nodes across the lines, nodes in depth).
NodeMeans = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """The contribution of one pair to the average, at pre-compression points.

    Attributes
    ----------
    strain
        The frame of the pair; the pattern is its strain over its applied strain.
    certainty
        (n_lines, n_depths), 0…1: the correlation, or the one that goes with the strain's standard deviation.
    compression
        The smooth applied strain at the nodes, magnitude, float32.
    motion_m
        Axial displacement from the pre- to the post-compression frame at the nodes, float32.
    lateral_m
        Lateral displacement, the same everywhere.
    weight
        Of the pair as a whole: the median weight of its pixels.
    """

    strain: StrainFrame
    certainty: Float32Image
    compression: Float32Image
    motion_m: Float32Image
    lateral_m: float
    weight: float


def measure(strain: StrainFrame, means: NodeMeans | None = None) -> Measurement:
    """Return the contribution of a pair: no weight without information, no motion if it was not tracked.

    ``means`` are its `node_means`, where they are known already.
    """
    motion_m, coarse, trust = node_means(strain) if means is None else means
    motion_m = _filled(motion_m, trust)
    applied = strain.applied_strain
    certainty, usual = strain.correlation, strain.quality
    if strain.axial_strain_std is not None:
        certainty = _certainty(strain.axial_strain_std, strain.correlation)
        usual = float(np.median(certainty))
    weight = 0.0
    if not strain.quality >= LEAST_QUALITY:
        motion_m, trust = np.zeros_like(motion_m), np.zeros_like(trust)
    if abs(applied) >= LEAST_APPLIED_STRAIN and bool(trust.any()):
        weight = _precision(usual) * applied**2
    compression = np.abs(_smooth(coarse, trust, applied)) if weight else np.zeros_like(trust)
    lateral_m = 0.0
    if strain.elongation is not None:
        middle_m = np.asarray(strain.grid.depth_m.mean())
        lateral_m = float(strain.elongation.lateral_displacement_m(np.asarray(0.0), middle_m))
    return Measurement(strain, certainty, compression, motion_m, lateral_m, weight)


def n_nodes(grid: Grid) -> tuple[int, int]:
    """Return how many nodes there are across the lines and in depth."""
    return -(-grid.n_lines // NODE_LINES), -(-grid.n_depths // NODE_ROWS)


def node_means(strain: StrainFrame) -> NodeMeans:
    """Return the means over the pixels around each node: displacement in m, strain, and their weight."""
    means = np.empty((3, *n_nodes(strain.grid)), np.float32)
    trust = strain.displacement_correlation
    _block_means(strain.axial_displacement_m, strain.axial_strain, trust, means)
    return means


def _filled(motion_m: Float32Image, trust: Float32Image) -> Float32Image:
    """Return the motion where nodes without correlation take that of the node above them, or none."""
    known = np.where(trust > 0.0, np.arange(trust.shape[1]), 0)
    return np.take_along_axis(motion_m, np.maximum.accumulate(known, axis=1), axis=1)


def _certainty(std: Float32Image, correlation: Float32Image) -> Float32Image:
    """Return the correlation at which strain usually has this standard deviation; 0 where nothing correlates.

    (1 − c²) / c² · UNIT_VARIANCE = σ² gives c = 1 / √(1 + σ² / UNIT_VARIANCE).
    """
    certainty = 1.0 / np.sqrt(1.0 + std * std * np.float32(1.0 / UNIT_VARIANCE))
    return np.where((correlation > 0.0) & np.isfinite(std), certainty, np.float32(0.0))


def _precision(correlation: float) -> float:
    """Precision of strain, up to a constant: c² / (1 − c²)."""
    c = min(correlation, LARGEST_CORRELATION)
    return c * c / (1.0 - c * c) if c > 0.0 else 0.0


@lru_cache
def _polynomial(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the values of 1, x, z, xz, z² at the nodes: (nodes, 5), x across the lines and z in depth."""
    x, z = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    return np.stack([np.ones_like(x), x, z, x * z, z * z], axis=-1).reshape(-1, 5)


def _smooth(coarse: Float32Image, trust: Float32Image, applied: float) -> Float32Image:
    """Fit the compression by a polynomial across the lines and in depth."""
    design = _polynomial(coarse.shape)
    weighted = design * trust.reshape(-1, 1)
    gram = weighted.T @ design + 1e-6 * np.eye(5) * float(trust.sum())
    fitted = design @ np.linalg.solve(gram, weighted.T @ coarse.reshape(-1).astype(np.float64))
    relative = np.clip(fitted / applied, _MIN_RELATIVE, _MAX_RELATIVE)
    return (abs(applied) * relative).reshape(coarse.shape).astype(np.float32)


@kernel(fastmath=FASTMATH)
def _block_means(displacement, strain, correlation, means):  # type: ignore[no-untyped-def]
    """Compute means over blocks around each node, weighted by the correlation to the fourth power."""
    n_lines, n_rows = displacement.shape
    for i in range(means.shape[1]):
        for j in range(means.shape[2]):
            total, moved, strained = 0.0, 0.0, 0.0
            for line in range(i * NODE_LINES, min((i + 1) * NODE_LINES, n_lines)):
                for row in range(j * NODE_ROWS, min((j + 1) * NODE_ROWS, n_rows)):
                    c2 = correlation[line, row] * correlation[line, row]
                    u, s = displacement[line, row], strain[line, row]
                    if (
                        c2 * c2 > LEAST_TRUST
                        and abs(u) < LARGEST_MOTION
                        and abs(s) < LARGEST_MOTION
                    ):
                        total += c2 * c2
                        moved += c2 * c2 * u
                        strained += c2 * c2 * s
            means[0, i, j] = moved / total if total > 0.0 else 0.0
            means[1, i, j] = strained / total if total > 0.0 else 0.0
            means[2, i, j] = total


def node_places(n_pixels: int, spacing: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each pixel the node before it and the position between it and the next node, 0…1.

    A node stands for the middle of its block; pixels beyond the first and last node use that node.
    """
    starts = range(0, n_pixels, spacing)
    middles = np.array([0.5 * (at + min(at + spacing, n_pixels) - 1) for at in starts])
    place = np.interp(np.arange(n_pixels), middles, np.arange(len(starts), dtype=np.float64))
    first = np.minimum(place.astype(np.int64), max(len(starts) - 2, 0))
    return first, (place - first).astype(np.float32)
