"""Search for large motion in a pair: block correlations vote for a motion linear in depth and line.

Every block of the pre-compression envelope is correlated with the post-compression one at all axial
and lateral lags that a hand-held press can cause. No single peak decides: the correlations are summed over
all blocks along every hypothesised motion (a Hough transform with correlations as votes), so that noise,
shadows and decorrelation weaken the true motion but cannot outvote it. The best hypotheses are then fitted to
the peaks near them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH
from rtelasto.cpu.stretching.baseband import Baseband
from rtelasto.cpu.stretching.block_motion import BlockGrid, block_grid
from rtelasto.cpu.stretching.global_motion import GlobalMotion, Vector, axial_design, robust_fit
from rtelasto.cpu.stretching.texture import Texture
from rtelasto.host.compiled import kernel

MAX_OFFSET_M = 2.0e-3
MAX_STRAIN = 0.055
MAX_TILTED_STRAIN = 0.08
MAX_LATERAL_LINES = 7
BLOCK_POINTS = 10
BLOCK_LINES = 8
N_HYPOTHESES = 2
PEAK_LAGS = 0.3  # peaks this close to the fit are not outliers
PEAK_RIDGE = 0.02
MIN_POINTS = 4  # shorter textures are not searched


@kernel(fastmath=FASTMATH)
def _score_volumes(pre, post, lines, points, axial_lags, lateral_lags, scores):  # type: ignore[no-untyped-def]
    """Compute scores[lateral block, axial block, lateral lag, axial lag]: mean product of the textures."""
    n_lines, n_points = pre.shape
    n_axial = 2 * axial_lags + 1
    padded = np.zeros((n_lines, n_points + 2 * axial_lags), np.float32)
    padded[:, axial_lags : axial_lags + n_points] = post
    row = np.empty(n_axial, np.float32)
    for s in range(lines.size - 1):
        for block in range(points.size - 1):
            count = (lines[s + 1] - lines[s]) * (points[block + 1] - points[block])
            for lag in range(2 * lateral_lags + 1):
                row[:] = 0.0
                for i in range(lines[s], lines[s + 1]):
                    other = i + lag - lateral_lags
                    if other < 0 or other >= n_lines:
                        continue
                    for n in range(points[block], points[block + 1]):
                        value = pre[i, n]
                        moved = padded[other, n : n + n_axial]
                        for a in range(n_axial):
                            row[a] += value * moved[a]
                for a in range(n_axial):
                    scores[s, block, lag, a] = row[a] / count


@kernel(fastmath=FASTMATH)
def _spread(scores, out):  # type: ignore[no-untyped-def]
    """Take the maximum over three neighbouring axial lags, so that coarse hypotheses do not miss a peak."""
    n_axial = scores.shape[3]
    for s in range(scores.shape[0]):
        for block in range(scores.shape[1]):
            for lag in range(scores.shape[2]):
                row, target = scores[s, block, lag], out[s, block, lag]
                for a in range(n_axial):
                    best = row[a]
                    if a > 0:
                        best = max(best, row[a - 1])
                    if a < n_axial - 1:
                        best = max(best, row[a + 1])
                    target[a] = best


@kernel(fastmath=FASTMATH)
def _vote_columns(scores, depth, axial_lags, tops, votes):  # type: ignore[no-untyped-def]
    """Compute votes[s, lateral lag, top, bottom], the sum over depth of the scores along a straight line.

    ``depth`` in 0 … 1 is the position of each axial block between top and bottom; top counts lags from
    -tops … tops, bottom from -axial_lags … axial_lags.
    """
    votes[:] = 0.0
    n_tops, n_bottom = 2 * tops + 1, 2 * axial_lags + 1
    where = np.empty(n_bottom, np.uint32)
    for block in range(scores.shape[1]):
        weight = depth[block]
        for t in range(n_tops):
            start = (t - tops + axial_lags) * (1.0 - weight) + 0.5
            for b in range(n_bottom):
                where[b] = np.uint32(start + weight * b)
            for s in range(scores.shape[0]):
                for lag in range(scores.shape[2]):
                    row, target = scores[s, block, lag], votes[s, lag, t]
                    for b in range(n_bottom):
                        target[b] += row[where[b]]


@kernel(fastmath=FASTMATH)
def _vote_tilts(votes, x, tops, max_slope, tilts, best):  # type: ignore[no-untyped-def]
    """Find the best of all hypotheses; tilts[k] = (top, bottom, lateral) lags by which x = ±1 differs.

    best[k] = (votes, lateral lag, top, bottom) for hypothesis k of the tilts.
    """
    n_lateral, n_tops, n_bottom = votes.shape[1], votes.shape[2], votes.shape[3]
    total = np.empty(n_bottom, np.float32)
    for k in range(tilts.shape[0]):
        best[k, 0] = -1e30
        for lag in range(n_lateral):
            for t in range(n_tops):
                total[:] = 0.0
                for s in range(x.size):
                    this_lag = lag + math.floor(tilts[k, 2] * x[s] + 0.5)
                    this_top = t + math.floor(tilts[k, 0] * x[s] + 0.5)
                    shift = math.floor(tilts[k, 1] * x[s] + 0.5)
                    if not (0 <= this_lag < n_lateral and 0 <= this_top < n_tops):
                        continue
                    row = votes[s, this_lag, this_top]
                    low, high = max(0, -shift), min(n_bottom, n_bottom - shift)
                    source = row[low + shift : high + shift]
                    target = total[low:high]
                    for b in range(target.size):
                        target[b] += source[b]
                offset = (n_bottom - 1) // 2 - (n_tops - 1) // 2 + t
                for b in range(max(0, offset - max_slope), min(n_bottom, offset + max_slope + 1)):
                    if total[b] > best[k, 0]:
                        best[k, 0] = total[b]
                        best[k, 1] = lag
                        best[k, 2] = t
                        best[k, 3] = b


@dataclass(frozen=True, slots=True, eq=False)
class SearchSpace:
    """The motions that are tried on frames of one format, in lags of ``step`` samples and in lines.

    ``points`` are the axial edges of the blocks in points of the texture. ``tilts`` (n, 3) contains the lags
    (top, bottom, lateral) by which the outermost lines differ from the middle.
    """

    step: int
    axial_lags: int
    tops: int
    max_slope: int
    lateral_lags: int
    blocks: BlockGrid
    points: NDArray[np.int64]
    tilts: NDArray[np.float64]


def search_space(frame: Baseband, n_points: int) -> SearchSpace:
    """Return the motions that a hand-held press can cause, for textures of ``n_points`` points per line."""
    rf_format = frame.format
    step = 2 * frame.decimation
    step_m = step * rf_format.axial_step_m
    depth_m = rf_format.n_samples * rf_format.axial_step_m
    reach = MAX_OFFSET_M + MAX_TILTED_STRAIN * depth_m
    axial_lags = max(1, min(math.ceil(reach / step_m), n_points - 1))
    blocks = block_grid(frame, BLOCK_LINES, 2 * BLOCK_POINTS)
    tilts = np.array(
        [
            (top, bottom, lateral)
            for top in (0, -2, 2)
            for bottom in (0, -2, 2, -4, 4)
            for lateral in (0, -1, 1, -2, 2)
        ],
        dtype=np.float64,
    )
    return SearchSpace(
        step,
        axial_lags,
        max(1, min(math.ceil(MAX_OFFSET_M / step_m), axial_lags)),
        math.ceil(MAX_STRAIN * depth_m / step_m) + 1,
        min(MAX_LATERAL_LINES, (rf_format.n_lines - 1) // 2),
        blocks,
        np.minimum(blocks.points // 2, n_points),
        tilts if blocks.shape[0] >= 3 else tilts[:1],
    )


def wide_search(
    frame: Baseband, pre: Texture, post: Texture, n_best: int = N_HYPOTHESES
) -> list[GlobalMotion]:
    """Return the global motions of a pair with the most votes, best first.

    Parameters
    ----------
    frame
        Baseband of either frame; defines the geometry.
    pre, post
        Textures of the two frames.
    n_best
        Number of hypotheses to fit and return.
    """
    n_points = pre.values.shape[1]
    if n_points < MIN_POINTS:
        return []
    space = search_space(frame, n_points)
    blocks, axial_lags, lateral_lags = space.blocks, space.axial_lags, space.lateral_lags
    tops, tilts = space.tops, space.tilts
    n_lateral, n_axial = blocks.shape
    scores = np.empty(
        (n_lateral, n_axial, 2 * lateral_lags + 1, 2 * axial_lags + 1), dtype=np.float32
    )
    _score_volumes(
        pre.values, post.values, blocks.lines, space.points, axial_lags, lateral_lags, scores
    )
    spread = np.empty_like(scores)
    _spread(scores, spread)
    z = blocks.z[:n_axial]
    votes = np.empty(
        (n_lateral, 2 * lateral_lags + 1, 2 * tops + 1, 2 * axial_lags + 1), np.float32
    )
    _vote_columns(spread, 0.5 * (z + 1.0), axial_lags, tops, votes)
    x = np.ascontiguousarray(blocks.x[::n_axial])
    best = np.empty((tilts.shape[0], 4))
    _vote_tilts(votes, x, tops, space.max_slope, tilts, best)
    motions = []
    for k in np.argsort(-best[:, 0])[:n_best]:
        _, lag, top, bottom = best[k]
        top_lag, bottom_lag = top - tops, bottom - axial_lags
        tilt_top, tilt_bottom, tilt_lateral = tilts[k]
        axial = np.array(
            [
                0.5 * (top_lag + bottom_lag),
                0.5 * (tilt_top + tilt_bottom),
                0.5 * (bottom_lag - top_lag),
                0.5 * (tilt_bottom - tilt_top),
            ]
        )
        lateral = np.array([lag - lateral_lags, tilt_lateral, 0.0])
        axial, lateral = _fit_peaks(scores, blocks.x, blocks.z, axial, lateral)
        motions.append(GlobalMotion(axial * space.step, lateral))
    return motions


@kernel(fastmath=FASTMATH)
def _peaks_near(scores, axial, lateral, axial_reach, lateral_reach, out):  # type: ignore[no-untyped-def]
    """Compute out[block] = (score, axial lag, lateral lag) of the highest score near a prediction."""
    n_axial_blocks = scores.shape[1]
    lateral_lags, axial_lags = (scores.shape[2] - 1) // 2, (scores.shape[3] - 1) // 2
    for k in range(axial.size):
        volume = scores[k // n_axial_blocks, k % n_axial_blocks]
        best, best_a, best_l = np.float32(0.0), -1, -1
        for lag in range(
            max(0, math.ceil(lateral[k] + lateral_lags - lateral_reach)),
            min(2 * lateral_lags, math.floor(lateral[k] + lateral_lags + lateral_reach)) + 1,
        ):
            for a in range(
                max(0, math.ceil(axial[k] + axial_lags - axial_reach)),
                min(2 * axial_lags, math.floor(axial[k] + axial_lags + axial_reach)) + 1,
            ):
                if volume[lag, a] > best:
                    best, best_a, best_l = volume[lag, a], a, lag
        out[k, 0] = best
        out[k, 1] = 0.0
        out[k, 2] = 0.0
        if best_a < 0:
            continue
        out[k, 1] = best_a - axial_lags
        out[k, 2] = best_l - lateral_lags
        if 0 < best_a < 2 * axial_lags:
            before, after = volume[best_l, best_a - 1], volume[best_l, best_a + 1]
            curvature = 2.0 * best - before - after
            if curvature > 1e-6:
                out[k, 1] += min(max(0.5 * (after - before) / curvature, -0.5), 0.5)
        if 0 < best_l < 2 * lateral_lags:
            before, after = volume[best_l - 1, best_a], volume[best_l + 1, best_a]
            curvature = 2.0 * best - before - after
            if curvature > 1e-6:
                out[k, 2] += min(max(0.5 * (after - before) / curvature, -0.5), 0.5)


def _fit_peaks(
    scores: NDArray[np.float32], x: Vector, z: Vector, axial: Vector, lateral: Vector
) -> tuple[Vector, Vector]:
    """Fit a motion (in lags) to the peaks of the blocks near a hypothesis, in a narrowing window."""
    design = axial_design(x, z)
    lateral_design = np.ascontiguousarray(design[:, :3])
    ridge = np.full(4, PEAK_RIDGE)
    peaks = np.empty((x.size, 3))
    for axial_reach, lateral_reach in ((2.5, 1.6), (2.0, 1.6), (1.6, 1.1)):
        predicted_axial = design @ axial
        predicted_lateral = lateral_design @ lateral
        _peaks_near(scores, predicted_axial, predicted_lateral, axial_reach, lateral_reach, peaks)
        weights = np.square(peaks[:, 0])
        if not weights.any():
            break
        axial = axial + robust_fit(design, peaks[:, 1] - predicted_axial, weights, PEAK_LAGS, ridge)
        lateral = lateral + robust_fit(
            lateral_design,
            peaks[:, 2] - predicted_lateral,
            weights,
            PEAK_LAGS,
            ridge[:3],
        )
    return axial, lateral
