"""The true motion of the tissue in a simulated recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rtelasto.domain import Grid, RfFormat
from rtelasto.errors import RtelastoError

if TYPE_CHECKING:
    from rtelasto_engines.simulate.motion import DisplacementField, Truth


class RecordedTruth:
    """True motion between any two frames of a simulated recording.

    The file holds, for every frame, the displacement of the tissue from one reference state at the
    nodes of a regular grid; the motion from frame i to frame j at the points of frame i follows
    from two of them.

    Parameters
    ----------
    group
        The HDF5 group with ``axial_displacement_m`` and ``lateral_displacement_m`` (n_frames, n_x,
        n_z) and the scalars ``x0_m``, ``z0_m``, ``dx_m``, ``dz_m``.
    rf_format
        Format of the recording, whose grid the truth is given on.
    """

    def __init__(self, group: Any, rf_format: RfFormat) -> None:
        self._axial = group["axial_displacement_m"]
        self._lateral = group["lateral_displacement_m"]
        self._nodes = {name: float(group[name][()]) for name in ("x0_m", "z0_m", "dx_m", "dz_m")}
        self._format = rf_format
        shape = self._axial.shape
        if len(shape) != 3 or shape != self._lateral.shape:
            raise RtelastoError(
                f"holds a truth of shape {shape}, expected (n_frames, n_x, n_z) twice"
            )

    def field(self, i: int) -> DisplacementField:
        """Displacement of the tissue in frame ``i`` from the reference state."""
        from rtelasto_engines.simulate.motion import DisplacementField

        if not 0 <= i < self._axial.shape[0]:
            raise IndexError(f"the truth has frames 0…{self._axial.shape[0] - 1}, got {i}")
        return DisplacementField(self._axial[i], self._lateral[i], **self._nodes)

    def between(self, i: int, j: int, grid: Grid | None = None) -> Truth:
        """Displacement and strain from frame ``i`` to frame ``j`` at the points of frame ``i``.

        On the grid of the recording, or on ``grid`` (such as that of a strain frame).
        """
        from rtelasto_engines.simulate.motion import truth_between

        return truth_between(
            self.field(i), self.field(j), grid if grid is not None else self._format.grid
        )
