"""HDF5 files of strain, in zea's layout; `rtelasto.sources.strain_file` reads them back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import POOR_CORRELATION, PersistenceState, StrainFrame
from rtelasto.frames.strain_maps import (
    ACCUMULATED_FROM,
    FURTHER_MAPS,
    PERSISTENCE_SERIES,
    STRAIN_MAPS,
)
from rtelasto.sinks.zea_file import GZIP, Packing, Provenance, ZeaFile, snake_case


class StrainWriter(ZeaFile):
    """Writes strain frames one by one: strain in %, displacement in m, correlation, quality.

    All frames must lie on one grid. What the first has besides (relative strain, lateral motion, standard
    deviation, accumulated motion) is written too, NaN for frames without it.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced.
    rf_format
        Format of the RF frames from which the strain was estimated, None if unknown.
    provenance
        Version, engine, command, source file …
    packing
        How images are compressed.

    Raises
    ------
    RtelastoError
        If the file cannot be written, or a frame has another grid than the first.
    """

    def __init__(
        self,
        path: str | Path,
        rf_format: RfFormat | None,
        provenance: Provenance | None = None,
        packing: Packing = GZIP,
    ) -> None:
        super().__init__(path, packing)
        self._grid: Grid | None = None
        self._drops: dict[str, int] = {}
        self._engines: set[str] = set()
        self._maps = dict(STRAIN_MAPS)
        with self._abort_on_failure():
            self._file.attrs["description"] = "Axial strain and displacement, by rtelasto"
            if rf_format is not None:
                self._put_format(rf_format)
            self._put_provenance(provenance or {})
            self._series("frame_ids", (2,), np.int64, "#", "Pre- and post-compression frame")
            self._series(
                "acquired_ns", (), np.int64, "ns", "Acquisition of the post-compression frame"
            )
            self._series("age_ns", (), np.int64, "ns", "Age when published, -1 where not known")
            self._series("stale", (), np.uint8, "–", "1 if published too old to be called live")
            self._series("quality", (), np.float32, "–", "Median of the correlation")
            self._series("applied_strain", (), np.float32, "–", "Median of the axial strain, ∂u/∂z")
            self._series(
                "poor_share",
                (),
                np.float32,
                "–",
                f"Share of the pixels whose correlation is below {POOR_CORRELATION}",
            )

    def write(self, frame: StrainFrame) -> None:
        """Append a strain frame."""
        self._check_open()
        with self._abort_on_failure():
            if self._grid is None:
                self._begin(frame)
            elif frame.grid != self._grid:
                raise RtelastoError(
                    f"{self.path}: strain of frames {frame.frame_ids} has another grid "
                    f"({frame.grid.shape}) than the first ({self._grid.shape})"
                )
            for field, strain_map in self._maps.items():
                image = getattr(frame, field)
                if image is None:
                    image = np.full(frame.grid.shape, np.nan, np.float32)
                self._append_image(strain_map.name, np.float32(strain_map.factor) * image)
            if self._has_persistence:
                state = frame.persistence or PersistenceState(0.0, 0, 0, math.nan)
                for name in PERSISTENCE_SERIES:
                    self._append(f"persistence/{name}", getattr(state, name))
            if self._accumulates:
                reference = frame.accumulated_from
                self._append(ACCUMULATED_FROM, -1 if reference is None else reference)
            self._append("frame_ids", frame.frame_ids)
            self._append("acquired_ns", frame.acquired_ns)
            self._append("age_ns", -1 if frame.age_ns is None else frame.age_ns)
            self._append("stale", frame.stale)
            self._append("quality", frame.quality)
            self._append("applied_strain", frame.applied_strain)
            self._append("poor_share", frame.poor_share)
            self.n_frames += 1
        self._drops.update(frame.drops)
        self._engines.add(frame.engine)

    def _begin(self, frame: StrainFrame) -> None:
        self._grid = frame.grid
        self._maps |= {
            field: strain_map
            for field, strain_map in FURTHER_MAPS.items()
            if getattr(frame, field) is not None
        }
        for strain_map in self._maps.values():
            self._map(
                strain_map.name,
                frame.grid,
                unit=strain_map.unit,
                description=strain_map.description,
            )
        if self._has_persistence:
            for name, (dtype, unit, text) in PERSISTENCE_SERIES.items():
                self._series(f"persistence/{name}", (), dtype, unit, text)
        if self._accumulates:
            self._series(
                ACCUMULATED_FROM, (), np.int64, "#", "Reference frame, -1 where there is none"
            )

    @property
    def _accumulates(self) -> bool:
        return "accumulated_axial_strain" in self._maps

    @property
    def _has_persistence(self) -> bool:
        return "relative_strain" in self._maps

    def _finish(self) -> None:
        self._put_timestamps(tuple(strain_map.name for strain_map in self._maps.values()))
        self._put("engine", ", ".join(sorted(self._engines - {""})), text="Engine of the strain")
        for cause, count in self._drops.items():
            self._put(f"drops/{snake_case(cause)}", count, "#", f"Count of {cause} at the end")
