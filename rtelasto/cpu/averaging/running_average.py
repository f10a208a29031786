"""The kernels of `rtelasto.cpu.pattern_average`, which move patterns into and out of the average.

``sums`` holds, for each pixel of the average, Σ w·m, Σ w and Σ λ·w over the pairs in it, where w is the
weight of the pattern m, already faded by λ for the time since. The motion of a pixel's tissue is
known at coarse nodes, in rows, and for the whole image, in lines.
"""

from __future__ import annotations

import math

import numpy as np

from rtelasto.cpu.resample import FASTMATH
from rtelasto.host.compiled import kernel

# Differences of a pixel from its average up to this fraction of the average, and of 1, are not outliers: part
# of the difference between pairs is not noise.
TOLERANCE = np.float32(0.15)
LEAST_PATTERN = np.float32(0.3)
# In standard deviations, squared: beyond it, a pixel's weight falls with the fourth power of its distance.
OUTLIER_GATE2 = np.float32(9.0)
# Share of a pixel's average that a contradicting pattern removes: one is invisible, ten replace the average.
CONTRADICTION_LOSS = np.float32(0.15)
# Neighbouring pairs share frames, so their noise is correlated; and every engine has an error of its own.
SHARED_NOISE = np.float32(2.0)
OWN_ERROR = np.float32(0.012)
# Half of a Gaussian's squares lie below 0.455 of its variance.
MEDIAN_OF_SQUARES = np.float32(0.455)
FEWEST_PIXELS = 16
# A pattern is compared with the average at every LINE_STEP-th line and every ROW_STEP-th row.
LINE_STEP, ROW_STEP = 4, 6
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)
LARGEST_PATTERN = np.float32(1e3)
WHOLE_LINE = np.float32(0.01)
# Factor on sums that are read beyond the border of an image.
OUTSIDE = np.float32(1e-6)


@kernel(fastmath=FASTMATH)
def _along_line(image, node, share, rows, row_shares, out):  # type: ignore[no-untyped-def]
    """Interpolate a coarse image along one line, linearly between its nodes."""
    beside = min(node + 1, image.shape[0] - 1)
    last = image.shape[1] - 1
    nodes = np.empty(last + 2, np.float32)
    for k in range(last + 1):
        nodes[k] = image[node, k] + share * (image[beside, k] - image[node, k])
    nodes[last + 1] = nodes[last]
    for j in range(out.size):
        k = rows[j]
        out[j] = nodes[k] + row_shares[j] * (nodes[k + 1] - nodes[k])


@kernel(fastmath=FASTMATH)
def _moved_line(image, certainty, left, side, moved, value, trust):  # type: ignore[no-untyped-def]
    """Read an image where the tissue of one line was, and its least certainty there; 0 outside."""
    n_lines, n_rows = image.shape
    right = left + 1 if side > WHOLE_LINE else left
    if left < 0 or right >= n_lines:
        trust[:] = _ZERO
        return
    for j in range(n_rows):
        place = np.float32(j) + moved[j]
        ok = (place >= _ZERO) & (place <= np.float32(n_rows - 1))
        row = min(max(np.int32(place), 0), max(n_rows - 2, 0)) if ok else 0
        below = min(row + 1, n_rows - 1)
        share = place - np.float32(row)
        value[j] = image[left, row] + share * (image[left, below] - image[left, row])
        c = min(certainty[left, row], certainty[left, below])
        if right != left:
            other = image[right, row] + share * (image[right, below] - image[right, row])
            value[j] += side * (other - value[j])
            c = min(c, min(certainty[right, row], certainty[right, below]))
        trust[j] = c if ok else _ZERO


