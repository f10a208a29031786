"""Which strain of a frame pictures, videos, reports and the live page show, by one rule.

Strain is shown positive in the direction of the press, so that soft tissue is bright in a press and in a
release, and only where it is certain enough. Tissue at rest is not shown: its frames agree best of all, but
they carry no information on stiffness. ``static/certainty.js`` has the same rules for the page.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.strain import StrainFrame

REST_STRAIN = 5e-4
"""Applied strain of a pair below which tissue is at rest."""
POOR_QUALITY = 0.5
"""Median correlation below which a pair shows noise."""
NOISE_STRAIN = 1e-3
"""Noise of the strain at correlation c if the engine states none: this times √(1 − c²)/c."""
UNSURE = 0.5
"""Standard deviation over applied strain from which a pixel is not shown."""


def is_telling(applied_strain: float, quality: float) -> bool:
    """Whether a pair carries information on stiffness: enough strain, and enough correlation."""
    return abs(applied_strain) >= REST_STRAIN and quality >= POOR_QUALITY


def direction(applied_strain: float) -> float:
    """Return the factor that makes strain positive in the direction of the press."""
    return 1.0 if applied_strain > 0.0 else -1.0


def motion_word(frame: StrainFrame) -> str:
    """Return the hand's motion in a pair: press, release, at rest, or unknown if it is not measured."""
    if math.isnan(frame.applied_strain):
        return "unknown"
    if abs(frame.applied_strain) < REST_STRAIN:
        return "at rest"
    return "press" if frame.applied_strain < 0.0 else "release"


def shown_percent(frame: StrainFrame, mask_below: float) -> np.ma.MaskedArray[Any, Any]:
    """Return strain in %, positive in the direction of the press, masked where it is not certain enough.

    How certain it is says the frame's ``axial_strain_std``, or its correlation where the engine gives none.

    Parameters
    ----------
    frame
        The strain. If it has no applied strain or quality, they are computed from its images.
    mask_below
        Correlation below which strain is not shown; 0 shows all of a pair that is not at rest.

    Returns
    -------
    masked float32 (n_lines, n_depths)
    """
    strain, correlation = frame.axial_strain, frame.correlation
    applied = frame.applied_strain
    if math.isnan(applied):
        reliable = strain[np.isfinite(strain) & (correlation >= mask_below)]
        applied = float(np.median(reliable)) if reliable.size else 0.0
    quality = frame.quality
    if math.isnan(quality):
        quality = float(np.nanmedian(correlation)) if correlation.size else 0.0
    percent = np.float32(100.0 * direction(applied)) * strain
    hidden = ~np.isfinite(percent)
    if mask_below > 0.0:
        hidden |= ~(correlation >= mask_below)
        hidden |= ~(_noise(frame) < UNSURE * abs(applied))
        hidden |= not is_telling(applied, quality)
    elif abs(applied) < REST_STRAIN:
        hidden[:] = True
    return np.ma.masked_array(percent, hidden)


def _noise(frame: StrainFrame) -> NDArray[np.floating]:
    if frame.axial_strain_std is not None:
        return frame.axial_strain_std
    c = np.clip(np.nan_to_num(frame.correlation), 1e-6, 1.0)
    return np.asarray(NOISE_STRAIN * np.sqrt(1.0 - c * c) / c)
