"""Stretched pairs with known residual motion, for the tests of the engines."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from speckle import LocalDisplacement, speckle_pair

from rtelasto.cpu.echoes import echoes
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import Elongation, StretchedPair

FORMAT = RfFormat(
    n_lines=40,
    n_samples=600,
    sampling_freq_hz=40e6,
    center_freq_hz=6.25e6,
    line_pitch_m=0.3e-3,
)
STEP_M = FORMAT.axial_step_m


def stretched(
    pre: NDArray[np.generic], post: NDArray[np.generic], step_m: float = STEP_M
) -> StretchedPair:
    """Return a stretched pair of any two images; the caller scales them to a joint RMS of 1."""
    grid = Grid(*pre.shape, step_m, FORMAT.line_pitch_m, 2e-3)
    return StretchedPair(
        np.ascontiguousarray(pre, np.float32),
        np.ascontiguousarray(post, np.float32),
        grid,
        Elongation(),
        6.4,
    )


def recorded_pair(pre: NDArray[np.generic], post: NDArray[np.generic]) -> StretchedPair:
    """Return the echoes of two frames of any size, as the input of an engine."""
    n_lines, n_samples = pre.shape
    rf_format = dataclasses.replace(FORMAT, n_lines=n_lines, n_samples=n_samples)
    return stretched(echoes(pre, rf_format), echoes(post, rf_format))


def speckle_residual(
    seed: int,
    *,
    motion: Elongation | None = None,
    local_displacement_m: LocalDisplacement | None = None,
    snr_db: float | None = 30.0,
    decorrelation: float = 0.0,
    rf_format: RfFormat = FORMAT,
) -> StretchedPair:
    """Return speckle with all of the motion in the residual."""
    pair = speckle_pair(
        np.random.default_rng(seed),
        rf_format=rf_format,
        elongation=motion,
        local_displacement_m=local_displacement_m,
        snr_db=snr_db,
        decorrelation=decorrelation,
        dtype="float32",
    )
    return stretched(pair.pre.samples, pair.post.samples)


def inclusion(
    x: NDArray[np.float64], z: NDArray[np.float64], *, strain: float = 0.006
) -> NDArray[np.float64]:
    """Return the axial displacement, m, around a disk of 2 mm radius at 6 mm depth with strain ``strain``."""
    dx, dz, radius = x, z - 6e-3, 2e-3
    square = dx**2 + dz**2
    return strain * dz * np.where(square < radius**2, 1.0, radius**2 / np.maximum(square, 1e-12))


def rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
