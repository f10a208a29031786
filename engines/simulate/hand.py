"""Motion of a hand-held probe over time: smooth and nearly periodic, with drift and tremor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HandMotion:
    """A freehand palpation.

    Parameters
    ----------
    press_hz
        Presses per second; they differ slightly in length and depth.
    peak_strain
        Compression at the height of a press, a positive fraction.
    drift_strain
        Slow change of the pressure at rest.
    tremor_hz, tremor_strain
        Physiological tremor.
    tilt
        Rocking: the relative difference in compression between edge and middle.
    slip_m
        Sideways sliding of the probe, the same motion at a third of the pressing rate.
    out_of_plane_m
        Elevational drift of the image plane.
    """

    press_hz: float = 1.0
    peak_strain: float = 0.02
    drift_strain: float = 0.002
    tremor_hz: float = 9.0
    tremor_strain: float = 5e-5
    tilt: float = 0.1
    slip_m: float = 0.2e-3
    out_of_plane_m: float = 0.1e-3


@dataclass(frozen=True, slots=True, eq=False)
class HandPath:
    """The motion at given times, each (n,), relative to the first.

    ``strain`` is the applied axial strain, negative in compression, ``tilt_strain`` the amplitude
    of a part that varies as 2x/width.
    """

    strain: Float64Array
    tilt_strain: Float64Array
    slip_m: Float64Array
    out_of_plane_m: Float64Array


def hand_path(rng: np.random.Generator, hand: HandMotion, time_s: Float64Array) -> HandPath:
    """Draw a random palpation, sampled at ``time_s``."""

    def wander(freq_hz: float) -> Float64Array:
        """Return a smooth signal with an RMS of about 1 around a frequency: three incommensurate tones."""
        tones = freq_hz * np.array([0.62, 1.0, 1.47]) * rng.uniform(0.9, 1.1, 3)
        phases = rng.uniform(0.0, 2.0 * math.pi, 3)
        angles = 2.0 * math.pi * tones[:, None] * time_s[None, :] + phases[:, None]
        return np.sqrt(2.0 / 3.0) * np.sin(angles).sum(axis=0)

    turns = hand.press_hz * time_s + 0.05 * wander(0.23 * hand.press_hz)
    depth = 1.0 + 0.08 * wander(0.31 * hand.press_hz)
    # Starts near rest; the power makes the hand stay longer at the top, as real hands do.
    press = np.abs(0.5 - 0.5 * np.cos(2.0 * math.pi * turns)) ** 1.2 * depth
    strain = -(
        hand.peak_strain * press
        + hand.drift_strain * wander(0.11 * hand.press_hz)
        + hand.tremor_strain * wander(hand.tremor_hz)
    )
    tilt_strain = hand.tilt * strain * wander(0.4 * hand.press_hz)
    slip_m = hand.slip_m * wander(hand.press_hz / 3.0)
    out_of_plane_m = hand.out_of_plane_m * wander(hand.press_hz / 2.0)
    return HandPath(*(s - s[0] for s in (strain, tilt_strain, slip_m, out_of_plane_m)))
