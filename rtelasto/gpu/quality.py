"""Add back and quality on the device, and the envelope for B-mode pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtelasto.gpu.layout import Layout
from rtelasto.gpu.protocols import Launch
from rtelasto.gpu.source import SCALE_CHUNK


def enqueue_quality(launch: Launch, layout: Layout) -> None:
    """Total motion, post-warp correlation and the medians of the frame, into the output buffer.

    Takes the engine's ``residual_samples`` and ``residual_strain`` and the stretched pair.
    """
    sizes = layout.integers
    n_lines, n_rows = layout.rows.shape
    pixels = -(-n_lines * n_rows // SCALE_CHUNK)
    launch("compose", (pixels,), threads=256)
    launch("agreement", (-(-n_rows // sizes["row_chunk"]), n_lines), threads=256)
    launch("correlation", (pixels,), threads=256)
    launch("medians", (2,), threads=512)


def bmode_db(samples: Any, *, floor_db: float = -100.0) -> Any:
    """Log-compressed envelope of an RF frame on the device, as :func:`rtelasto.cpu.quality.bmode_db`.

    Parameters
    ----------
    samples
        CuPy array (n_lines, n_samples), any real dtype.
    floor_db
        Lowest value, also that of a silent frame.

    Returns
    -------
    CuPy float32 (n_lines, n_samples), dB, 0 at the maximum; nothing waits for it.
    """
    import cupy as cp

    lines = cp.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    n_samples = lines.shape[1]
    gain = np.zeros(n_samples, np.float32)
    gain[0] = 1.0
    gain[1 : (n_samples + 1) // 2] = 2.0
    if n_samples % 2 == 0:
        gain[n_samples // 2] = 1.0
    envelope = cp.abs(cp.fft.ifft(cp.fft.fft(lines, axis=1) * cp.asarray(gain), axis=1))
    largest = envelope.max()
    lowest = np.float32(10.0 ** (floor_db / 20.0))
    relative = cp.where(largest > 0.0, envelope / cp.maximum(largest, 1e-30), 0.0)
    decibels = 20.0 * cp.log10(cp.maximum(relative, lowest))
    return cp.maximum(decibels, floor_db).astype(np.float32)
