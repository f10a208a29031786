"""How densely channel data have to be sampled and lines summed, from the band of the echo.

Sums are made in baseband, at pixels that lie as far apart as the band allows: delay and sum keeps an echo
of frequency f at f (cos θ + cos φ) / 2 along depth, with the angles θ of the transmit and φ of the element,
so that the band of the image is that of the samples, a little lower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.bandpass import LOWEST, PASS
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.frames.channel import ChannelFormat, PlaneWave
from rtelasto.frames.rf import RfFormat

BLOCK = 16  # pixels that share the neighbourhood that they read
UP_TAPS = 16  # of the filters from pixels to RF samples
UP_PASS = 0.42  # cycles per pixel that they keep, on either side of the centre
# Baseband samples per period over the half band: a parabola through three of them then errs by less than
# 2 % at the edge of the band and 0.3 % in the middle half.
_DENSE = 9.0
# Baseband samples from the middle one that a parabola may reach: it errs by twice as much there.
_FARTHEST = 1.5
# A window that ends above this has an edge, which no interpolation keeps: such sums are made at every sample.
_EDGE = 0.02
_EXTRA = 8  # pixels above and below the lines, for the filters to reach


@dataclass(frozen=True, slots=True, eq=False)
class PixelGrid:
    """Where sums are made.

    Attributes
    ----------
    rf_per_pixel
        RF samples of a line for each pixel.
    fine_per_pixel
        Baseband samples of a channel for each pixel, a power of two.
    fine_freq_hz
        Their rate.
    first
        The pixel at the start of the lines.
    depth_m
        Depths of the pixels, float64 (n_pixels,), a multiple of BLOCK; above the array they are negative.
    """

    rf_per_pixel: int
    fine_per_pixel: int
    fine_freq_hz: float
    first: int
    depth_m: NDArray[np.float64]


def pixel_grid(
    channels: ChannelFormat, settings: BeamformSettings, rf_format: RfFormat
) -> PixelGrid:
    """The coarsest grid that holds the band of the samples."""
    f_c, per_wavelength = channels.center_freq_hz, settings.samples_per_wavelength
    half_band = PASS * channels.half_band_hz / f_c
    steered = [math.cos(t.angle_rad) for t in channels.transmits if isinstance(t, PlaneWave)]
    oblique = 1.0 / math.hypot(1.0, 0.5 / settings.f_number)
    slowest = 0.5 * (min(steered, default=1.0) + oblique)
    image_half_band = max(half_band, 1.0 - max(1.0 - half_band, LOWEST) * slowest)
    coarsest = max(1, math.floor(per_wavelength * UP_PASS / image_half_band))
    if settings.half_window()[-1] > _EDGE:
        coarsest = 1
    # Positions rise by 1 … slowest of their fastest rate per pixel: the middle is taken for the samples.
    middle, spread = 2.0 / (1.0 + slowest), (1.0 - slowest) / (1.0 + slowest)
    for rf_per_pixel in range(coarsest, 0, -1):
        rate = per_wavelength / rf_per_pixel
        dense = math.ceil(math.log2(_DENSE * image_half_band / rate))
        fine_per_pixel = 2 ** max(0, dense)
        if 0.5 + 0.5 * BLOCK * fine_per_pixel * spread <= _FARTHEST:
            break
    first = 0 if rf_per_pixel == 1 else _EXTRA
    n_pixels = first + -(-rf_format.n_samples // rf_per_pixel) + (first and _EXTRA + 1)
    n_pixels = -(-n_pixels // BLOCK) * BLOCK
    step_m = rf_per_pixel * rf_format.axial_step_m
    return PixelGrid(
        rf_per_pixel,
        fine_per_pixel,
        middle * fine_per_pixel * rate * f_c,
        first,
        rf_format.start_depth_m + step_m * (np.arange(n_pixels, dtype=np.float64) - first),
    )
