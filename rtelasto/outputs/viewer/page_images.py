"""Images of a strain frame for the page: fewer bits than on the strain stream, with the same content.

``strain`` (int16) is the strain divided by ``strain_scale``, ``relative_strain`` (int16) the relative strain
times 2048; both are -32768 where there is none. ``relative_strain_std`` and ``strain_std`` (uint8) are on a
logarithmic scale, 2^((value - 160) / 16), 255 where unknown; the second is relative to the applied strain.
``correlation`` is 0 to 255 for 0 to 1, ``bmode`` as on the strain stream. Images of 16 bits come first, so
that all are aligned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.wire.strain import StrainMessage

NO_STRAIN = -32768
RELATIVE_SCALE = 1.0 / 2048.0
NO_STD = 255
STD_OF_1, STD_STEPS_PER_OCTAVE = 160, 16
_LARGEST = 32767
# Tissue does not strain by more than this, and a pixel far beyond all others is an error. It must neither
# reduce the resolution of the others nor be shown as a measurement.
_MOST_STRAIN = 1.0
_ALWAYS_KEPT_STRAIN = 0.05
_PERCENTILE, _TIMES, _STRIDE = 99.5, 8.0, 7
# Motion is smooth: this many points of it are enough to carry a region along.
_MOTION_LINES, _MOTION_DEPTHS = 16, 32
_MICROMETRE = 1e-6


def page_images(message: StrainMessage) -> tuple[float, dict[str, NDArray[np.generic]]]:
    """Return the strain's scale and the images by name, in the order in which they are sent."""
    frame = message.frame
    scale, strain = _strain(frame.axial_strain)
    images: dict[str, NDArray[np.generic]] = {"strain": strain}
    relative, relative_std = frame.relative_strain, frame.relative_strain_std
    if relative is not None:
        images["relative_strain"] = _quantise(relative, RELATIVE_SCALE, clip=True)
    correlation = np.nan_to_num(frame.correlation) * np.float32(255.0) + np.float32(0.5)
    images["correlation"] = correlation.astype(np.uint8)
    if frame.bmode is not None:
        images["bmode"] = np.ascontiguousarray(frame.bmode)
    if relative is not None and relative_std is not None:
        images["relative_strain_std"] = _logarithmic(relative_std)
    std = frame.axial_strain_std
    if std is not None and abs(frame.applied_strain) > 0.0:
        images["strain_std"] = _logarithmic(std / np.float32(abs(frame.applied_strain)))
    return scale, images


def page_motion(message: StrainMessage) -> dict[str, object] | None:
    """Return the displacement between the two frames at a few points, for regions that follow the tissue.

    ``lines`` and ``depths`` are indices of pixels. ``axial_um`` and ``lateral_um`` are the displacement
    there, line after line, null where unknown; ``lateral_um`` is null as a whole if it is not measured.
    """
    axial = message.frame.axial_displacement_m
    lines = _spread(axial.shape[0], _MOTION_LINES)
    depths = _spread(axial.shape[1], _MOTION_DEPTHS)
    lateral = message.frame.lateral_displacement_m
    return {
        "lines": lines.tolist(),
        "depths": depths.tolist(),
        "axial_um": _micrometres(axial[np.ix_(lines, depths)]),
        "lateral_um": None if lateral is None else _micrometres(lateral[np.ix_(lines, depths)]),
    }


def _strain(strain: NDArray[np.float32]) -> tuple[float, NDArray[np.int16]]:
    magnitude = np.abs(strain)
    sample = magnitude.reshape(-1)[::_STRIDE]
    sample = sample[np.isfinite(sample)]
    usual = float(np.percentile(sample, _PERCENTILE)) if sample.size else 0.0
    most = min(_MOST_STRAIN, max(_ALWAYS_KEPT_STRAIN, _TIMES * usual))
    believed = magnitude <= np.float32(most)
    largest = float(magnitude.max(where=believed, initial=0.0))
    scale = largest / _LARGEST if largest > 0.0 else 1.0
    return scale, _quantise(np.where(believed, strain, np.float32(np.nan)), scale)


def _quantise(image: NDArray[np.float32], scale: float, *, clip: bool = False) -> NDArray[np.int16]:
    known = np.isfinite(image)
    scaled = np.rint(np.where(known, image, np.float32(0.0)) * np.float32(1.0 / scale))
    if clip:
        scaled = np.clip(scaled, -_LARGEST, _LARGEST)
    quantised = scaled.astype("<i2")
    quantised[~known] = NO_STRAIN
    return quantised


def _logarithmic(std: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(std) & (std >= 0.0)
    octaves = np.log2(np.maximum(np.where(known, std, np.float32(1.0)), np.float32(1e-9)))
    steps = np.clip(np.rint(STD_OF_1 + STD_STEPS_PER_OCTAVE * octaves), 0, NO_STD - 1)
    return np.where(known, steps, NO_STD).astype(np.uint8)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return up to ``most`` indices spread evenly over ``count``, each in the middle of its share."""
    points = min(count, most)
    return np.asarray((np.arange(points) + 0.5) * count / points, dtype=np.int64)


def _micrometres(displacement_m: NDArray[np.float32]) -> list[float | None]:
    values = np.round(displacement_m.reshape(-1).astype(np.float64) / _MICROMETRE, 1)
    return [value if np.isfinite(value) else None for value in values.tolist()]
