"""The figures of merit, each a function of plain arrays (``docs/accuracy.md`` has the formulas).

Every decibel is 20·log10. The publication this project follows (Wu et al., MICCAI 2018) prints
10·log10, but its values only make sense as 20·log10 of the same ratios.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_M = 1540.0 / (2.0 * 40e6)
"""Displacements are reported in samples of the published format for every probe: 19.25 µm."""
NORMAL_20_TO_80 = 1.6832424671458286
"""From 20 % to 80 % of a Gaussian's cumulative distribution, in standard deviations."""

FloatArray = NDArray[np.floating]


def rmse(estimate: FloatArray, truth: FloatArray) -> float:
    """Return the root mean square of estimate − truth; NaN without pixels."""
    if estimate.size == 0:
        return math.nan
    return float(np.sqrt(np.mean(np.square(np.subtract(estimate, truth, dtype=np.float64)))))


def _db(ratio: float) -> float:
    return 20.0 * math.log10(ratio) if ratio > 0.0 else (-math.inf if ratio == 0.0 else math.nan)


def displacement_snr_db(estimate: FloatArray, truth: FloatArray) -> float:
    """Return SNRd = ``20 log10(mean |u| / σ)``, u the estimate, σ the standard deviation of its error.

    The displacement is nowhere uniform in strained tissue, so that its own standard deviation would measure
    the strain; its noise is the difference from the truth.
    """
    if estimate.size == 0:
        return math.nan
    noise = float(np.std(np.subtract(estimate, truth, dtype=np.float64)))
    mean = float(np.mean(np.abs(estimate), dtype=np.float64))
    return _db(mean / noise) if noise > 0.0 else math.inf


def strain_snr_db(window: FloatArray) -> float:
    """Return SNRe = ``20 log10(|mean| / σ)`` of the strain in a window with almost uniform true strain."""
    if window.size == 0:
        return math.nan
    noise = float(np.std(window, dtype=np.float64))
    mean = abs(float(np.mean(window, dtype=np.float64)))
    return _db(mean / noise) if noise > 0.0 else math.inf


def strain_cnr_db(background: FloatArray, inclusion: FloatArray) -> float:
    """Return CNRe = 20 log10(2 (e_b − e_i)² / (σ_b² + σ_i²)) of the strains in two windows."""
    if background.size == 0 or inclusion.size == 0:
        return math.nan
    contrast = float(np.mean(background, dtype=np.float64) - np.mean(inclusion, dtype=np.float64))
    noise = float(np.var(background, dtype=np.float64) + np.var(inclusion, dtype=np.float64))
    return _db(2.0 * contrast**2 / noise) if noise > 0.0 else math.inf


def bias_percent(estimate: FloatArray, truth: FloatArray) -> float:
    """Return 100 · (mean estimate / mean truth − 1): positive if the strain, of either sign, is too large."""
    if estimate.size == 0:
        return math.nan
    true_mean = float(np.mean(truth, dtype=np.float64))
    if true_mean == 0.0:
        return math.nan
    return 100.0 * (float(np.mean(estimate, dtype=np.float64)) / true_mean - 1.0)


def edge_width(position: FloatArray, profile: FloatArray) -> float:
    """Return the 20–80 % width of a step along a profile, in the unit of ``position``; NaN if there is none.

    The profile is fitted by a + b·Φ((p − p0)/σ), Φ the Gaussian's cumulative distribution, with free
    levels, by a scan over σ and p0 and a linear fit of a and b at each; the width is 1.683 σ. A fit
    to all points, unlike the crossings of two levels, is defined on a noisy profile. σ is at most 0.4
    of the profile's length, so that the width of a very blurred edge is a lower bound. If the step explains
    less than half of the variance of the profile, there is no edge and the result is NaN.

    Parameters
    ----------
    position, profile
        One-dimensional, at least 8 points, the edge near position 0.
    """
    if position.size < 8 or not np.all(np.isfinite(profile)):
        return math.nan
    from scipy.special import ndtr

    t = np.asarray(position, np.float64)
    y = np.asarray(profile, np.float64) - np.mean(profile, dtype=np.float64)
    total = float(y @ y)
    if total == 0.0:
        return math.nan
    reach = 0.5 * float(t[-1] - t[0])
    step = float(np.min(np.diff(t)))
    sigma_low, sigma_high = 0.2 * step, 0.8 * reach
    sigmas = np.geomspace(sigma_low, sigma_high, 40)
    centres = np.linspace(-0.4 * reach, 0.4 * reach, 41)
    best = sigma = math.nan
    # Three scans, each around the best value of the previous one.
    for _ in range(3):
        steps = ndtr((t - centres[:, None, None]) / sigmas[:, None])
        steps = steps - steps.mean(axis=2, keepdims=True)
        power = np.maximum((steps**2).sum(axis=2), 1e-300)
        explained = (steps @ y) ** 2 / power
        at = np.unravel_index(int(np.argmax(explained)), explained.shape)
        best, sigma = float(explained[at]), float(sigmas[at[1]])
        ratio = (sigmas[1] / sigmas[0]) ** 1.5
        spacing = 1.5 * (centres[1] - centres[0])
        centre = float(centres[at[0]])
        sigmas = np.geomspace(
            max(sigma_low, sigma / ratio), min(sigma_high, sigma * ratio), sigmas.size
        )
        centres = np.linspace(centre - spacing, centre + spacing, 15)
    if best < 0.5 * total:
        return math.nan
    return NORMAL_20_TO_80 * sigma


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of an estimate with the truth over many points.

    ``bias`` and ``limit``: mean and 1.96 standard deviations of estimate − truth (Bland, Altman,
    Lancet 327, 1986); ``slope``, ``intercept``, ``r2``: the least-squares line estimate = slope ·
    truth + intercept and its coefficient of determination.
    """

    bias: float
    limit: float
    slope: float
    intercept: float
    r2: float


def agreement(estimate: FloatArray, truth: FloatArray) -> Agreement:
    """Return Bland–Altman figures and the regression line of two sets of points of the same length."""
    if estimate.size < 3:
        return Agreement(math.nan, math.nan, math.nan, math.nan, math.nan)
    x, y = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    difference = y - x
    dx, dy = x - x.mean(), y - y.mean()
    sxx, syy, sxy = float(dx @ dx), float(dy @ dy), float(dx @ dy)
    slope = sxy / sxx if sxx > 0.0 else math.nan
    return Agreement(
        bias=float(difference.mean()),
        limit=1.96 * float(difference.std(ddof=1)),
        slope=slope,
        intercept=float(y.mean() - slope * x.mean()),
        r2=sxy**2 / (sxx * syy) if sxx > 0.0 and syy > 0.0 else math.nan,
    )
