"""B-mode on the strain grid: the log-compressed envelope of the pre-compression frame, made for live use.

The envelope is needed only at strain pixels, about every fourth sample, so it is demodulated only there: a
Hann window of two echo periods times a carrier, one dot product per pixel. It is computed from the RF frame
as the scanner sent it, so that the strain of every back-end gets the same B-mode.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.resample import FASTMATH
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.host.compiled import kernel

DYNAMIC_RANGE_DB = 60.0
# Of the stored values: 0 is 60 dB below the reference, 240 the reference, 255 3.75 dB above it.
STEP_DB = 0.25
# The reference is the 99th percentile, so that one specular reflector does not darken the image. It is
# bounded relative to the maximum, so that a few wires in water do not turn the noise around them white.
_REFERENCE_PERCENTILE = 99.0
_REFERENCE_BELOW_MAXIMUM_DB = 20.0
_REFERENCE_STRIDE = 7
_PERIODS = 2.0
_SMALLEST_POWER = np.float32(1e-30)


def bmode_on_grid(frame: RfFrame, grid: Grid) -> NDArray[np.uint8]:
    """Brightness of a frame at the pixels of ``grid``, in steps of 0.25 dB over 60 dB.

    Value v is 0.25 v - 60 dB from a reference, so 240 is that reference: the frame's 99th percentile, or
    20 dB below its maximum if that is higher. Values below the range become 0 and values above it 255. A
    silent frame is 0.

    Parameters
    ----------
    frame
        RF frame, samples (n_lines, n_samples) of any real dtype.
    grid
        Where to take the envelope. It has the lines of the frame; its depths are free.

    Returns
    -------
    uint8 (n_lines, n_depths) of ``grid``

    Raises
    ------
    ValueError
        If the grid does not have as many lines as the frame.
    """
    if grid.n_lines != frame.format.n_lines:
        raise ValueError(f"grid has {grid.n_lines} lines, the frame {frame.format.n_lines}")
    samples = frame.samples
    if samples.dtype not in (np.int16, np.float32):
        samples = samples.astype(np.float32)
    in_phase, quadrature = _carrier(frame.format)
    centres = _nearest_samples(frame.format, grid)
    power = np.empty(grid.shape, np.float32)
    _envelope_power(samples, centres, in_phase, quadrature, power)
    spread = power.reshape(-1)[::_REFERENCE_STRIDE]
    rank = int(_REFERENCE_PERCENTILE / 100.0 * (spread.size - 1))
    least = float(power.max()) * 10.0 ** (-_REFERENCE_BELOW_MAXIMUM_DB / 10.0)
    reference = max(float(np.partition(spread, rank)[rank]), least)
    out = np.zeros(grid.shape, np.uint8)
    if reference > _SMALLEST_POWER:
        _compress(power, np.float32(1.0 / reference), out)
    return out


def _carrier(rf_format: RfFormat) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosine and sine of the centre frequency under a Hann window of two periods.

    The mean of the cosine is removed, so that an offset of the samples has no effect.
    """
    width = _PERIODS * rf_format.samples_per_wavelength
    half = max(1, math.ceil(0.5 * width) - 1)
    offset = np.arange(-half, half + 1)
    window = 0.5 + 0.5 * np.cos(2.0 * np.pi * offset / width)
    phase = 2.0 * np.pi * offset / rf_format.samples_per_wavelength
    in_phase = window * np.cos(phase)
    in_phase -= window * (in_phase.sum() / window.sum())
    return in_phase.astype(np.float32), (window * np.sin(phase)).astype(np.float32)


def _nearest_samples(rf_format: RfFormat, grid: Grid) -> NDArray[np.int64]:
    """Index of the sample nearest to each depth; an envelope changes little within half a sample."""
    position = (grid.depth_m - rf_format.start_depth_m) / rf_format.axial_step_m
    return np.rint(position).astype(np.int64)


@kernel(fastmath=FASTMATH)
def _envelope_power(samples, centres, in_phase, quadrature, power):  # type: ignore[no-untyped-def]
    n_lines, n_samples = samples.shape
    taps = in_phase.size
    half = taps // 2
    line = np.zeros(n_samples + 2 * taps, np.float32)
    for i in range(n_lines):
        for j in range(n_samples):
            line[taps + j] = np.float32(samples[i, j])
        for k in range(centres.size):
            # Depths beyond the frame read the zeros around it.
            at = min(max(centres[k], -half), n_samples + half) + taps - half
            real, imaginary = np.float32(0.0), np.float32(0.0)
            for t in range(taps):
                value = line[at + t]
                real += value * in_phase[t]
                imaginary += value * quadrature[t]
            power[i, k] = real * real + imaginary * imaginary


@kernel(fastmath=FASTMATH)
def _compress(power, scale, out):  # type: ignore[no-untyped-def]
    top = np.float32(DYNAMIC_RANGE_DB / STEP_DB)
    per_log = np.float32(10.0 / math.log(10.0) / STEP_DB)
    for i in range(power.shape[0]):
        for k in range(power.shape[1]):
            level = top + per_log * math.log(max(power[i, k] * scale, np.float32(1e-12)))
            out[i, k] = np.uint8(
                min(max(level + np.float32(0.5), np.float32(0.0)), np.float32(255.0))
            )
