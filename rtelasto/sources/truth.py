"""The true motion of the tissue in a simulated recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.sources.hdf5_storage import check_storage, scalar
from rtelasto.sources.limits import MAX_FRAME_SAMPLES
from rtelasto.sources.recording import READ_ERRORS

if TYPE_CHECKING:
    from rtelasto_engines.simulate.motion import DisplacementField, Truth


class RecordedTruth:
    """True motion between any two frames of a simulated recording.

    The file holds, for every frame, the displacement of the tissue from one reference state at the
    nodes of a regular grid. The motion from frame i to frame j at the points of frame i is computed
    from two of them.

    Parameters
    ----------
    group
        The HDF5 group with ``axial_displacement_m`` and ``lateral_displacement_m`` (n_frames, n_x,
        n_z) and the scalars ``x0_m``, ``z0_m``, ``dx_m``, ``dz_m``.
    rf_format
        Format of the recording, whose grid is that of the truth.
    """

    def __init__(self, group: Any, rf_format: RfFormat) -> None:
        self._axial = group.get("axial_displacement_m")
        self._lateral = group.get("lateral_displacement_m")
        for dataset in (self._axial, self._lateral):
            check_storage(dataset)
        self._nodes = {
            name: _number(group.get(name), name) for name in ("x0_m", "z0_m", "dx_m", "dz_m")
        }
        self._format = rf_format
        shape = self._axial.shape
        if len(shape) != 3 or shape != self._lateral.shape:
            raise RtelastoError(
                f"holds a truth of shape {shape}, expected (n_frames, n_x, n_z) twice"
            )
        for dataset in (self._axial, self._lateral):
            if dataset.dtype.kind != "f":
                raise RtelastoError(f"{dataset.name} holds {dataset.dtype}, not numbers in m")
        if min(shape[1:]) < 4 or shape[1] * shape[2] > MAX_FRAME_SAMPLES:
            raise RtelastoError(f"holds a truth on {shape[1:]} nodes: 4 × 4 are the fewest")

    def field(self, i: int) -> DisplacementField:
        """Return the displacement of the tissue in frame ``i`` from the reference state."""
        from rtelasto_engines.simulate.motion import DisplacementField

        if not 0 <= i < self._axial.shape[0]:
            raise IndexError(f"the truth has frames 0…{self._axial.shape[0] - 1}, got {i}")
        try:
            axial_m, lateral_m = self._axial[i], self._lateral[i]
        except READ_ERRORS as error:
            raise RtelastoError(f"the truth of frame {i} cannot be read: {error}") from error
        if not (np.abs(axial_m).max() <= 1.0 and np.abs(lateral_m).max() <= 1.0):
            raise RtelastoError(f"the truth of frame {i} is not finite, or beyond 1 m")
        return DisplacementField(axial_m, lateral_m, **self._nodes)

    def between(self, i: int, j: int, grid: Grid | None = None) -> Truth:
        """Return displacement and strain from frame ``i`` to frame ``j`` at the points of frame ``i``.

        The points are those of the recording's grid, or of ``grid`` (such as that of a strain frame).
        """
        from rtelasto_engines.simulate.motion import truth_between

        return truth_between(
            self.field(i), self.field(j), grid if grid is not None else self._format.grid
        )


def _number(dataset: Any, name: str) -> float:
    """Read a position within 1 m, or a step between a micrometre and a metre."""
    value = scalar(dataset)
    lowest = 1e-6 if name in ("dx_m", "dz_m") else -1.0
    if isinstance(value, str) or not lowest <= value <= 1.0:
        raise RtelastoError(f"{name} of its truth must lie in {lowest:g}…1 m, got {value!r}")
    return float(value)
