"""The motion between two frames and how reliable it is, from what an engine left to be added back."""

from __future__ import annotations

from rtelasto.cpu.consistency import settle_contradictions
from rtelasto.cpu.quality import post_warp_correlation
from rtelasto.frames.rf import Float32Image
from rtelasto.frames.strain import ResidualMotion, StretchedPair, TotalMotion, compose


def total_motion(
    stretched: StretchedPair, residual: ResidualMotion, wavelength_m: float
) -> tuple[TotalMotion, Float32Image, Float32Image]:
    """Return the total motion, whose strain follows the displacement where both contradict each other.

    The maps beside it, float32 (n_lines, n_depths) of ``residual.grid``, are the correlation of the frames
    after warping, and the same lowered as by `settle_contradictions`.

    Parameters
    ----------
    stretched, residual
        A stretched pair, and what an engine found in it.
    wavelength_m
        Of the transmitted wave in tissue.
    """
    motion = compose(stretched.elongation, residual)
    matched = post_warp_correlation(stretched, residual)
    correlation = matched.copy()
    settle_contradictions(
        correlation,
        motion.axial_displacement_m,
        motion.axial_strain,
        residual.grid,
        wavelength_m,
    )
    return motion, matched, correlation
