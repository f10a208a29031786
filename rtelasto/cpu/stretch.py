"""The stretch stage: a pair on the engine's grid with its global motion removed."""

from __future__ import annotations

import math

import numpy as np

from rtelasto.cpu.resample import FASTMATH, engine_grid, resample_frame
from rtelasto.cpu.stretching.elongation import ElongationEstimator
from rtelasto.frames.rf import FramePair, Grid, RfFormat
from rtelasto.frames.strain import StretchedPair
from rtelasto.host.compiled import kernel


@kernel(fastmath=FASTMATH)
def _scale(image, factor):  # type: ignore[no-untyped-def]
    for i in range(image.shape[0]):
        line = image[i]
        for j in range(line.size):
            line[j] *= factor


class Stretch:
    """Estimates the global elongation of a pair and resamples its echoes accordingly onto an engine's grid.

    The grid has the recording's lines and depth span and an axial step of
    wavelength / (2 samples_per_wavelength); with the published format (40 MHz, 6.25 MHz) and 6.4
    samples per wavelength it is the grid of the recording.

    Parameters
    ----------
    samples_per_wavelength
        Axial sampling of the grid, or None for that of the recording.
    estimator
        Estimates the elongations; share it with a pairing policy that also needs them.
    """

    def __init__(
        self,
        samples_per_wavelength: float | None = 6.4,
        *,
        estimator: ElongationEstimator | None = None,
    ) -> None:
        self.samples_per_wavelength = samples_per_wavelength
        self.estimator = estimator or ElongationEstimator()
        self._grid: tuple[RfFormat, Grid] | None = None

    def __call__(self, pair: FramePair) -> StretchedPair:
        """Return the stretched pair; its arrays are new and belong to the caller."""
        rf_format = pair.pre.format
        if self._grid is None or self._grid[0] != rf_format:
            self._grid = (rf_format, engine_grid(rf_format, self.samples_per_wavelength))
        grid = self._grid[1]
        fit = self.estimator(pair)
        pre, pre_energy = resample_frame(self.estimator.echoes(pair.pre), rf_format, grid)
        post, post_energy = resample_frame(
            self.estimator.echoes(pair.post), rf_format, grid, fit.elongation
        )
        mean_square = (pre_energy + post_energy) / (pre.size + post.size)
        if mean_square > 0.0:
            factor = np.float32(1.0 / math.sqrt(mean_square))
            _scale(pre, factor)
            _scale(post, factor)
        samples_per_wavelength = rf_format.wavelength_m / (2.0 * grid.axial_step_m)
        return StretchedPair(pre, post, grid, fit.elongation, samples_per_wavelength)
