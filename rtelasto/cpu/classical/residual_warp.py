"""The post-compression frame warped by a first estimate of the residual motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.interpolation import interpolation_table
from rtelasto.cpu.line_threads import over_lines
from rtelasto.frames.rf import Float32Image
from rtelasto.host.compiled import kernel

AXIAL_TAPS, AXIAL_PHASES, AXIAL_PASS_EDGE = 8, 512, 0.35
LATERAL_TAPS, LATERAL_PHASES, LATERAL_PASS_EDGE = 6, 256, 0.30


@kernel()
def _between(image_line, position):  # type: ignore[no-untyped-def]
    """Interpolate linearly along a line; beyond its ends, return the end values."""
    last = image_line.size - 1
    base = min(int(position), last)
    after = min(base + 1, last)
    fraction = np.float32(position - base)
    return image_line[base] + fraction * (image_line[after] - image_line[base])


@kernel(fastmath={"contract", "reassoc", "nsz"})
def _read(line, position, table):  # type: ignore[no-untyped-def]
    """Read the line at a fractional position; 0 outside it."""
    n_samples = line.size
    if position < -0.5 or position > n_samples - 0.5:
        return np.float32(0.0)
    base = int(np.floor(position))
    taps = table[int((position - base) * AXIAL_PHASES + 0.5)]
    first = base - (AXIAL_TAPS // 2 - 1)
    total = np.float32(0.0)
    if first >= 0 and first + AXIAL_TAPS <= n_samples:
        for tap in range(AXIAL_TAPS):
            total += taps[tap] * line[first + tap]
    else:
        for tap in range(max(0, -first), min(AXIAL_TAPS, n_samples - first)):
            total += taps[tap] * line[first + tap]
    return total


@kernel()
def read_between(image, line, shift, position, axial_table, lateral_table):  # type: ignore[no-untyped-def]
    """Read the image at line + shift and at a fractional position along the lines.

    Beside the image the outermost lines are repeated; above and below it the result is 0.
    """
    if shift == 0.0:
        return _read(image[line], position, axial_table)
    n_lines = image.shape[0]
    across = min(max(line + shift, 0.0), n_lines - 1.0)
    base = int(across)
    taps = lateral_table[int((across - base) * LATERAL_PHASES + 0.5)]
    total = np.float32(0.0)
    for tap in range(LATERAL_TAPS):
        if taps[tap] != 0.0:
            other = min(max(base + tap - (LATERAL_TAPS // 2 - 1), 0), n_lines - 1)
            total += taps[tap] * _read(image[other], position, axial_table)
    return total


@kernel()
def _warp(post, axial, lateral, stride, axial_table, lateral_table, out, begin, end):  # type: ignore[no-untyped-def]
    n_samples = post.shape[1]
    for line in range(begin, end):
        for i in range(n_samples):
            k = i / stride
            out[line, i] = read_between(
                post,
                line,
                _between(lateral[line], k),
                i + _between(axial[line], k),
                axial_table,
                lateral_table,
            )


def reading_tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the axial and the lateral filters for ``read_between``."""
    return (
        interpolation_table(AXIAL_TAPS, AXIAL_PHASES, AXIAL_PASS_EDGE),
        interpolation_table(LATERAL_TAPS, LATERAL_PHASES, LATERAL_PASS_EDGE),
    )


def warp_by_residual(
    post: Float32Image,
    axial: Float32Image,
    lateral: Float32Image | None = None,
    *,
    stride: int = 1,
) -> Float32Image:
    """Return post(l + v, i + u): the post-compression frame at the position to which each pixel moved.

    Interpolation is by least-squares fractional-delay filters (``rtelasto.cpu.interpolation``), eight
    taps axially, six across the lines.

    Parameters
    ----------
    post
        float32 (n_lines, n_samples).
    axial, lateral
        u in samples and v in lines, float32 (n_lines, ceil(n_samples / stride)), pixel k at sample
        k·stride, interpolated linearly; no lateral motion if None.
    stride
        Axial distance between the pixels of the motion, in samples.

    Returns
    -------
    warped : float32 (n_lines, n_samples)
        0 where the position lies above or below the frame; beside it the outermost line is repeated.
    """
    out = np.empty_like(post)
    if lateral is None:
        lateral = np.zeros_like(axial)
    axial_table, lateral_table = reading_tables()
    over_lines(_warp, post.shape[0], post, axial, lateral, stride, axial_table, lateral_table, out)
    return out
