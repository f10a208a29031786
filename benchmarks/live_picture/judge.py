"""The pictures of each variant, and their error relative to the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.live_picture.palpation import PRESS_S, Palpation, judged
from benchmarks.live_picture.watch import Watched
from rtelasto.accuracy.metrics import edge_width, strain_cnr_db, strain_snr_db
from rtelasto.accuracy.tissue_regions import edge_profile
from rtelasto.frames.strain import StrainFrame

GOOD_ERROR = 0.1
# The viewer's persistence before relative strain: four frames, by quality and applied strain.
_VIEWER_FRAMES, _FULL_STRAIN = 4, 2e-3
# Edges and contrast are fitted for some of the pictures only.
_MOST_FITTED = 40

Picture = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one variant; percentages, mm, dB, s.

    ``error_percent`` is the median over time of each picture's median error of the pattern, ``good_percent``
    the fraction of time in which it is below 10 %, both from the end of the first press to the end.
    """

    error_percent: float
    good_percent: float
    snr_db: float
    cnr_db: float
    edge_mm: float
    age_ms: float
    applied_percent: float
    shown_per_s: float
    errors_percent: list[float]
    times_s: list[float]


def single(frames: list[StrainFrame]) -> Iterator[Picture]:
    """Return the strain of each pair relative to its applied strain."""
    for frame in frames:
        yield frame.axial_strain / frame.applied_strain


def averaged_by_viewer(frames: list[StrainFrame]) -> Iterator[Picture]:
    """Return the viewer's mean of the newest four frames, with the sign reversed in a release."""
    recent: list[tuple[Picture, Picture]] = []
    for frame in frames:
        press = min(1.0, abs(frame.applied_strain) / _FULL_STRAIN)
        weight = (frame.quality * press + 1e-6) * frame.correlation
        recent = [*recent, (frame.axial_strain * -np.sign(frame.applied_strain), weight)]
        recent = recent[-_VIEWER_FRAMES:]
        total = sum(weight for _, weight in recent)
        yield sum(strain * weight for strain, weight in recent) / np.maximum(total, 1e-12)


def averaged(frames: list[StrainFrame]) -> Iterator[Picture]:
    """Return the relative strain that the run publishes."""
    for frame in frames:
        assert frame.relative_strain is not None
        yield frame.relative_strain


def figures(
    palpation: Palpation,
    watched: Watched,
    every: int,
    show: Callable[[list[StrainFrame]], Iterator[Picture]],
) -> Figures:
    """Compare each picture with the tissue at its points; one of ``every`` rendered frames is sent."""
    grid = watched.frames[0].grid
    inside = judged(grid)
    windows = palpation.windows(grid)
    errors, snrs, cnrs, edges = [], [], [], []
    fitted = max(1, len(watched.frames) // _MOST_FITTED)
    for k, (frame, picture) in enumerate(zip(watched.frames, show(watched.frames), strict=True)):
        at = every * frame.frame_ids[0]
        scaled = picture / _median(picture[inside])
        away = np.abs(scaled - palpation.pattern(at, grid))[inside]
        # Pixels that are not shown have the largest error.
        errors.append(float(np.median(np.nan_to_num(away, nan=1.0))))
        if k % fitted == 0 and watched.time_s[k] > PRESS_S:
            whole = np.nan_to_num(scaled, nan=1.0)
            snrs.append(strain_snr_db(whole[windows.background]))
            cnrs.append(strain_cnr_db(whole[windows.background], whole[windows.inclusion]))
            profile = edge_profile(whole, grid, inside, palpation.inclusion(at))
            edges.append(1e3 * edge_width(*profile))
    times = watched.time_s
    # Each picture is shown until the next.
    held = np.diff(np.append(times, times[-1] + 0.02))
    counted = times >= PRESS_S
    if not counted.any():
        counted[:] = True
    errors_now = np.array(errors)
    return Figures(
        error_percent=100.0 * _weighted_median(errors_now[counted], held[counted]),
        good_percent=100.0
        * float(held[counted & (errors_now < GOOD_ERROR)].sum() / held[counted].sum()),
        snr_db=_median(np.array(snrs)),
        cnr_db=_median(np.array(cnrs)),
        edge_mm=_median(np.array(edges)),
        age_ms=1e3 * _median(watched.age_s),
        applied_percent=100.0 * _median(np.array([abs(f.applied_strain) for f in watched.frames])),
        shown_per_s=len(times) / max(float(times[-1] - times[0]), 1e-3),
        errors_percent=[round(100.0 * error, 3) for error in errors],
        times_s=[round(float(time), 4) for time in times],
    )


def _median(values: Picture) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
