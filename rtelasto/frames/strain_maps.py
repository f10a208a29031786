"""How a strain file stores a strain frame: its images as maps in zea's layout, and values beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PERCENT = 100.0
"""Strain is stored in %, as zea does."""


@dataclass(frozen=True, slots=True)
class StrainMap:
    """The map that holds an image of `StrainFrame`: image times ``factor``, in ``unit``."""

    name: str
    unit: str
    description: str
    factor: float = 1.0


# By field. These every file has …
STRAIN_MAPS = {
    "axial_strain": StrainMap(
        "strain_percentage_map",
        "%",
        "Axial strain, compression negative; the slope of the displacement where the engine's strain "
        "contradicts it",
        PERCENT,
    ),
    "axial_displacement_m": StrainMap(
        "axial_displacement", "m", "Axial displacement, positive away from the probe"
    ),
    "correlation": StrainMap(
        "correlation",
        "–",
        "Correlation of the two frames after warping by the displacement, 0 to 1; lowered where the strain "
        "contradicts the displacement",
    ),
}
# … and these where the frames have them.
FURTHER_MAPS = {
    "relative_strain": StrainMap(
        "relative_strain",
        "–",
        "Strain over the applied strain, averaged over time; NaN where not known",
    ),
    "relative_strain_std": StrainMap(
        "relative_strain_std", "–", "One standard deviation of the relative strain"
    ),
    "lateral_displacement_m": StrainMap(
        "lateral_displacement", "m", "Lateral displacement, positive towards higher line numbers"
    ),
    "lateral_strain": StrainMap(
        "lateral_strain_percentage_map", "%", "Lateral strain, widening positive", PERCENT
    ),
    "axial_strain_std": StrainMap(
        "strain_percentage_std", "%", "One standard deviation of the axial strain", PERCENT
    ),
    "accumulated_axial_displacement_m": StrainMap(
        "accumulated_axial_displacement",
        "m",
        "Axial displacement from the reference frame, at its points; NaN where not known",
    ),
    "accumulated_axial_strain": StrainMap(
        "accumulated_strain_percentage_map",
        "%",
        "Axial strain from the reference frame, at its points",
        PERCENT,
    ),
    "accumulated_lateral_displacement_m": StrainMap(
        "accumulated_lateral_displacement",
        "m",
        "Lateral displacement from the reference frame, at its points",
    ),
    "accumulated_lateral_strain": StrainMap(
        "accumulated_lateral_strain_percentage_map",
        "%",
        "Lateral strain from the reference frame, at its points",
        PERCENT,
    ),
}
ACCUMULATED_FROM = "accumulated_from"
"""The values with the id of the reference frame, where there is accumulated motion."""
# Fields of `PersistenceState`, where there is a relative strain: type, unit, description.
PERSISTENCE_SERIES: dict[str, tuple[type[np.generic], str, str]] = {
    "seconds": (np.float32, "s", "From the oldest pair in the average to the newest that entered"),
    "frames": (np.int64, "#", "Pairs in the average, as many of equal weight as average as well"),
    "presses": (np.int64, "#", "Presses in the average"),
    "age_s": (np.float32, "s", "From the newest pair that entered to this frame, NaN before one"),
}
