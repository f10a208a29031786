"""One classical engine with several strain windows, for the cost of one.

The length of the strain fit trades noise against resolution. A fair comparison is made at equal edge width,
so the classical engines are scored with every window.
"""

from __future__ import annotations

import copy

from rtelasto.cpu.classical.am import AmEngine
from rtelasto.cpu.classical.ncc import NccEngine
from rtelasto.frames.strain import Elongation, ResidualMotion, StretchedPair

STRAIN_WINDOWS = (21, 31, 45, 61, 91, 121, 161, 241, 341)
"""Lengths of the fit in samples at 12.8 a wavelength of depth (6.4 per wavelength of the echo)."""


class WindowSweep:
    """Estimates the displacement of a pair once and fits the strain with every window.

    As an engine it returns the same result as the wrapped engine. Afterwards ``residuals`` contains the
    motion by strain window, including the default one, and ``elongation`` is that of the pair.
    """

    def __init__(self, engine: NccEngine | AmEngine) -> None:
        self.engine = engine
        self.name = engine.name
        self.samples_per_wavelength = engine.samples_per_wavelength
        self.windows = tuple(sorted({*STRAIN_WINDOWS, engine.strain_window}))
        self.residuals: dict[int, ResidualMotion] = {}
        self.elongation = Elongation()

    def estimate(self, pair: StretchedPair) -> ResidualMotion:
        tracked = self.engine.track(pair)
        self.elongation = pair.elongation
        for window in self.windows:
            variant = copy.copy(self.engine)
            variant.strain_window = window
            # Only the fit differs between windows, so all of them use the same displacement.
            vars(variant)["track"] = lambda _pair: tracked
            self.residuals[window] = variant.estimate(pair)
        return self.residuals[self.engine.strain_window]
