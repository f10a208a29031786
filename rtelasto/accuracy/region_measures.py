"""Measures of two regions of interest: strain ratio, SNRe and CNRe, as in the live viewer.

>>> lesion = rtelasto.Region(lateral_m=0.0, depth_m=20e-3, half_width_m=3e-3, half_height_m=3e-3)
>>> background = dataclasses.replace(lesion, depth_m=12e-3)
>>> rtelasto.measure_regions(frame, lesion, background).strain_ratio  # doctest: +SKIP
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.accuracy.metrics import strain_cnr_db, strain_snr_db
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import StrainFrame

LEAST_PIXELS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """An ellipse with its axes along and across the beams; all in m.

    ``lateral_m`` is measured from the centre of the image, ``depth_m`` from the transducer face.
    """

    lateral_m: float
    depth_m: float
    half_width_m: float
    half_height_m: float

    def __post_init__(self) -> None:
        for name in ("half_width_m", "half_height_m"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise RtelastoError(f"{name} must be above 0, got {value:g}")

    def pixels(self, grid: Grid) -> NDArray[np.bool_]:
        """Return which pixels have their centre in the ellipse, (n_lines, n_depths)."""
        across = (grid.lateral_m[:, None] - self.lateral_m) / self.half_width_m
        along = (grid.depth_m[None, :] - self.depth_m) / self.half_height_m
        return np.asarray(across**2 + along**2 <= 1.0 + 1e-9)


@dataclass(frozen=True, slots=True)
class RegionMeasures:
    """Figures of a lesion and the background; NaN where one is not defined.

    ``strain_ratio`` is the mean strain of the background divided by that of the lesion: above 1 the lesion is
    stiffer. ``snr_db`` (SNRe) refers to the background, ``cnr_db`` (CNRe) to both (docs/accuracy.md has the
    formulas). Strains are dimensionless, compression negative.
    """

    lesion_strain: float
    background_strain: float
    strain_ratio: float
    snr_db: float
    cnr_db: float


def measure_regions(
    frame: StrainFrame, lesion: Region, background: Region, *, min_correlation: float = 0.7
) -> RegionMeasures:
    """Compare the strain in two regions.

    Parameters
    ----------
    frame
        The strain.
    lesion, background
        The two regions.
    min_correlation
        Pixels with a lower correlation are ignored.
    """
    inside = _strain_in(frame, lesion, min_correlation)
    outside = _strain_in(frame, background, min_correlation)
    lesion_strain, background_strain = _mean(inside), _mean(outside)
    return RegionMeasures(
        lesion_strain,
        background_strain,
        background_strain / lesion_strain if lesion_strain else math.nan,
        strain_snr_db(outside),
        strain_cnr_db(outside, inside),
    )


def _strain_in(frame: StrainFrame, region: Region, min_correlation: float) -> NDArray[np.floating]:
    chosen = region.pixels(frame.grid) & (frame.correlation >= min_correlation)
    strain = frame.axial_strain[chosen & np.isfinite(frame.axial_strain)]
    return strain if strain.size >= LEAST_PIXELS else strain[:0]


def _mean(strain: NDArray[np.floating]) -> float:
    return float(np.mean(strain, dtype=np.float64)) if strain.size else math.nan
