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
from rtelasto.frames.strain import POOR_CORRELATION, StrainFrame

LEAST_PIXELS = 4
NORMAL_95 = 1.96
"""Half-width in standard deviations of the central 95 % of a normal distribution."""


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
    stiffer. ``strain_ratio_interval`` holds the ends of its 95 % interval, where the engine gives the
    standard deviation of its strain: neighbouring pixels share echoes, so the error of a region's mean is
    taken to be that of its pixels on average, the most that it can be. ``snr_db`` (SNRe) refers to the
    background, ``cnr_db`` (CNRe) to both (docs/accuracy.md has the formulas). Strains are dimensionless,
    compression negative.
    """

    lesion_strain: float
    background_strain: float
    strain_ratio: float
    strain_ratio_interval: tuple[float, float]
    snr_db: float
    cnr_db: float


def measure_regions(
    frame: StrainFrame,
    lesion: Region,
    background: Region,
    *,
    min_correlation: float = POOR_CORRELATION,
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
    in_lesion = _reliable(frame, lesion, min_correlation)
    in_background = _reliable(frame, background, min_correlation)
    inside, outside = frame.axial_strain[in_lesion], frame.axial_strain[in_background]
    lesion_strain, background_strain = _mean(inside), _mean(outside)
    std = frame.axial_strain_std
    interval = (math.nan, math.nan)
    if std is not None:
        interval = ratio_interval(
            background_strain, _mean(std[in_background]), lesion_strain, _mean(std[in_lesion])
        )
    return RegionMeasures(
        lesion_strain,
        background_strain,
        background_strain / lesion_strain if lesion_strain else math.nan,
        interval,
        strain_snr_db(outside),
        strain_cnr_db(outside, inside),
    )


def ratio_interval(
    above: float, above_std: float, below: float, below_std: float
) -> tuple[float, float]:
    """95 % interval of the ratio of two independent means; NaN where it is unbounded or not known.

    Fieller, "Some problems in interval estimation", J. R. Stat. Soc. B 16(2), 1954.
    """
    g = (NORMAL_95 * below_std / below) ** 2 if below else math.inf
    if not g < 1.0:
        return math.nan, math.nan
    ratio = above / below
    spread = (1.0 - g) * (above_std / below) ** 2 + (ratio * below_std / below) ** 2
    half = NORMAL_95 * math.sqrt(spread)
    return (ratio - half) / (1.0 - g), (ratio + half) / (1.0 - g)


def _reliable(frame: StrainFrame, region: Region, min_correlation: float) -> NDArray[np.bool_]:
    """Return the pixels of a region that count, none if they are too few."""
    chosen = region.pixels(frame.grid) & (frame.correlation >= min_correlation)
    chosen &= np.isfinite(frame.axial_strain)
    return chosen if np.count_nonzero(chosen) >= LEAST_PIXELS else np.zeros_like(chosen)


def _mean(strain: NDArray[np.floating]) -> float:
    return float(np.mean(strain, dtype=np.float64)) if strain.size else math.nan
