"""Delay and sum in baseband, eight pixels at a time, and the way from pixels to RF samples."""

from __future__ import annotations

import numpy as np

from rtelasto.cpu.beamforming.channel_baseband import PAD
from rtelasto.cpu.beamforming.pixel_grid import BLOCK
from rtelasto.cpu.resample import FASTMATH
from rtelasto.cpu.vector8 import LANES, all8, load8, store8
from rtelasto.host.compiled import kernel

BLOCKS_AT_ONCE = 8  # so much of all channels and lines stays in the second cache


@kernel(fastmath=FASTMATH)
def _turn_and_add(real, imag, turn, line_turn, total_real, total_imag):  # type: ignore[no-untyped-def]
    """Add the sums of a line, turned by the carrier of its acquisition, to the total."""
    for j in range(turn.size):
        by = turn[j] * line_turn
        total_real[j] += real[j] * by.real - imag[j] * by.imag
        total_imag[j] += real[j] * by.imag + imag[j] * by.real


@kernel(fastmath=FASTMATH)
def sum_terms(  # type: ignore[no-untyped-def]
    base,
    terms,
    late,
    late_middle,
    weight_real,
    weight_imag,
    first_block,
    shift,
    shift_middle,
    line_shift,
    turn,
    line_turn,
    real,
    imag,
    total_real,
    total_imag,
    begin,
    end,
):
    """Add the sums of one acquisition over lines ``begin`` to ``end`` to the total.

    ``base`` is as `channel_baseband.Baseband` fills it, the tables are those of `delay_tables`; ``real`` and
    ``imag`` are room for the sums, float32 (n_lines, n_pixels) as the totals. The pixels of a block read
    neighbours in a row of ``base``: from the first to the last of them the delay changes by one or two
    baseband samples, and the parabola through the three around the middle reaches so far.
    """
    _, _, phases, n_columns = base.shape
    n_pixels, n_blocks = late.shape[1], late_middle.shape[1]
    highest = phases * (n_columns - PAD)
    bits = 0
    while (1 << bits) < phases:
        bits += 1
    low_bits = phases - 1
    part, half, one = phases * n_columns, all8(np.float32(0.5)), all8(np.float32(1.0))
    for line in range(begin, end):
        real[line] = 0.0
        imag[line] = 0.0
    for first in range(0, n_blocks, BLOCKS_AT_ONCE):
        last = min(first + BLOCKS_AT_ONCE, n_blocks)
        for t in range(terms.shape[0]):
            line, row = terms[t, 0], terms[t, 1]
            if line < begin or line >= end:
                continue
            a, b = 2 * part * terms[t, 2], 2 * part * terms[t, 3]
            start, to_row, to_line = line_shift[line], row * n_pixels, line * n_pixels
            for block in range(max(first, first_block[row]), last):
                exact = start + late_middle[row, block] + shift_middle[block]
                nearest = int(np.floor(exact + 0.5))
                offset = all8(np.float32(exact - nearest))
                middle = min(max(nearest + phases * BLOCK * block, phases), highest)
                before = ((middle - 1) & low_bits) * n_columns + ((middle - 1) >> bits)
                at = (middle & low_bits) * n_columns + (middle >> bits)
                after = ((middle + 1) & low_bits) * n_columns + ((middle + 1) >> bits)
                for eight in range(0, BLOCK, LANES):
                    j = BLOCK * block + eight
                    d = load8(late, to_row + j) + load8(shift, j) + offset
                    slope = half * d
                    curve = slope * d
                    k = before + eight
                    p = load8(base, a + k) + load8(base, b + k)
                    q = load8(base, a + part + k) + load8(base, b + part + k)
                    weight = curve - slope
                    p, q = weight * p, weight * q
                    k = at + eight
                    weight = one - (curve + curve)
                    p = p + weight * (load8(base, a + k) + load8(base, b + k))
                    q = q + weight * (load8(base, a + part + k) + load8(base, b + part + k))
                    k = after + eight
                    weight = curve + slope
                    p = p + weight * (load8(base, a + k) + load8(base, b + k))
                    q = q + weight * (load8(base, a + part + k) + load8(base, b + part + k))
                    u, v = load8(weight_real, to_row + j), load8(weight_imag, to_row + j)
                    place = to_line + j
                    store8(real, place, load8(real, place) + u * p - v * q)
                    store8(imag, place, load8(imag, place) + u * q + v * p)
    for line in range(begin, end):
        _turn_and_add(
            real[line], imag[line], turn, line_turn[line], total_real[line], total_imag[line]
        )


@kernel(fastmath=FASTMATH)
def add_weights(terms, weight, silent, total):  # type: ignore[no-untyped-def]
    """Add the weights that an acquisition gives to every pixel of its lines, float32 as ``weight``."""
    for t in range(terms.shape[0]):
        times = np.float32(1.0 if terms[t, 3] == silent else 2.0)
        of, to = weight[terms[t, 1]], total[terms[t, 0]]
        for j in range(of.size):
            to[j] += times * of[j]


@kernel(fastmath=FASTMATH)
def to_rf(  # type: ignore[no-untyped-def]
    real, imag, gain, taps, carrier_real, carrier_imag, first_sample, first, lines, begin, end
):
    """RF samples from pixels: divided by the weights, interpolated and modulated onto the carrier.

    ``taps`` is float32 (rf_per_pixel, n_taps), the carrier float32 (rf_per_pixel, n_columns), both for
    the sample of a pixel that they make.
    """
    per_pixel, n_taps = taps.shape
    n_pixels, n_columns = real.shape[1], carrier_real.shape[1]
    n_samples = lines.shape[1]
    p = np.zeros(n_pixels + n_taps + LANES, np.float32)
    q = np.zeros(n_pixels + n_taps + LANES, np.float32)
    made = np.empty((per_pixel, n_columns), np.float32)
    reach = n_taps // 2 - 1 if n_taps > 1 else 0
    for line in range(begin, end):
        for j in range(n_pixels):
            p[j] = real[line, j] * gain[line, j]
            q[j] = imag[line, j] * gain[line, j]
        for m in range(per_pixel):
            for j in range(0, n_columns, LANES):
                a = all8(np.float32(0.0))
                b = a
                for k in range(n_taps):
                    h = all8(taps[m, k])
                    a = a + h * load8(p, first - reach + j + k)
                    b = b + h * load8(q, first - reach + j + k)
                at = m * n_columns + j
                store8(made, at, a * load8(carrier_real, at) - b * load8(carrier_imag, at))
        target = lines[line]
        for m in range(per_pixel):
            source = made[m]
            for j in range((n_samples - m + per_pixel - 1) // per_pixel):
                target[per_pixel * j + m] = source[j]
        target[: first_sample[line]] = 0.0
