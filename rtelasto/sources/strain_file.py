"""Strain files read back: what `process` and `record` wrote, frame after frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtelasto.closing import Closing
from rtelasto.domain import Grid, StrainFrame
from rtelasto.errors import RtelastoError
from rtelasto.sources.hdf5_storage import check_storage

_DATA = "tracks/track_0/data"
_MAPS = {
    "axial_strain": "strain_percentage_map",
    "axial_displacement_m": "axial_displacement",
    "correlation": "correlation",
}


class StrainFile(Closing):
    """Strain frames of a file in zea's layout, as `StrainWriter` writes it.

    Attributes
    ----------
    n_frames
        Strain frames in it.
    grid
        Where their pixels lie.
    frame_ids
        int64 (n_frames, 2): pre- and post-compression frame.
    acquired_ns
        int64 (n_frames,).
    quality, applied_strain
        float32 (n_frames,).

    Raises
    ------
    RtelastoError
        If the file cannot be read or is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise RtelastoError(f"{path}: cannot be read as HDF5 ({error})") from error
        try:
            self._maps = {
                name: self._file[f"{_DATA}/{kept}/values"] for name, kept in _MAPS.items()
            }
            for dataset in self._maps.values():
                check_storage(dataset)
            custom = self._file["custom"]
            self.frame_ids: NDArray[np.int64] = custom["frame_ids"][()]
            self.acquired_ns: NDArray[np.int64] = custom["acquired_ns"][()]
            self.quality: NDArray[np.float32] = custom["quality"][()]
            self.applied_strain: NDArray[np.float32] = custom["applied_strain"][()]
            engine: Any = custom["engine"][()]
            self.grid = _grid(self._file[f"{_DATA}/strain_percentage_map/coordinates"])
        except KeyError as error:
            self._file.close()
            raise RtelastoError(f"{path}: is no strain file of rtelasto ({error})") from error
        except BaseException:
            self._file.close()
            raise
        self.engine = engine.decode() if isinstance(engine, bytes) else str(engine)
        self.n_frames = len(self.frame_ids)

    def frame(self, i: int) -> StrainFrame:
        """Strain frame ``i``."""
        percent, displacement_m, correlation = (
            np.ascontiguousarray(self._maps[name][i].T) for name in _MAPS
        )
        pre, post = (int(number) for number in self.frame_ids[i])
        return StrainFrame(
            axial_strain=percent * np.float32(0.01),
            axial_displacement_m=displacement_m,
            correlation=correlation,
            grid=self.grid,
            frame_ids=(pre, post),
            acquired_ns=int(self.acquired_ns[i]),
            engine=self.engine,
            quality=float(self.quality[i]),
            applied_strain=float(self.applied_strain[i]),
        )

    def __iter__(self) -> Iterator[StrainFrame]:
        for i in range(self.n_frames):
            yield self.frame(i)

    def close(self) -> None:
        """Let the file go. Frames already read stay valid."""
        self._file.close()


def _grid(coordinates: h5py.Dataset) -> Grid:
    """The grid from the pixels' positions, (n_depths, n_lines, xyz) in m."""
    n_depths, n_lines, _ = coordinates.shape
    depth_m = np.asarray(coordinates[:, 0, 2], np.float64)
    lateral_m = np.asarray(coordinates[0, :, 0], np.float64)
    return Grid(
        n_lines,
        n_depths,
        float(depth_m[-1] - depth_m[0]) / max(n_depths - 1, 1),
        float(lateral_m[-1] - lateral_m[0]) / max(n_lines - 1, 1),
        float(depth_m[0]),
    )
