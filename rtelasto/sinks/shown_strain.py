"""What pictures, videos, reports and the live page show of a strain frame, by one rule.

Strain is shown positive in the direction of the press, so that soft tissue is bright whether the hand
presses or lets go, and only where it is certain enough. Tissue at rest is not shown: its frames agree best of
all, and say nothing of stiffness. The page has the same rules in ``static/certainty.js``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.strain import StrainFrame

REST_STRAIN = 5e-4
"""Applied strain of a pair under which tissue is at rest."""
POOR_QUALITY = 0.5
"""Median correlation under which a pair shows noise."""
NOISE_STRAIN = 1e-3
"""Noise of the strain at correlation c where the engine states none: this times √(1 − c²)/c."""
UNSURE = 0.5
"""Standard deviation over the applied strain from which a pixel is not shown."""


def is_telling(applied_strain: float, quality: float) -> bool:
    """Whether a pair says something of stiffness: strained enough, and in agreement."""
    return abs(applied_strain) >= REST_STRAIN and quality >= POOR_QUALITY


def direction(applied_strain: float) -> float:
    """What the strain is multiplied with to be positive in the direction of the press."""
    return 1.0 if applied_strain > 0.0 else -1.0


def motion_word(frame: StrainFrame) -> str:
    """What the hand does in a pair: press, release, at rest, or unknown where that is not measured."""
    if math.isnan(frame.applied_strain):
        return "unknown"
    if abs(frame.applied_strain) < REST_STRAIN:
        return "at rest"
    return "press" if frame.applied_strain < 0.0 else "release"


def shown_percent(
    frame: StrainFrame, mask_below: float, *, std: NDArray[np.float32] | None = None
) -> np.ma.MaskedArray[Any, Any]:
    """Strain in %, positive in the direction of the press, masked where nothing is claimed.

    Parameters
    ----------
    frame
        The strain. Where it states no applied strain or quality, they are taken from its images.
    mask_below
        Correlation under which strain is not shown; 0 shows all of a pair that is not at rest.
    std
        One standard deviation of the axial strain, (n_lines, n_depths), where the engine states it;
        by default the frame's own.

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
        if std is None:
            std = getattr(frame, "axial_strain_std", None)
        hidden |= ~(correlation >= mask_below)
        hidden |= ~(_noise(correlation, std) < UNSURE * abs(applied))
        hidden |= not is_telling(applied, quality)
    elif abs(applied) < REST_STRAIN:
        hidden[:] = True
    return np.ma.masked_array(percent, hidden)


def _noise(
    correlation: NDArray[np.float32], std: NDArray[np.float32] | None
) -> NDArray[np.floating]:
    if std is not None:
        return std
    c = np.clip(np.nan_to_num(correlation), 1e-6, 1.0)
    return np.asarray(NOISE_STRAIN * np.sqrt(1.0 - c * c) / c)
