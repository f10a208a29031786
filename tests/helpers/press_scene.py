"""Strain of a hand-held press on a stiff inclusion: frames for tests of the viewer's page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import PersistenceState, StrainFrame
from rtelasto.transport.strain_publisher import StrainPublisher

GRID = Grid(64, 200, 1.5e-4, 4e-4, 1e-3)
STIFFNESS = 2.5
"""Strain of the background divided by that of the inclusion."""
_INCLUSION = (0.0, 16e-3, 4e-3)
_ECHOES = np.random.default_rng(7).integers(40, 200, GRID.shape).astype(np.uint8)


def pattern() -> NDArray[np.float32]:
    """Return the strain relative to the applied strain: 1 outside the inclusion."""
    x_m, z_m, radius_m = _INCLUSION
    inside = np.hypot(GRID.lateral_m[:, None] - x_m, GRID.depth_m - z_m) <= radius_m
    return np.where(inside, 1.0 / STIFFNESS, 1.0).astype(np.float32)


def strain_frame(
    number: int,
    applied: float,
    *,
    noise: float = 2e-4,
    correlation: float = 0.95,
    shift_m: float = 0.0,
) -> StrainFrame:
    """Return the strain of frames ``number`` and ``number + 1``, strained by ``applied`` (< 0: compression).

    At rest the frames agree fully, and the strain is noise about 0, as from a real engine. ``shift_m`` is an
    additional motion of all tissue.
    """
    rng = np.random.default_rng(number)
    strain = applied * pattern() + rng.normal(0.0, noise, GRID.shape).astype(np.float32)
    moved = np.cumsum(strain, axis=1, dtype=np.float64) * GRID.axial_step_m + shift_m
    agreement = np.full(GRID.shape, correlation if applied else 1.0, np.float32)
    return StrainFrame(
        strain.astype(np.float32),
        moved.astype(np.float32),
        agreement,
        GRID,
        frame_ids=(number, number + 1),
        acquired_ns=(1 + number) * 50_000_000,
        age_ns=5_000_000,
        engine="ncc",
        quality=float(np.median(agreement)),
        applied_strain=applied,
        bmode=_ECHOES,
    )


def hand(count: int, *, peak: float = 0.01, period: int = 20) -> list[float]:
    """Return the applied strain of each pair during a press and its release: compression comes first."""
    return [-peak * float(np.sin(2.0 * np.pi * (i + 0.5) / period)) for i in range(count)]


def averaged(presses: int, *, age_s: float = 0.0) -> dict[str, float]:
    """Return the description of the average over time, as a pipeline sends it."""
    return {"seconds": 0.5 * presses, "frames": 8 * presses, "presses": presses, "age_s": age_s}


class ScenePublisher(StrainPublisher):
    """A publisher that also sends frames with an average over time."""

    def write_average(
        self, frame: StrainFrame, persistence: Mapping[str, float], std: float = 0.03
    ) -> None:
        """Publish a frame with its average over time, which is unknown before the first press."""
        known = persistence["presses"] > 0
        self.write(
            frame.replace(
                relative_strain=pattern() if known else np.full(GRID.shape, np.nan, np.float32),
                relative_strain_std=np.full(GRID.shape, std if known else np.nan, np.float32),
                persistence=PersistenceState(**persistence),  # type: ignore[arg-type]
            )
        )
