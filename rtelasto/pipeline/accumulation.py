"""Motion accumulated over a sequence: from a reference frame, at the points of that frame.

Each pair measures how its tissue moved from the older frame to the newer one, at points of the older frame.
The motion from the reference to the newer frame is that to the older one plus what the pair measured where
the tissue was by then (Lagrangian, as in speckle tracking of the heart and of tendons). Errors add up along
such a chain, so that a direct pair, from the reference to the newer frame, corrects it wherever those two
still correlate: both are averaged by their variances, as a Kalman filter does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Float32Image, FramePair, RfFormat, RfFrame
from rtelasto.frames.strain import StrainFrame

# A direct pair with a lower correlation may be wrong by a period of the echo.
LEAST_DIRECT_CORRELATION = 0.85
# Echoes that have nothing in common correlate by 0 ± 0.2: a pair with less than the first says nothing. More
# than the second says no more.
_CORRELATIONS = (0.3, 0.995)
# The variance of what is not known, and the largest of what is.
_UNKNOWN_VARIANCE, _MOST_VARIANCE = np.float32(1e9), np.float32(1e6)


def check_reference(reference: int | None, accumulate: bool) -> None:
    """Raise RtelastoError for a reference frame where nothing is accumulated from it."""
    if reference is not None and not accumulate:
        raise RtelastoError(f"reference {reference} needs accumulate")


@dataclass(frozen=True, slots=True, eq=False)
class _Position:
    """Where the tissue of the reference frame is in another frame.

    ``motion`` is float32 (4, n_lines, n_depths), at points of the reference: axial displacement in m, axial
    strain, lateral displacement in m, lateral strain. ``variance`` is that of the displacement, in units of
    (1 − c²) / c².
    """

    motion: NDArray[np.float32]
    variance: Float32Image


class Accumulation:
    """Adds up the motion of pairs from a reference frame on. Not thread-safe.

    Parameters
    ----------
    estimator
        Measures the direct pairs, one for each frame.
    history
        How many frames back pairs reach.
    reference
        ``frame_id`` of the reference; by default the older frame of the first pair.
    """

    def __init__(
        self,
        estimator: Callable[[FramePair], StrainFrame],
        *,
        history: int,
        reference: int | None = None,
    ) -> None:
        self._estimator = estimator
        self._history = history
        self._given_id = self._reference_id = reference
        self._reference: RfFrame | None = None
        self._format: RfFormat | None = None
        self._positions: OrderedDict[int, _Position] = OrderedDict()

    def __call__(self, strain: StrainFrame, pair: FramePair) -> StrainFrame:
        """Return the strain of a pair with the accumulated motion from the reference to its newer frame.

        It is NaN where it is not known: before the reference, and where tissue left the image or a pair did
        not correlate, until a direct pair finds it.
        """
        if self._format != pair.post.format:  # positions are on another grid
            self._format = pair.post.format
            self._reference, self._reference_id = None, self._given_id
            self._positions.clear()
        if self._reference is None:
            self._begin(strain, pair)
        position = self._position(strain, pair)
        self._keep(pair.post.frame_id, position)
        unknown = position.variance > _MOST_VARIANCE
        axial_m, axial_strain, lateral_m, lateral_strain = np.where(
            unknown, np.float32(np.nan), position.motion
        )
        has_lateral = strain.lateral_displacement_m is not None
        return strain.replace(
            accumulated_axial_displacement_m=axial_m,
            accumulated_axial_strain=axial_strain,
            accumulated_lateral_displacement_m=lateral_m if has_lateral else None,
            accumulated_lateral_strain=lateral_strain if has_lateral else None,
            accumulated_from=self._reference_id,
        )

    def _begin(self, strain: StrainFrame, pair: FramePair) -> None:
        """Make a frame of the pair the reference, if it is the one."""
        if self._reference_id is None:
            self._reference_id = pair.pre.frame_id
        for frame in (pair.pre, pair.post):
            if frame.frame_id == self._reference_id:
                self._reference = frame
                self._keep(frame.frame_id, _at_rest(strain, np.float32(0.0)))

    def _keep(self, frame_id: int, position: _Position) -> None:
        self._positions[frame_id] = position
        while len(self._positions) > self._history + 1:
            self._positions.popitem(last=False)

    def _position(self, strain: StrainFrame, pair: FramePair) -> _Position:
        """Return the position in the newer frame."""
        nowhere = _at_rest(strain, _UNKNOWN_VARIANCE)
        if self._reference is None or pair.post is self._reference:
            return self._positions.get(pair.post.frame_id, nowhere)
        chained = _moved_on(self._positions.get(pair.pre.frame_id, nowhere), strain)
        if pair.pre is self._reference:
            return chained
        return _corrected(chained, self._estimator(FramePair(self._reference, pair.post)))


def _at_rest(strain: StrainFrame, variance: np.float32) -> _Position:
    shape = strain.grid.shape
    return _Position(np.zeros((4, *shape), np.float32), np.full(shape, variance))


def _motion(strain: StrainFrame) -> NDArray[np.float32]:
    """Return the motion of a pair as in `_Position`; without a lateral one, that of all tissue together."""
    lateral_m, lateral_strain = strain.lateral_displacement_m, strain.lateral_strain
    if lateral_m is None or lateral_strain is None:
        shape, elongation = strain.grid.shape, strain.elongation
        lateral_m = lateral_strain = np.zeros(shape, np.float32)
        if elongation is not None:
            x_m = strain.grid.lateral_m[:, None]
            z_m = strain.grid.depth_m
            lateral_m = np.broadcast_to(elongation.lateral_displacement_m(x_m, z_m), shape)
            lateral_strain = np.full(shape, elongation.lateral_slope)
    images = (strain.axial_displacement_m, strain.axial_strain, lateral_m, lateral_strain)
    return np.nan_to_num(np.stack(images).astype(np.float32, copy=False))


def _variance(correlation: Float32Image) -> Float32Image:
    """Return the variance of the displacement, up to a constant factor: (1 − c²) / c²."""
    c2 = np.square(np.clip(correlation, *_CORRELATIONS))
    known = correlation >= _CORRELATIONS[0]
    return np.where(known, (1.0 - c2) / c2, _UNKNOWN_VARIANCE).astype(np.float32)


def _moved_on(before: _Position, strain: StrainFrame) -> _Position:
    """Return the position after a pair: what it measured where the tissue was, added to the motion so far."""
    grid = strain.grid
    axial_m, axial_strain, lateral_m, lateral_strain = before.motion
    lines, rows = np.indices(grid.shape, np.float32)
    places = (
        lines + lateral_m / np.float32(grid.line_pitch_m),
        rows + axial_m / np.float32(grid.axial_step_m),
    )

    u, strain_z, v, strain_x = (
        # Beside the image tissue is taken to move like that at its edge, until it comes back.
        map_coordinates(image, places, order=1, mode="nearest")
        for image in _motion(strain)
    )
    variance = _variance(strain.displacement_correlation)
    added = map_coordinates(variance, places, order=1, cval=_UNKNOWN_VARIANCE)
    # Lengths multiply: 1 + strain is the length over that in the reference.
    motion = np.stack(
        (
            axial_m + u,
            (1.0 + axial_strain) * (1.0 + strain_z) - 1.0,
            lateral_m + v,
            (1.0 + lateral_strain) * (1.0 + strain_x) - 1.0,
        )
    )
    return _Position(motion, before.variance + added)


def _corrected(chained: _Position, direct: StrainFrame) -> _Position:
    """Return the mean of the chain and a direct pair by their variances, where the latter can be trusted."""
    correlation = direct.displacement_correlation
    of_direct = _variance(correlation)
    gain = chained.variance / (chained.variance + of_direct)
    motion = chained.motion + gain * (_motion(direct) - chained.motion)
    trusted = correlation >= LEAST_DIRECT_CORRELATION
    return _Position(
        np.where(trusted, motion, chained.motion),
        np.where(trusted, gain * of_direct, chained.variance),
    )
