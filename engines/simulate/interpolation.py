"""Cubic interpolation on regular nodes, its slopes, and its extrapolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.host.compiled import kernel

Float64Array = NDArray[np.float64]


@kernel()
def cubic_weights(t: float, n: int, weights: Float64Array, slopes: Float64Array) -> int:
    """Return the first of the four nodes for the cubic at t (in grid steps), and fill both weight rows.

    The ghost node beyond either end extends the end interval linearly, and outside the grid the field follows
    the tangent: affine fields are reproduced everywhere.
    """
    cell = min(max(int(np.floor(t)), 0), n - 2)
    f = t - cell
    if f < 0.0 or f > 1.0:
        w0, w1, w2, w3 = 0.0, 1.0 - f, f, 0.0
        d0, d1, d2, d3 = 0.0, -1.0, 1.0, 0.0
    else:
        w0 = ((-0.5 * f + 1.0) * f - 0.5) * f
        w1 = (1.5 * f - 2.5) * f * f + 1.0
        w2 = ((-1.5 * f + 2.0) * f + 0.5) * f
        w3 = (0.5 * f - 0.5) * f * f
        d0 = (-1.5 * f + 2.0) * f - 0.5
        d1 = (4.5 * f - 5.0) * f
        d2 = (-4.5 * f + 4.0) * f + 0.5
        d3 = (1.5 * f - 1.0) * f
    if cell == 0:
        weights[0], weights[1], weights[2], weights[3] = w1 + 2.0 * w0, w2 - w0, w3, 0.0
        slopes[0], slopes[1], slopes[2], slopes[3] = d1 + 2.0 * d0, d2 - d0, d3, 0.0
        return 0
    if cell == n - 2:
        weights[0], weights[1], weights[2], weights[3] = 0.0, w0, w1 - w3, w2 + 2.0 * w3
        slopes[0], slopes[1], slopes[2], slopes[3] = 0.0, d0, d1 - d3, d2 + 2.0 * d3
        return n - 4
    weights[0], weights[1], weights[2], weights[3] = w0, w1, w2, w3
    slopes[0], slopes[1], slopes[2], slopes[3] = d0, d1, d2, d3
    return cell - 1


@kernel()
def displacement_at(
    axial: Float64Array,
    lateral: Float64Array,
    tx: Float64Array,
    tz: Float64Array,
    out: Float64Array,
) -> None:
    """Compute out[0..1] = u, v at the points (tx, tz)."""
    wx, sx, wz, sz = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for p in range(tx.size):
        i0 = cubic_weights(tx[p], axial.shape[0], wx, sx)
        k0 = cubic_weights(tz[p], axial.shape[1], wz, sz)
        u_total, v_total = 0.0, 0.0
        for i in range(4):
            u, v = 0.0, 0.0
            for k in range(4):
                u += wz[k] * axial[i0 + i, k0 + k]
                v += wz[k] * lateral[i0 + i, k0 + k]
            u_total += wx[i] * u
            v_total += wx[i] * v
        out[0, p] = u_total
        out[1, p] = v_total


@kernel()
def gradient_at(
    axial: Float64Array,
    lateral: Float64Array,
    tx: Float64Array,
    tz: Float64Array,
    out: Float64Array,
) -> None:
    """Compute out[0..5] = u, v, ∂u/∂x, ∂u/∂z, ∂v/∂x, ∂v/∂z (per grid step) at the points (tx, tz)."""
    wx, sx, wz, sz = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for p in range(tx.size):
        i0 = cubic_weights(tx[p], axial.shape[0], wx, sx)
        k0 = cubic_weights(tz[p], axial.shape[1], wz, sz)
        for q in range(6):
            out[q, p] = 0.0
        for i in range(4):
            u, u_z, v, v_z = 0.0, 0.0, 0.0, 0.0
            for k in range(4):
                a, b = axial[i0 + i, k0 + k], lateral[i0 + i, k0 + k]
                u += wz[k] * a
                u_z += sz[k] * a
                v += wz[k] * b
                v_z += sz[k] * b
            out[0, p] += wx[i] * u
            out[1, p] += wx[i] * v
            out[2, p] += sx[i] * u
            out[3, p] += wx[i] * u_z
            out[4, p] += sx[i] * v
            out[5, p] += wx[i] * v_z


@kernel()
def interpolation_rows(
    t: Float64Array, n: int
) -> tuple[NDArray[np.int64], Float64Array, Float64Array]:
    """Return first node, weights and slopes (each (n_points, 4)) for many positions t on n nodes."""
    first = np.empty(t.size, np.int64)
    weights, slopes = np.empty((t.size, 4)), np.empty((t.size, 4))
    for p in range(t.size):
        first[p] = cubic_weights(t[p], n, weights[p], slopes[p])
    return first, weights, slopes


@kernel()
def along_depth(
    columns: Float64Array, first: NDArray[np.int64], weights: Float64Array, out: NDArray[np.float32]
) -> None:
    """Compute out[line, p] = the columns, (n_lines, n_nodes), weighted at the nodes of the rows."""
    for line in range(columns.shape[0]):
        column = columns[line]
        for p in range(first.size):
            k, w = first[p], weights[p]
            out[line, p] = (
                w[0] * column[k]
                + w[1] * column[k + 1]
                + w[2] * column[k + 2]
                + w[3] * column[k + 3]
            )
