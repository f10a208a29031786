"""Interpolation filters: the weights of samples or lines for a value that lies between them.

Least-squares fractional-delay filters (Laakso et al., "Splitting the unit delay", IEEE Signal
Processing Magazine 13(1), 1996, sec. 3): for each fraction the taps that minimise the integrated
squared error over the frequency band of the echo.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import RfFormat

N_PHASES = 512
POLYNOMIAL_TAPS = 12
POLYNOMIAL_DEGREE = 4
POLYNOMIAL_PASS_EDGE = 0.36
LATERAL_PHASES = 512
LATERAL_TAPS = 6
LATERAL_PASS_EDGE = 0.3  # cycles per line
# A grid may be this much coarser than the recording before an anti-aliasing filter is needed. Strain alone
# never needs one, since echoes leave the top tenth of the band empty.
ALIAS_FREE_RATIO = 1.1


@lru_cache(maxsize=32)
def interpolation_table(
    n_taps: int, n_phases: int, pass_edge: float, stop_edge: float = 0.5
) -> NDArray[np.float32]:
    """Design least-squares fractional-delay filters.

    Parameters
    ----------
    n_taps
        Taps per filter (even). Tap k reads the sample k - n_taps/2 + 1 after the base sample.
    n_phases
        Fractions of a sample, 0 … 1 in steps of 1 / n_phases.
    pass_edge, stop_edge
        In cycles per sample: exact up to pass_edge, zero from stop_edge up (nothing, at 0.5).

    Returns
    -------
    table : float32 (n_phases + 1, n_taps)
    """
    taps = np.arange(n_taps, dtype=np.float64) - (n_taps // 2 - 1)
    lags = taps[:, None] - taps[None, :]
    delays = np.arange(n_phases + 1)[:, None] / n_phases - taps[None, :]

    def band(edge: float, lag: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(edge * np.sinc(2.0 * edge * lag))

    # ∫ cos 2πf(k-l) df over pass and stop band, and ∫ cos 2πf(d-k) df over the pass band alone
    gram = band(pass_edge, lags) + (band(0.5, lags) - band(stop_edge, lags))
    gram[np.diag_indices(n_taps)] += 1e-9
    table = np.linalg.solve(gram, band(pass_edge, delays).T).T
    return np.ascontiguousarray(table, dtype=np.float32)


@lru_cache(maxsize=1)
def polynomial_filters() -> NDArray[np.float32]:
    """Return the 12-tap fractional-delay filters as polynomials of the delay (Farrow structure).

    C. W. Farrow, "A continuously variable digital delay element", ISCAS 1988. With the delay counted
    from half-way between taps 5 and 6, even powers have symmetric taps and odd powers antisymmetric ones, so
    that half of them are enough: float32 (POLYNOMIAL_DEGREE + 1, 6).
    """
    table = interpolation_table(POLYNOMIAL_TAPS, N_PHASES, POLYNOMIAL_PASS_EDGE)
    delay = np.arange(N_PHASES + 1) / N_PHASES - 0.5
    powers = np.vander(delay, POLYNOMIAL_DEGREE + 1, increasing=True)
    taps = np.linalg.lstsq(powers, table.astype(np.float64), rcond=None)[0]
    mirrored = taps[:, ::-1] * np.where(np.arange(POLYNOMIAL_DEGREE + 1) % 2, -1.0, 1.0)[:, None]
    return np.ascontiguousarray(0.5 * (taps + mirrored)[:, : POLYNOMIAL_TAPS // 2], np.float32)


def axial_table(rf_format: RfFormat, ratio: float) -> NDArray[np.float32] | None:
    """Return filters for reading a recording at ``ratio`` of its samples per output sample.

    None if the polynomial filters are sufficient: echoes below 0.36 cycles/sample and no aliasing. Recordings
    with fewer samples per wavelength need 24 taps. A coarser output keeps frequencies below 0.35 cycles per
    output sample and removes those that would alias onto them.
    """
    if ratio > ALIAS_FREE_RATIO:
        steps = round(ratio, 3)
        n_taps = 2 * math.ceil(6.0 * steps)
        return interpolation_table(n_taps, N_PHASES, 0.35 / steps, min(0.65 / steps, 0.5))
    pass_edge = 1.5 / rf_format.samples_per_wavelength
    if pass_edge <= POLYNOMIAL_PASS_EDGE:
        return None
    return interpolation_table(24, N_PHASES, min(pass_edge, 0.44))


@lru_cache(maxsize=1)
def lateral_table() -> NDArray[np.float32]:
    """Return filters across the lines, (LATERAL_PHASES + 1, LATERAL_TAPS); whole lines are unchanged.

    Row k is for a position k / LATERAL_PHASES beyond the line under tap LATERAL_TAPS / 2 − 1.
    """
    table = interpolation_table(LATERAL_TAPS, LATERAL_PHASES, LATERAL_PASS_EDGE).copy()
    table[0] = np.arange(LATERAL_TAPS) == LATERAL_TAPS // 2 - 1
    table[-1] = np.arange(LATERAL_TAPS) == LATERAL_TAPS // 2
    return table
