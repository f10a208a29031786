"""Reads strain files that `process` and `record` wrote, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtelasto.closing import Closing
from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.rf import MAX_LINES, MAX_SAMPLES, Float32Image, Grid
from rtelasto.frames.strain import PersistenceState, StrainFrame
from rtelasto.frames.strain_maps import (
    ACCUMULATED_FROM,
    FURTHER_MAPS,
    PERSISTENCE_SERIES,
    STRAIN_MAPS,
)
from rtelasto.sources.first_look import look_first
from rtelasto.sources.hdf5_storage import check_links, check_storage, numbers, scalar
from rtelasto.sources.limits import MAX_STRAIN_FRAMES, MAX_STRAIN_PIXELS, one_line
from rtelasto.sources.recording import READ_ERRORS

_DATA = "tracks/track_0/data"
_ALL_MAPS = STRAIN_MAPS | FURTHER_MAPS


class StrainFile(Closing):
    """Strain frames of a file in zea's layout, as `StrainWriter` writes it.

    Attributes
    ----------
    n_frames
        Number of strain frames.
    grid
        Positions of their pixels.
    frame_ids
        int64 (n_frames, 2): pre- and post-compression frame.
    acquired_ns
        int64 (n_frames,).
    age_ns
        int64 (n_frames,): age when published, −1 if unknown.
    stale
        uint8 (n_frames,): 1 if the frame was published too old to be called live.
    quality, applied_strain, poor_share
        float32 (n_frames,); ``poor_share`` is NaN in files from before it was written.
    has_relative_strain
        Whether persistence was on.
    made_from
        Key of what the strain was computed from (`rtelasto.offline.content_key`); empty if it was recorded.
    center_freq_hz
        Centre frequency with which it was estimated; NaN if the file does not state it.
    center_freq_given_hz
        That of the recording, if the echo's was used instead; None otherwise.
    drops
        What was lost, by cause.

    Raises
    ------
    RtelastoError
        If the file cannot be read or is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            look_first(path)
            self._file = h5py.File(path, "r", locking=False)
        except (RtelastoError, OSError) as error:
            raise RtelastoError(f"{path}: cannot be read as HDF5 ({one_line(error)})") from error
        try:
            check_links(self._file)
            self._maps = {
                field: self._file[f"{_DATA}/{strain_map.name}/values"]
                for field, strain_map in _ALL_MAPS.items()
                if field in STRAIN_MAPS or f"{_DATA}/{strain_map.name}" in self._file
            }
            self.has_relative_strain = "relative_strain" in self._maps
            custom = self._file["custom"]
            self.frame_ids: NDArray[np.int64] = _series(custom["frame_ids"], np.int64)
            self.n_frames = len(self.frame_ids)
            self.acquired_ns: NDArray[np.int64] = _series(custom["acquired_ns"], np.int64)
            self.age_ns: NDArray[np.int64] = _series(custom["age_ns"], np.int64)
            self.stale: NDArray[np.uint8] = _series(custom["stale"], np.uint8)
            self.quality: NDArray[np.float32] = _series(custom["quality"], np.float32)
            self.applied_strain: NDArray[np.float32] = _series(custom["applied_strain"], np.float32)
            self.poor_share: NDArray[np.float32] = (
                _series(custom["poor_share"], np.float32)
                if "poor_share" in custom
                else np.full(self.n_frames, np.nan, np.float32)
            )
            self._persistence = {
                name: _series(custom[f"persistence/{name}"], dtype)
                for name, (dtype, _, _) in PERSISTENCE_SERIES.items()
                if self.has_relative_strain
            }
            self._accumulated_from: NDArray[np.int64] | None = None
            if "accumulated_axial_strain" in self._maps:
                self._accumulated_from = _series(custom[ACCUMULATED_FROM], np.int64)
            self.engine = str(scalar(custom["engine"]))
            made_from = custom.get("provenance/made_from")
            self.made_from = "" if made_from is None else str(scalar(made_from))
            given = custom.get("provenance/center_freq_given_hz")
            self.center_freq_given_hz = None if given is None else float(scalar(given))
            used = custom.get("rf_format/center_freq_hz")
            self.center_freq_hz = math.nan if used is None else float(scalar(used))
            self.drops = {
                cause: int(scalar(count)) for cause, count in custom.get("drops", {}).items()
            }
            self.grid = _grid(self._file[f"{_DATA}/strain_percentage_map/coordinates"])
            self._check_shapes()
        except Exception as error:  # damage in a file can raise almost any exception of the library
            self._file.close()
            if isinstance(error, MissingExtraError):
                raise
            raise RtelastoError(
                f"{path}: is not a strain file by rtelasto ({one_line(error)})"
            ) from error

    def frame(self, i: int) -> StrainFrame:
        """Return strain frame ``i``; raise RtelastoError if its data cannot be read."""
        images = {name: self.image(name, i) for name in self._maps}
        pre, post = (int(number) for number in self.frame_ids[i])
        return StrainFrame(
            **images,  # type: ignore[arg-type]
            grid=self.grid,
            frame_ids=(pre, post),
            acquired_ns=int(self.acquired_ns[i]),
            age_ns=None if self.age_ns[i] < 0 else int(self.age_ns[i]),
            stale=bool(self.stale[i]),
            engine=self.engine,
            quality=float(self.quality[i]),
            applied_strain=float(self.applied_strain[i]),
            poor_share=float(self.poor_share[i]),
            persistence=self._state(i),
            accumulated_from=self._reference(i),
        )

    def image(self, name: str, i: int) -> Float32Image:
        """Return an image of strain frame ``i`` by its name in `StrainFrame`, without reading the others.

        Raises
        ------
        KeyError
            If the file has no such images.
        RtelastoError
            If its data cannot be read.
        """
        values, factor = self._maps[name], np.float32(1.0 / _ALL_MAPS[name].factor)
        try:
            return np.asarray(factor * np.ascontiguousarray(values[i].T))
        except READ_ERRORS as error:
            raise RtelastoError(f"{self.path}: frame {i} cannot be read: {error}") from error

    def _reference(self, i: int) -> int | None:
        if self._accumulated_from is None or self._accumulated_from[i] < 0:
            return None
        return int(self._accumulated_from[i])

    def _state(self, i: int) -> PersistenceState | None:
        if not self.has_relative_strain:
            return None
        return PersistenceState(
            seconds=float(self._persistence["seconds"][i]),
            frames=int(self._persistence["frames"][i]),
            presses=int(self._persistence["presses"][i]),
            age_s=float(self._persistence["age_s"][i]),
        )

    def __iter__(self) -> Iterator[StrainFrame]:
        for i in range(self.n_frames):
            yield self.frame(i)

    def _check_shapes(self) -> None:
        """Raise RtelastoError unless all parts have the same number of frames on the same grid."""
        shape = (self.n_frames, self.grid.n_depths, self.grid.n_lines)
        for dataset in self._maps.values():
            check_storage(dataset)
            if dataset.shape != shape or dataset.dtype.kind != "f":
                raise RtelastoError(f"{dataset.name} holds {dataset.dtype} {dataset.shape}")
        if self.grid.n_depths * self.grid.n_lines > MAX_STRAIN_PIXELS:
            raise RtelastoError(f"its frames of {shape[1:]} pixels are too large")
        for name in ("frame_ids", "acquired_ns", "age_ns", "stale", "quality", "applied_strain"):
            expected = (self.n_frames, 2) if name == "frame_ids" else (self.n_frames,)
            if getattr(self, name).shape != expected:
                raise RtelastoError(f"{name} has shape {getattr(self, name).shape}")
        series = {f"persistence/{name}": values for name, values in self._persistence.items()}
        series["poor_share"] = self.poor_share
        if self._accumulated_from is not None:
            series[ACCUMULATED_FROM] = self._accumulated_from
        for name, values in series.items():
            if values.shape != (self.n_frames,):
                raise RtelastoError(f"{name} has shape {values.shape}")

    def close(self) -> None:
        """Close the file. Frames that were read remain valid."""
        self._file.close()


def _series(dataset: Any, dtype: type[np.generic]) -> np.ndarray:
    """Read one value per frame, (n_frames, …)."""
    values = np.atleast_1d(numbers(dataset, 2 * MAX_STRAIN_FRAMES))
    if values.dtype.kind != np.dtype(dtype).kind:
        raise RtelastoError(f"{dataset.name} holds {values.dtype}")
    return values.astype(dtype)


def _grid(coordinates: h5py.Dataset) -> Grid:
    """Build the grid from the pixel positions, (n_depths, n_lines, xyz) in m."""
    check_storage(coordinates)
    n_depths, n_lines, _ = coordinates.shape
    if n_depths > MAX_SAMPLES or n_lines > MAX_LINES:
        raise RtelastoError(f"{coordinates.name} has shape {coordinates.shape}")
    depth_m = np.asarray(coordinates[:, 0, 2], np.float64)
    lateral_m = np.asarray(coordinates[0, :, 0], np.float64)
    return Grid(
        n_lines,
        n_depths,
        float(depth_m[-1] - depth_m[0]) / max(n_depths - 1, 1),
        float(lateral_m[-1] - lateral_m[0]) / max(n_lines - 1, 1),
        float(depth_m[0]),
    )
