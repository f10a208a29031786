"""The input of the wide search: the coarse envelope of a frame, with uniform strength."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH
from rtelasto.cpu.stretching.baseband import Baseband
from rtelasto.host.compiled import kernel

NORMALISING_POINTS = 7  # half the axial window of the local normalisation
NORMALISING_LINES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """The envelope of a frame at half the baseband rate, compressed, with local mean 0 and variance 1.

    ``values`` is float32 (n_lines, n_points); point m lies half-way between the baseband points 2m
    and 2m + 1.
    """

    values: NDArray[np.float32]


@kernel(fastmath=FASTMATH)
def _box_sum(line, half, out):  # type: ignore[no-untyped-def]
    n = line.size
    total = 0.0
    for k in range(min(half, n)):
        total += line[k]
    for k in range(n):
        if k + half < n:
            total += line[k + half]
        if k - half - 1 >= 0:
            total -= line[k - half - 1]
        out[k] = total


@kernel(fastmath=FASTMATH)
def _texture(real, imag, half_lines, half_points):  # type: ignore[no-untyped-def]
    n_lines, n_points = real.shape[0], real.shape[1] // 2
    values = np.empty((n_lines, n_points), np.float32)
    for i in range(n_lines):
        p, q, out = real[i], imag[i], values[i]
        for m in range(n_points):
            a = p[2 * m] * p[2 * m] + q[2 * m] * q[2 * m]
            b = p[2 * m + 1] * p[2 * m + 1] + q[2 * m + 1] * q[2 * m + 1]
            out[m] = (a + b) ** np.float32(0.25)
    sums = np.empty((2, n_lines, n_points), np.float64)
    line = np.empty(n_points, np.float64)
    for i in range(n_lines):
        for m in range(n_points):
            line[m] = values[i, m]
        _box_sum(line, half_points, sums[0, i])
        for m in range(n_points):
            line[m] = line[m] * line[m]
        _box_sum(line, half_points, sums[1, i])
    counts = np.ones(n_points, np.float64)
    axial_count = np.empty(n_points, np.float64)
    _box_sum(counts, half_points, axial_count)
    column = np.zeros((2, n_points), np.float64)
    lines_in = 0
    result = np.empty_like(values)
    for k in range(min(half_lines, n_lines)):
        lines_in += 1
        column += sums[:, k]
    for i in range(n_lines):
        if i + half_lines < n_lines:
            lines_in += 1
            column += sums[:, i + half_lines]
        if i - half_lines - 1 >= 0:
            lines_in -= 1
            column -= sums[:, i - half_lines - 1]
        for m in range(n_points):
            count = lines_in * axial_count[m]
            mean = column[0, m] / count
            variance = column[1, m] / count - mean * mean
            if variance > 1e-6 * mean * mean and variance > 0.0:
                result[i, m] = (values[i, m] - mean) / math.sqrt(variance)
            else:
                result[i, m] = 0.0
    return result


def texture(frame: Baseband) -> Texture:
    """Return the texture of a frame's baseband."""
    return Texture(_texture(frame.real, frame.imag, NORMALISING_LINES, NORMALISING_POINTS))