@kernel(fastmath=FASTMATH)
def add_pattern(  # type: ignore[no-untyped-def]
    strain,
    scale,
    certainty,
    compression,
    motion,
    shift,
    lines,
    line_shares,
    rows,
    row_shares,
    forget,
    variance,
    largest,
    sums,
    out,
    apart,
    begin,
    end,
):
    """Set out = forget · sums + the pattern, read where its tissue was, for lines begin … end.

    Parameters
    ----------
    strain, scale, certainty
        Those of the pair, at its own points; strain times scale is the pattern.
    compression
        Its smooth applied strain at the nodes.
    motion, shift
        How far the tissue of each pixel of the average has moved: in rows, at the nodes, and in lines.
    lines, line_shares, rows, row_shares
        The nodes around each pixel.
    forget
        Factor on the weights so far.
    variance
        Variance of a pattern of weight 1.
    largest
        Certainty above which weights do not increase.
    apart
        Receives, for each line, the median distance from the average so far in standard deviations and the
        median scatter; −1 if there is nothing to compare.
    """
    n_rows = strain.shape[1]
    moved, applied = np.empty(n_rows, np.float32), np.empty(n_rows, np.float32)
    value, trust = np.empty(n_rows, np.float32), np.empty(n_rows, np.float32)
    distances, scatters = np.empty(n_rows, np.float32), np.empty(n_rows, np.float32)
    whole_shift = np.int32(math.floor(shift))
    side = np.float32(shift - whole_shift)
    for i in range(begin, end):
        n_seen = 0
        compared = i % LINE_STEP == 0
        _along_line(motion, lines[i], line_shares[i], rows, row_shares, moved)
        _along_line(compression, lines[i], line_shares[i], rows, row_shares, applied)
        _moved_line(strain, certainty, i + whole_shift, side, moved, value, trust)
        for j in range(n_rows):
            total, weight = forget * sums[i, j, 0], forget * sums[i, j, 1]
            faded = forget * forget * sums[i, j, 2]
            c = min(trust[j], largest)
            m = scale * value[j]
            if c > _ZERO and abs(m) < LARGEST_PATTERN:
                new = c * c / (_ONE - c * c) * applied[j] * applied[j]
                if weight > _ZERO and new > _ZERO:
                    mean = total / weight
                    away = (m - mean) * (m - mean)
                    spread = _ONE / new + faded / (weight * weight)
                    slack = TOLERANCE * max(abs(mean), LEAST_PATTERN)
                    ratio = away / (variance * spread + slack * slack)
                    if compared and j % ROW_STEP == 0:
                        distances[n_seen] = ratio
                        scatters[n_seen] = away / spread
                        n_seen += 1
                    passes = _ONE / (_ONE + ratio / OUTLIER_GATE2)
                    doubt = _ONE - CONTRADICTION_LOSS * (_ONE - passes)
                    total *= doubt
                    weight *= doubt
                    faded *= doubt * doubt
                    new *= passes * passes
                total += new * m
                weight += new
                faded += new
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = total, weight, faded
        if n_seen >= FEWEST_PIXELS:
            apart[i, 0] = math.sqrt(np.median(distances[:n_seen]))
            apart[i, 1] = np.median(scatters[:n_seen]) / MEDIAN_OF_SQUARES
        else:
            apart[i, 0] = -1.0


@kernel(fastmath=FASTMATH)
def read_pattern(  # type: ignore[no-untyped-def]
    sums,
    motion,
    shift,
    lines,
    line_shares,
    rows,
    row_shares,
    variance,
    pattern,
    std,
    begin,
    end,
):
    """Read the average and its standard deviation at the points of a frame, to which its tissue moved; NaN
    where unknown. Parameters as for `add_pattern`."""
    n_lines, n_rows = pattern.shape
    moved = np.empty(n_rows, np.float32)
    known = np.empty((2, n_rows, 2), np.float32)
    whole_shift = np.int32(math.floor(-shift))
    side = np.float32(-shift - whole_shift)
    noise = SHARED_NOISE * variance
    for i in range(begin, end):
        _along_line(motion, lines[i], line_shares[i], rows, row_shares, moved)
        left = min(max(i + whole_shift, 0), n_lines - 1)
        right = min(left + 1, n_lines - 1) if side > WHOLE_LINE else left
        # Average each line first: interpolation between pixels is by position, independent of their weights.
        for k in range(2):
            line = left if k == 0 else right
            for j in range(n_rows):
                w = sums[line, j, 1]
                inverse = _ONE / w if w > _ZERO else _ZERO
                known[k, j, 0] = sums[line, j, 0] * inverse
                known[k, j, 1] = sums[line, j, 2] * inverse * inverse if w > _ZERO else -_ONE
        for j in range(n_rows):
            # Where this tissue was: the motion is smooth, so it is the same there to second order.
            place = min(max(np.float32(j) - moved[j], _ZERO), np.float32(n_rows - 1))
            row = min(np.int32(place), max(n_rows - 2, 0))
            below = min(row + 1, n_rows - 1)
            share = place - np.float32(row)
            total, faded, found = _ZERO, _ZERO, _ZERO
            for k in range(2):
                across = _ONE - side if k == 0 else side
                for down in range(2):
                    at = row if down == 0 else below
                    part = across * (_ONE - share if down == 0 else share)
                    if known[k, at, 1] >= _ZERO:
                        total += part * known[k, at, 0]
                        faded += part * known[k, at, 1]
                        found += part
            if found > np.float32(0.5):
                mean = total / found
                own = OWN_ERROR * max(abs(mean), LEAST_PATTERN)
                pattern[i, j] = mean
                std[i, j] = np.sqrt(noise * faded / found + own * own)
            else:
                pattern[i, j] = np.float32(np.nan)
                std[i, j] = np.float32(np.nan)


