"""Motion of blocks relative to an assumed global motion: the kernels of one round of refinement.

The post-compression baseband is warped by the assumed motion and correlated block by block with the
pre-compression one at a few axial and lateral lags. The magnitude over lags locates the peak coarsely but
without ambiguity; the phase locates it precisely but only up to whole cycles. The magnitude selects the cycle
of the phase, as in the combined autocorrelation method (Shiina et al., J. Med. Ultrasonics 29, 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FAR, FASTMATH, clear_beside, run_length
from rtelasto.cpu.stretching.baseband import Baseband
from rtelasto.cpu.stretching.global_motion import Vector, half_sizes
from rtelasto.host.compiled import kernel

AXIAL_LAGS = 2  # lags -2 … 2 of one baseband point each
N_LAGS = 2 * AXIAL_LAGS + 3  # and one line on either side
PAD = AXIAL_LAGS  # zeros before and after a warped line


@dataclass(frozen=True, slots=True, eq=False)
class BlockGrid:
    """Edges of the blocks, and their centres in coordinates from -1 to 1."""

    lines: NDArray[np.int64]  # edges, (n_lateral + 1,)
    points: NDArray[np.int64]  # edges, (n_axial + 1,)
    x: Vector  # (n_lateral · n_axial,), axial index fastest
    z: Vector

    @property
    def shape(self) -> tuple[int, int]:
        return self.lines.size - 1, self.points.size - 1


def block_grid(frame: Baseband, block_lines: int, block_points: int) -> BlockGrid:
    """Return blocks of about the requested size that tile the frame."""
    n_lines, n_points = frame.shape
    lines = np.linspace(0, n_lines, max(1, round(n_lines / block_lines)) + 1).astype(np.int64)
    points = np.linspace(0, n_points, max(1, round(n_points / block_points)) + 1).astype(np.int64)
    half_width, middle, half_depth = half_sizes(frame.format)
    x = (0.5 * (lines[1:] + lines[:-1] - 1) - 0.5 * (n_lines - 1)) / half_width
    centre = frame.decimation * 0.5 * (points[1:] + points[:-1] - 1) + frame.first_sample
    z = (centre - middle) / half_depth
    return BlockGrid(lines, points, np.repeat(x, z.size), np.tile(z, x.size))


@kernel(fastmath=FASTMATH)
def _read_run(source, base, f, drift, out):  # type: ignore[no-untyped-def]
    """Compute out[k] = source at base + k + (f + drift k), a run over which the base advances by one.

    Four-point cubic convolution (Keys, IEEE Trans. ASSP 29(6), 1981).
    """
    half = np.float32(0.5)
    s = source[base - 1 : base + 2 + out.size]
    for k in range(out.size):
        t = f + drift * np.float32(np.int32(k))
        s0, s1, s2, s3 = s[k], s[k + 1], s[k + 2], s[k + 3]
        c1 = half * (s2 - s0)
        c2 = s0 - np.float32(2.5) * s1 + np.float32(2.0) * s2 - half * s3
        c3 = half * (s3 - s0) + np.float32(1.5) * (s1 - s2)
        out[k] = s1 + t * (c1 + t * (c2 + t * c3))


@kernel(fastmath=FASTMATH)
def _gather_slanted(plane, position, drift, out):  # type: ignore[no-untyped-def]
    """Compute out[n] = the plane at the fractional line position + drift n; 0 outside.

    As `_gather_lines`, in runs between the same lines.
    """
    n_lines, last = plane.shape[0], plane.shape[0] - 1
    half = np.float32(0.5)
    if not (abs(position) < FAR and abs(drift) < FAR):  # NaN included
        out[:] = 0.0
        return
    n = 0
    while n < out.size:
        here = position + drift * n
        base = math.floor(here)
        f = here - base
        run = run_length(f, drift, out.size - n)
        target = out[n : n + run]
        a = plane[min(max(base - 1, 0), last), n : n + run]
        b = plane[min(max(base, 0), last), n : n + run]
        c = plane[min(max(base + 1, 0), last), n : n + run]
        d = plane[min(max(base + 2, 0), last), n : n + run]
        single, change = np.float32(f), np.float32(drift)
        for k in range(run):
            t = single + change * np.float32(np.int32(k))
            s0, s1, s2, s3 = a[k], b[k], c[k], d[k]
            c1 = half * (s2 - s0)
            c2 = s0 - np.float32(2.5) * s1 + np.float32(2.0) * s2 - half * s3
            c3 = half * (s3 - s0) + np.float32(1.5) * (s1 - s2)
            target[k] = s1 + t * (c1 + t * (c2 + t * c3))
        n += run
    clear_beside(out, position, drift, n_lines)


@kernel(fastmath=FASTMATH)
def _gather_lines(plane, position, out):  # type: ignore[no-untyped-def]
    """Compute out = the plane at a fractional line, by four-point cubic convolution across the lines."""
    n_lines = plane.shape[0]
    base = math.floor(position)
    f = position - base
    weights = (
        np.float32(0.5 * (-f * f * f + 2.0 * f * f - f)),
        np.float32(0.5 * (3.0 * f * f * f - 5.0 * f * f + 2.0)),
        np.float32(0.5 * (-3.0 * f * f * f + 4.0 * f * f + f)),
        np.float32(0.5 * (f * f * f - f * f)),
    )
    a = plane[min(max(base - 1, 0), n_lines - 1)]
    b = plane[min(max(base, 0), n_lines - 1)]
    c = plane[min(max(base + 1, 0), n_lines - 1)]
    d = plane[min(max(base + 2, 0), n_lines - 1)]
    for n in range(out.size):
        out[n] = weights[0] * a[n] + weights[1] * b[n] + weights[2] * c[n] + weights[3] * d[n]


@kernel(fastmath=FASTMATH)
def warp_baseband(  # type: ignore[no-untyped-def]
    real, imag, axial, lateral, half, decimation, first_sample, omega, negligible, out
):
    """Compute out[:, 1 + i, PAD + n] = post baseband warped by the motion, rotated back to the phase of pre.

    ``axial`` and ``lateral`` are the coefficients of a GlobalMotion, ``half`` the half sizes of the
    frame, ``omega`` the demodulation frequency in radians per sample; lateral shifts, and a lateral shear,
    below ``negligible`` lines are ignored. Points outside the frame are 0.
    """
    n_lines, n_points = real.shape
    half_width, middle, half_depth = half
    buffer = np.zeros((2, n_points + 4), np.float32)
    source_real, source_imag = buffer[0], buffer[1]
    turn = np.empty((2, n_points), np.float32)
    slanted = abs(lateral[2]) >= negligible
    sideways = slanted or abs(lateral[0]) + abs(lateral[1]) >= negligible
    for i in range(n_lines):
        x = (i - 0.5 * (n_lines - 1)) / half_width
        target_real, target_imag = out[0, i + 1], out[1, i + 1]
        target_real[:] = 0.0
        target_imag[:] = 0.0
        position = i + (lateral[0] + lateral[1] * x if sideways else 0.0)
        # displacement at point n, in samples: start + slope n
        gradient = (axial[2] + axial[3] * x) / half_depth
        slope = gradient * decimation
        start = axial[0] + axial[1] * x + gradient * (first_sample - middle)
        if slanted:
            # It is read at its point m = n + (start + slope n) / decimation.
            drift = lateral[2] * decimation / half_depth / (1.0 + gradient)
            position += lateral[2] * (first_sample - middle) / half_depth
            position -= drift * start / decimation
            _gather_slanted(real, position, drift, source_real[1 : 1 + n_points])
            _gather_slanted(imag, position, drift, source_imag[1 : 1 + n_points])
        elif position < -0.5 or position > n_lines - 0.5:
            continue
        elif sideways:
            _gather_lines(real, position, source_real[1 : 1 + n_points])
            _gather_lines(imag, position, source_imag[1 : 1 + n_points])
        else:
            source_real[1 : 1 + n_points] = real[i]
            source_imag[1 : 1 + n_points] = imag[i]
        turn_real, turn_imag = math.cos(omega * start), math.sin(omega * start)
        step_real, step_imag = math.cos(omega * slope), math.sin(omega * slope)
        for n in range(n_points):
            turn[0, n] = turn_real
            turn[1, n] = turn_imag
            turned = turn_real * step_real - turn_imag * step_imag
            turn_imag = turn_real * step_imag + turn_imag * step_real
            turn_real = turned
        drift = slope / decimation
        n = 0
        while n < n_points:
            moved = n + (start + slope * n) / decimation
            if not (moved >= 0.0 and moved < n_points - 1.0):  # NaN included
                n += 1
                continue
            base = int(moved)
            f = moved - base
            run = run_length(f, drift, min(n_points - n, n_points - 1 - base))
            first, last = PAD + n, PAD + n + run
            single, change = np.float32(f), np.float32(drift)
            _read_run(source_real, base + 1, single, change, target_real[first:last])
            _read_run(source_imag, base + 1, single, change, target_imag[first:last])
            n += run
        p, q = target_real[PAD : PAD + n_points], target_imag[PAD : PAD + n_points]
        for n in range(n_points):
            value = p[n] * turn[0, n] - q[n] * turn[1, n]
            q[n] = p[n] * turn[1, n] + q[n] * turn[0, n]
            p[n] = value


@kernel(fastmath=FASTMATH)
def correlate_blocks(real, imag, warped, lines, points, product, energy):  # type: ignore[no-untyped-def]
    """Compute the correlation sums of every block at every lag.

    ``product`` (2, N_LAGS, n_lateral, n_axial) becomes Σ conj(pre)·post, real and imaginary;
    ``energy`` (N_LAGS + 1, n_lateral, n_axial) Σ |post|² at every lag and, last, Σ |pre|².
    """
    n_points = real.shape[1]
    n_padded = warped.shape[2]
    # sums over the lines of a block, point by point
    sums = np.empty((2 * N_LAGS, n_points), np.float32)
    power = np.empty((4, n_padded), np.float32)  # post: this line, line before, line after; pre
    for block in range(lines.size - 1):
        sums[:] = 0.0
        power[:] = 0.0
        for i in range(lines[block], lines[block + 1]):
            a, b = real[i], imag[i]
            own = power[3]
            for n in range(n_points):
                own[n] += a[n] * a[n] + b[n] * b[n]
            for side in range(3):
                line = i + 1 if side == 0 else i + 2 * (side - 1)
                c, d = warped[0, line], warped[1, line]
                target = power[side]
                for n in range(n_padded):
                    target[n] += c[n] * c[n] + d[n] * d[n]
            for lag in range(N_LAGS):
                line, first = i + 1, lag
                if lag > 2 * AXIAL_LAGS:
                    line, first = i + 2 * (lag - 2 * AXIAL_LAGS - 1), PAD
                c = warped[0, line, first : first + n_points]
                d = warped[1, line, first : first + n_points]
                p, q = sums[2 * lag], sums[2 * lag + 1]
                for n in range(n_points):
                    p[n] += a[n] * c[n] + b[n] * d[n]
                    q[n] += a[n] * d[n] - b[n] * c[n]
        for m in range(points.size - 1):
            for lag in range(N_LAGS):
                side, first = 0, lag
                if lag > 2 * AXIAL_LAGS:
                    side, first = lag - 2 * AXIAL_LAGS, PAD
                p, q = sums[2 * lag], sums[2 * lag + 1]
                sum_p, sum_q, sum_e = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                for n in range(points[m], points[m + 1]):
                    sum_p += p[n]
                    sum_q += q[n]
                    sum_e += power[side, first + n]
                product[0, lag, block, m] = sum_p
                product[1, lag, block, m] = sum_q
                energy[lag, block, m] = sum_e
            total = np.float32(0.0)
            for n in range(points[m], points[m + 1]):
                total += power[3, n]
            energy[N_LAGS, block, m] = total


@kernel(fastmath=FASTMATH)
def _peak(before, middle, after):  # type: ignore[no-untyped-def]
    """Return the position of the maximum of a Gaussian through three values, clipped to ±1."""
    a, b, c = math.log(max(before, 1e-3)), math.log(max(middle, 1e-3)), math.log(max(after, 1e-3))
    curvature = 2.0 * b - a - c
    if curvature <= 1e-3:
        return 1.0 if c > a else (-1.0 if c < a else 0.0)
    return min(max(0.5 * (c - a) / curvature, -1.0), 1.0)


@kernel(fastmath=FASTMATH)
def _information(correlation):  # type: ignore[no-untyped-def]
    """Return the weight of a block: 1 / variance of a delay estimate, ∝ ρ² / (1 - ρ²)."""
    squared = correlation * correlation
    return squared / (1.0 - squared + 0.02)


@kernel(fastmath=FASTMATH)
def block_corrections(product, energy, decimation, omega, floor, correlation, change, weights):  # type: ignore[no-untyped-def]
    """Compute the correction of the motion from every block.

    Per block (flat index): ``correlation``, |ρ| at lag 0, or -1 where pre has no echo (energy up to
    ``floor``); ``change`` (2, n): displacement to add, in samples and lines; ``weights`` (2, n).
    """
    n_axial = product.shape[3]
    rho = np.empty(N_LAGS)
    for k in range(correlation.size):
        i, m = k // n_axial, k % n_axial
        change[0, k], change[1, k], weights[0, k], weights[1, k] = 0.0, 0.0, 0.0, 0.0
        own = energy[N_LAGS, i, m]
        if own <= floor:
            correlation[k] = -1.0
            continue
        for lag in range(N_LAGS):
            norm = math.sqrt(own * max(energy[lag, i, m], floor))
            rho[lag] = min(math.hypot(product[0, lag, i, m], product[1, lag, i, m]) / norm, 1.0)
        best = AXIAL_LAGS
        for lag in range(2 * AXIAL_LAGS + 1):
            if rho[lag] > rho[best]:
                best = lag
        correlation[k] = rho[AXIAL_LAGS]
        if energy[AXIAL_LAGS, i, m] <= floor:
            continue
        inner = min(max(best, 1), 2 * AXIAL_LAGS - 1)
        coarse = inner - AXIAL_LAGS + _peak(rho[inner - 1], rho[inner], rho[inner + 1])
        coarse *= decimation
        fine = -math.atan2(product[1, best, i, m], product[0, best, i, m]) / omega
        cycle = 2.0 * math.pi / omega
        change[0, k] = fine + cycle * round((coarse - fine) / cycle)
        change[1, k] = _peak(rho[2 * AXIAL_LAGS + 1], rho[AXIAL_LAGS], rho[N_LAGS - 1])
        weights[0, k] = _information(rho[best])
        weights[1, k] = _information(rho[AXIAL_LAGS])
