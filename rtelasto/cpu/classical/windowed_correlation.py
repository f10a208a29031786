"""Windowed normalised cross-correlation of two frames, for a range of axial lags at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.line_threads import over_lines
from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel

# Sums may be reordered to vectorise; infinities and NaNs keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
# Windows with less power than this (pairs are scaled to a joint RMS of 1) hold no echo: 100 dB down.
POWER_FLOOR = 1e-10


@kernel()
def _clear(image):  # type: ignore[no-untyped-def]
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            image[i, j] = 0.0


@kernel(fastmath=FASTMATH)
def _line_products(pre_line, post_line, half_window, max_lag, stride, out):  # type: ignore[no-untyped-def]
    """Compute out[k, t] = Σ pre[i] post[i + t - max_lag] over the window around k·stride, 0 outside the line.

    The window slides by adding the samples that enter and subtracting those that leave, for all lags
    together, so that the cost depends on the number of lags and not on the window. The sums are double
    precision: in single precision the rounding error of a strong reflector would remain in the weak echoes
    after it.
    """
    n_samples, n_lags = pre_line.size, out.shape[1]
    padded = np.zeros(n_samples + 2 * max_lag, np.float32)
    # Explicit loops, here and below: numba takes seconds to compile an assignment to a slice.
    for i in range(n_samples):
        padded[max_lag + i] = post_line[i]
    total = np.zeros(n_lags)
    entered = left = 0
    for k in range(out.shape[0]):
        first = max(0, k * stride - half_window)
        end = min(n_samples, k * stride + half_window + 1)
        while entered < end:
            sample = np.float64(pre_line[entered])
            for t in range(n_lags):
                total[t] += sample * padded[entered + t]
            entered += 1
        while left < first:
            sample = np.float64(pre_line[left])
            for t in range(n_lags):
                total[t] -= sample * padded[left + t]
            left += 1
        for t in range(n_lags):
            out[k, t] = total[t]


@kernel()
def _products(pre, post, line_shift, half_window, max_lag, stride, out, begin, end):  # type: ignore[no-untyped-def]
    n_lines = pre.shape[0]
    for line in range(begin, end):
        if 0 <= line + line_shift < n_lines:
            _line_products(
                pre[line], post[line + line_shift], half_window, max_lag, stride, out[line]
            )
        else:
            _clear(out[line])


@kernel()
def _cumulative_energy(samples):  # type: ignore[no-untyped-def]
    n_lines, n_samples = samples.shape
    out = np.empty((n_lines, n_samples + 1))
    for line in range(n_lines):
        total = 0.0
        out[line, 0] = 0.0
        for i in range(n_samples):
            total += np.float64(samples[line, i]) ** 2
            out[line, i + 1] = total
    return out


@kernel(fastmath=FASTMATH)
def _normalise_line(products, pre_energy, post_energy, half_window, max_lag, stride, floor, out):  # type: ignore[no-untyped-def]
    """Compute out = Σ over lines of products / √(energies over exactly the samples that were multiplied)."""
    n_samples, n_lags = pre_energy.size - 1, out.shape[1]
    total = np.zeros(n_lags, np.float32)
    for k in range(out.shape[0]):
        for t in range(n_lags):
            total[t] = products[0, k, t]
        for line in range(1, products.shape[0]):
            for t in range(n_lags):
                total[t] += products[line, k, t]
        centre = k * stride
        for t in range(n_lags):
            lag = t - max_lag
            first = max(0, centre - half_window, -lag)
            end = min(n_samples, centre + half_window + 1, n_samples - lag)
            value = 0.0
            if end > first:
                before = pre_energy[end] - pre_energy[first]
                after = post_energy[end + lag] - post_energy[first + lag]
                least = floor * (end - first)
                if before > least and after > least:
                    value = total[t] / np.sqrt(before * after)
            out[k, t] = value


@kernel()
def _normalise(  # type: ignore[no-untyped-def]
    products,
    pre_energy,
    post_energy,
    line_shift,
    half_window,
    half_lines,
    max_lag,
    stride,
    floor,
    out,
    begin,
    end,
):
    n_lines = products.shape[0]
    for line in range(begin, end):
        # The window includes only lines that have a partner in the shifted frame.
        first = max(0, line - half_lines, -line_shift)
        after_last = min(n_lines, line + half_lines + 1, n_lines - line_shift)
        if after_last <= first:
            _clear(out[line])
            continue
        before, after = np.zeros(pre_energy.shape[1]), np.zeros(pre_energy.shape[1])
        for other in range(first, after_last):
            for i in range(before.size):
                before[i] += pre_energy[other, i]
                after[i] += post_energy[other + line_shift, i]
        least = floor * (after_last - first)
        _normalise_line(
            products[first:after_last],
            before,
            after,
            half_window,
            max_lag,
            stride,
            least,
            out[line],
        )


def correlation_volumes(
    pre: Float32Image,
    post: Float32Image,
    *,
    window_samples: int,
    window_lines: int,
    max_lag: int,
    stride: int = 1,
    max_line_shift: int = 0,
) -> NDArray[np.float32]:
    """Return the normalised cross-correlation of 2-D windows for all axial lags and line shifts in range.

    For the window W around line l and sample k·stride,

        C(s, l, k, τ) = Σ pre(l', i) post(l' + s, i + τ) / √(Σ pre²(l', i) · Σ post²(l' + s, i + τ))

    with the sums over (l', i) in W (Friemel, Bohs, Trahey, "Relative performance of two-dimensional
    speckle-tracking techniques", IEEE Ultrasonics Symposium 1995; means are not subtracted because RF echoes
    have none). At the borders W contains only samples that exist in both frames, in all three sums.

    Parameters
    ----------
    pre, post
        float32 (n_lines, n_samples), joint RMS about 1.
    window_samples, window_lines
        Full size of the window; an even number is rounded up to the next odd one.
    max_lag
        Largest lag τ, in samples.
    stride
        Axial distance between windows, in samples.
    max_line_shift
        Largest lateral shift s of the post-compression window, in lines.

    Returns
    -------
    correlation : float32 (2 max_line_shift + 1, n_lines, ceil(n_samples / stride), 2 max_lag + 1)
        C at the shifts and lags from -max to max; 0 where a window holds no echo.
    """
    n_lines, n_samples = pre.shape
    products = np.empty((n_lines, -(-n_samples // stride), 2 * max_lag + 1), np.float32)
    out = np.empty((2 * max_line_shift + 1, *products.shape), np.float32)
    pre_energy, post_energy = _cumulative_energy(pre), _cumulative_energy(post)
    half_window, half_lines = window_samples // 2, window_lines // 2
    for index, shift in enumerate(range(-max_line_shift, max_line_shift + 1)):
        over_lines(_products, n_lines, pre, post, shift, half_window, max_lag, stride, products)
        over_lines(
            _normalise,
            n_lines,
            products,
            pre_energy,
            post_energy,
            shift,
            half_window,
            half_lines,
            max_lag,
            stride,
            POWER_FLOOR,
            out[index],
        )
    return out
