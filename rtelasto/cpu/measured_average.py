"""The average over time of what a network measured, from which its second stage computes the pattern.

An engine smooths the strain of a noisy pair, and an average of smoothed images is calm, but blurred. Here the
motion of the pairs is averaged, and stage 2, which smooths less where the measurement is more precise,
computes the pattern from the average. A straight line is subtracted from the motion of each pair, and the
rest is divided by the slope of the line, so that presses of any strength can be averaged.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.averaging.measurement import LEAST_APPLIED_STRAIN, Measurement
from rtelasto.cpu.averaging.running_average import (
    CONTRADICTION_LOSS,
    LEAST_PATTERN,
    OWN_ERROR,
    SHARED_NOISE,
    read_moved,
)
from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.pattern_average import PatternAverage, TissuePosition, places
from rtelasto.frames.rf import Float32Image, Grid
from rtelasto.frames.strain import Elongation, MeasuredMotion, StrainFrame

# The press to which the average is scaled: one for which stage 2 was trained.
PRESS = -0.005
# The slope of the line and the median strain of a pair are about the same, unless a part of it failed.
_LEAST_RATIO, _LARGEST_RATIO = 0.5, 2.0
# In samples: a difference from the average beyond which the weight of a pixel falls with its fourth power. A
# wavelength, by which a measurement can be wrong, is 6.4.
_APART = np.float32(1.0)
# Below this share of the weight of all pairs, those with a measurement do not stand for the others.
_LEAST_SHARE = 0.5
# In the line, no pixel has more weight than this, so that it does not depend on a few.
_MOST_WEIGHT = np.float32(5.0)
# Against divisions by 0; far below the precision of any pair.
_NOTHING = np.float32(1e-30)

Images = NDArray[np.float32]


class SecondStage(Protocol):
    """What computes strain from a measurement."""

    def strain_of(
        self, measured: MeasuredMotion, n_depths: int
    ) -> tuple[Float32Image, Float32Image]: ...


class MeasuredAverage:
    """An `Average` of measurements, and of the strain of all pairs.

    The average of strain decides which pairs enter and which pixels are known, as without measurements. It is
    also the picture while most pairs have no measurement.

    Parameters
    ----------
    grid
        Of the strain frames.
    stage
        Computes the pattern from the averaged measurement.
    """

    def __init__(self, grid: Grid, stage: SecondStage) -> None:
        self._grid, self._stage = grid, stage
        self._pattern = PatternAverage(grid)
        self._places = places(grid)
        self._tried: tuple[Measurement, TissuePosition, float] | None = None
        self.clear()

    def measure(self, strain: StrainFrame) -> Measurement:
        """Return the contribution of a pair."""
        return self._pattern.measure(strain)

    def clear(self) -> None:
        """Empty the average."""
        self._pattern.clear()
        self._like: MeasuredMotion | None = None
        # Sums of what `scaled` returns; and, of whole pairs, of their weight, of that with the change of the
        # press across the lines, of that with the press over the median strain, and the weight of all pairs.
        self._sums: Images = np.empty((0, 0, 0), np.float32)
        self._whole = np.zeros(4)

    def try_pair(
        self, pair: Measurement, at: TissuePosition, forget: float, variance: float
    ) -> tuple[float, float]:
        """Compute the average with a pair, which `accept` then makes the average."""
        self._tried = pair, at, forget
        return self._pattern.try_pair(pair, at, forget, variance)

    def accept(self) -> None:
        """Make what `try_pair` computed the average."""
        self._pattern.accept()
        assert self._tried is not None
        pair, at, forget = self._tried
        self._sums *= np.float32(forget)
        self._whole *= forget
        applied = pair.strain.applied_strain
        self._whole[3] += applied**2
        measured, elongation = pair.strain.measured, pair.strain.elongation
        if measured is None or elongation is None or not self._fits(measured.grid):
            return
        images, press, tilt = scaled(measured, elongation)
        if not _LEAST_RATIO < press / applied < _LARGEST_RATIO:
            return
        images *= pair.certainty[:, ::2, None] > 0.0
        images = self._moved(images, at, 1.0)
        if self._like is None:
            self._sums = np.zeros_like(images)
        else:
            self._settle(images, abs(press) / measured.sample_m)
        self._like = measured
        self._sums += images
        self._whole[:3] += applied**2 * np.array([1.0, tilt, press / applied])

    def read(self, at: TissuePosition, variance: float) -> tuple[Float32Image, Float32Image]:
        """Return the pattern and its standard deviation at a frame's points; NaN where unknown."""
        pattern, std = self._pattern.read(at, variance)
        weight, tilt, usual, weight_of_all = self._whole
        if self._like is None or weight < _LEAST_SHARE * weight_of_all:
            return pattern, std
        sums = np.moveaxis(self._moved(self._sums, at, -1.0), -1, 0)
        precision, axial, lateral, size, phase = np.ascontiguousarray(sums)
        each = np.float32(1.0) / (precision + _NOTHING)
        angle = np.clip(phase / (size + _NOTHING) * np.float32(PRESS), -np.pi, np.pi)
        like = self._like
        averaged = MeasuredMotion(
            displacement=axial * each * np.float32(PRESS / like.sample_m),
            lateral=lateral * each * np.float32(PRESS / like.grid.line_pitch_m),
            precision=precision * np.float32(1.0 / PRESS**2),
            residual=np.stack([size * each * np.cos(angle), size * each * np.sin(angle)]),
            grid=like.grid,
            sample_m=like.sample_m,
        )
        left, left_std = self._stage.strain_of(averaged, self._grid.n_depths)
        x = self._grid.lateral_m[:, None]
        whole = np.float32(usual / weight)
        found = whole * (1.0 + np.float32(tilt / weight) * x + left / np.float32(PRESS))
        found = np.where(np.isfinite(pattern), found, np.float32(np.nan)).astype(np.float32)
        noise = whole * left_std / np.float32(PRESS)
        own = OWN_ERROR * np.maximum(np.abs(found), LEAST_PATTERN)
        return found, np.sqrt(SHARED_NOISE * noise**2 + own**2).astype(np.float32)

    def move_to(self, at: TissuePosition) -> None:
        """Make the coordinates of a frame those of the average, because the tissue has moved far."""
        self._pattern.move_to(at)
        if self._like is not None:
            # By whole lines, so that nothing is interpolated across the lines again and again.
            self._sums = self._moved(self._sums, at, -1.0, whole_lines=True)

    def _fits(self, grid: Grid) -> bool:
        """Return whether a measurement is on the grid of this average: every second row of a frame."""
        return grid.shape == (self._grid.n_lines, (self._grid.n_depths + 1) // 2)

    def _settle(self, images: Images, samples_per_motion: float) -> None:
        """Lower the weight of pixels that contradict the average, and of the average there, in place."""
        mean, new = (x[..., 1] / (x[..., 0] + _NOTHING) for x in (self._sums, images))
        apart = np.abs(new - mean) * np.float32(samples_per_motion) / _APART
        passes = np.float32(1.0) / (np.float32(1.0) + apart * apart)
        images *= (passes * passes)[..., None]
        self._sums *= (np.float32(1.0) - CONTRADICTION_LOSS * (np.float32(1.0) - passes))[..., None]

    def _moved(
        self, images: Images, at: TissuePosition, direction: float, *, whole_lines: bool = False
    ) -> Images:
        """Read images where the tissue was (1), or where it has come from (−1)."""
        motion, shift = at.in_pixels(self._grid)
        shift = np.float32(round(float(shift))) if whole_lines else shift
        out = np.empty_like(images)
        over_lines(
            read_moved,
            self._grid.n_lines,
            images,
            motion * np.float32(direction),
            np.float32(direction) * shift,
            *self._places,
            2,
            out,
        )
        return out


def scaled(measured: MeasuredMotion, elongation: Elongation) -> tuple[Images, float, float]:
    """Return what a pair adds to the average, its press, and how the press changes across the lines.

    The press is the slope of the straight line that fits the total axial motion; its change across the lines
    is relative to it, per m. The images, float32 (n_lines, n_depths, 5), are a weight, the precision of the
    motion per strain; and times this weight: both displacements without their lines, in m per strain, the
    size of the residual, and that times its phase per strain. All are 0 where anything is not finite, and
    everywhere if there is no press.
    """
    grid = measured.grid
    x, z = grid.lateral_m[:, None], grid.depth_m[None, :]
    real, imag = measured.residual
    parts = (measured.displacement, measured.lateral, measured.precision, real, imag)
    known = np.isfinite(sum(parts))
    displacement, aside, precision, real, imag = (np.where(known, part, 0.0) for part in parts)
    r = displacement * measured.sample_m
    w = aside * grid.line_pitch_m
    u = elongation.axial_displacement_m(x, z) + (1.0 + elongation.axial_strain(x)) * r
    v = elongation.lateral_displacement_m(x, z + r) + (1.0 + elongation.lateral_slope) * w
    weight = np.minimum(precision, _MOST_WEIGHT).astype(np.float64)
    half = max(0.5 * float(np.ptp(z)), grid.axial_step_m)
    side = max(float(np.abs(x).max()), grid.line_pitch_m)
    terms = np.broadcast_arrays(
        np.ones_like(z), x / side, (z - z.mean()) / half, x / side * (z - z.mean()) / half
    )
    line, fit_u = _fitted(terms, weight, u)
    _, fit_v = _fitted(terms[:3], weight, v)
    press, tilt = float(line[2] / half), float(line[3] / half / side)
    if not abs(press) >= LEAST_APPLIED_STRAIN:
        return np.zeros((*u.shape, 5), np.float32), 0.0, 0.0
    precision = precision * press**2
    size = precision * np.hypot(real, imag)
    images = (
        precision,
        precision * (u - fit_u) / press,
        precision * (v - fit_v) / press,
        size,
        size * np.arctan2(imag, real) / press,
    )
    return np.stack(images, axis=-1).astype(np.float32), press, tilt / press


def _fitted(
    terms: tuple[NDArray[np.float64], ...], weight: NDArray[np.float64], image: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted least-squares coefficients of the terms, and their sum."""
    # A part of the pixels is enough for a line.
    some = slice(None, None, 2), slice(None, None, 4)
    design = np.stack([term[some].ravel() for term in terms], axis=1)
    weighted = design * weight[some].reshape(-1, 1)
    gram = weighted.T @ design + 1e-9 * np.eye(len(terms)) * (1.0 + float(weight[some].sum()))
    line = np.asarray(np.linalg.solve(gram, weighted.T @ image[some].reshape(-1)), np.float64)
    total = np.zeros(image.shape)
    for factor, term in zip(line, terms, strict=True):
        total += factor * term
    return line, total