@kernel(fastmath=FASTMATH)
def move_sums(  # type: ignore[no-untyped-def]
    sums, motion, shift, lines, line_shares, rows, row_shares, out, begin, end
):
    """Move the sums to the points to which their tissue moved, into ``out``. Parameters: `add_pattern`."""
    n_lines, n_rows = sums.shape[:2]
    moved = np.empty(n_rows, np.float32)
    for i in range(begin, end):
        line = i - round(shift)
        _along_line(motion, lines[i], line_shares[i], rows, row_shares, moved)
        for j in range(n_rows):
            place = np.float32(j) - moved[j]
            if not (_ZERO <= place <= np.float32(n_rows - 1) and 0 <= line < n_lines):
                out[i, j, :] = _ZERO
                continue
            row = min(np.int32(place), max(n_rows - 2, 0))
            below = min(row + 1, n_rows - 1)
            share = place - np.float32(row)
            for q in range(3):
                out[i, j, q] = sums[line, row, q] + share * (
                    sums[line, below, q] - sums[line, row, q]
                )


@kernel(fastmath=FASTMATH)
def read_moved(  # type: ignore[no-untyped-def]
    images, motion, shift, lines, line_shares, rows, row_shares, step, out, begin, end
):
    """Read images (n_lines, n_depths, channels) at the points where their tissue was.

    Outside, the image's border is continued with a millionth of its size: of sums, the mean stays the same,
    and its weight is next to nothing.

    Parameters
    ----------
    images, out
        Those of every ``step``-th row.
    motion, shift, lines, line_shares, rows, row_shares
        As for `add_pattern`: how far from each pixel of ``out`` its tissue was.
    """
    n_lines, n_depths, n_channels = images.shape
    moved = np.empty(rows.size, np.float32)
    whole_shift = np.int32(math.floor(shift))
    side = np.float32(shift - whole_shift)
    for i in range(begin, end):
        _along_line(motion, lines[i], line_shares[i], rows, row_shares, moved)
        left = i + whole_shift
        right = left + 1 if side > WHOLE_LINE else left
        # A border line stands for half a line beyond it.
        across = np.float32(-0.5) <= np.float32(i) + shift <= np.float32(n_lines) - np.float32(0.5)
        left, right = min(max(left, 0), n_lines - 1), min(max(right, 0), n_lines - 1)
        for j in range(n_depths):
            place = np.float32(j) + moved[j * step] / np.float32(step)
            inside = across and np.float32(-0.5) <= place <= np.float32(n_depths) - np.float32(0.5)
            size = _ONE if inside else OUTSIDE
            place = min(max(place, _ZERO), np.float32(n_depths - 1))
            row = min(np.int32(place), max(n_depths - 2, 0))
            below = min(row + 1, n_depths - 1)
            share = place - np.float32(row)
            for q in range(n_channels):
                value = images[left, row, q]
                value += share * (images[left, below, q] - value)
                other = images[right, row, q]
                other += share * (images[right, below, q] - other)
                out[i, j, q] = size * (value + side * (other - value))
