"""Estimates of pairs in a file: made in one process, used in another.

What takes the time, the looks at candidates and the engine, depends on the two frames of a pair alone. A file
of estimates is a NumPy ``.npz``: the images of each pair are an array, those of what its engine measured are
another, and all other numbers are in tables.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.cpu.stretching.elongation import ElongationFit
from rtelasto.frames.rf import FramePair, Grid
from rtelasto.frames.strain import Elongation, MeasuredMotion, StrainFrame
from rtelasto.pipeline.persistence import Average
from rtelasto.sinks.output_file import OutputFile

# Of a strain frame; the second row only where the engine gives them.
_IMAGES = (
    *("axial_strain", "axial_displacement_m", "correlation"),
    *("lateral_displacement_m", "lateral_strain", "axial_strain_std", "post_warp_correlation"),
)
# Of what an engine of two stages measured; after them, both parts of the residual.
_MEASURED = ("displacement", "lateral", "precision")
_FIGURES = ("quality", "applied_strain", "poor_share")
# Numbers of an elongation, at the beginning of each row of both tables.
_MOTION = len(astuple(Elongation()))

_Ids = tuple[int, int]
_Table = dict[_Ids, tuple[float, ...]]


@contextmanager
def keeping(estimator: CpuEstimator, path: Path) -> Iterator[KeepingEstimator]:
    """Yield an estimator that also writes what it estimates into a file, which appears when it is whole.

    Raises
    ------
    RtelastoError
        If the file cannot be written.
    """
    with OutputFile(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        keeper = KeepingEstimator(estimator, archive)
        yield keeper
        keeper.finish()


class KeepingEstimator:
    """Estimates as another estimator does, and puts the results into an archive of arrays."""

    device = "cpu"

    def __init__(self, estimator: CpuEstimator, archive: zipfile.ZipFile) -> None:
        self._estimator = estimator
        self._archive = archive
        self._pairs: _Table = {}
        self._looks: _Table = {}
        self._grid: Grid | None = None

    def look(self, pair: FramePair) -> ElongationFit:
        """Estimate the global motion of a pair."""
        fit = self._estimator.look(pair)
        self._looks[_ids(pair)] = *astuple(fit.elongation), fit.correlation, fit.searched_widely
        return fit

    def __call__(self, pair: FramePair) -> StrainFrame:
        """Estimate the strain of a pair."""
        strain = self._estimator(pair)
        assert strain.elongation is not None
        images = [getattr(strain, name) for name in _IMAGES]
        self._put(_member(_ids(pair)), [image for image in images if image is not None])
        measured = strain.measured
        if measured is not None:
            single = (getattr(measured, name) for name in _MEASURED)
            self._put(_measured_member(_ids(pair)), [*single, *measured.residual])
        if self._grid is None:
            self._grid = strain.grid
            self._put("grid", astuple(strain.grid))
            self._put("images", [image is not None for image in images])
            if measured is not None:
                self._put("measured_grid", (*astuple(measured.grid), measured.sample_m))
        figures = (getattr(strain, name) for name in _FIGURES)
        self._pairs[_ids(pair)] = *astuple(strain.elongation), *figures
        return strain

    def finish(self) -> None:
        """Write the tables."""
        for name, table, others in (
            ("pairs", self._pairs, len(_FIGURES)),
            ("looks", self._looks, 2),
        ):
            self._put(f"{name}_ids", np.array(list(table), np.int64).reshape(-1, 2))
            rows = np.array(list(table.values()), np.float64)
            self._put(name, rows.reshape(-1, _MOTION + others))

    def _put(self, name: str, values: ArrayLike) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


@contextmanager
def recalling(estimator: CpuEstimator, paths: Sequence[Path]) -> Iterator[RecallingEstimator]:
    """Yield an estimator that takes from files what they hold, and estimates the rest."""
    with ExitStack() as opened:
        files = [opened.enter_context(np.load(path, allow_pickle=False)) for path in paths]
        yield RecallingEstimator(estimator, files)


class RecallingEstimator:
    """Returns estimates from files of the same recording and engine; the rest comes from an estimator.

    Attributes
    ----------
    n_estimated
        Number of pairs that no file held.
    """

    device = "cpu"

    def __init__(
        self, estimator: CpuEstimator, files: Sequence[Mapping[str, NDArray[Any]]]
    ) -> None:
        self._estimator = estimator
        self._looks: _Table = {}
        self._pairs: _Table = {}
        self._file_of: dict[_Ids, Mapping[str, NDArray[Any]]] = {}
        self.n_estimated = 0
        for file in files:
            self._looks |= _table(file, "looks")
            pairs = _table(file, "pairs")
            self._pairs |= pairs
            self._file_of |= dict.fromkeys(pairs, file)

    def look(self, pair: FramePair) -> ElongationFit:
        """Return the global motion of a pair."""
        found = self._looks.get(_ids(pair))
        if found is None:
            return self._estimator.look(pair)
        correlation, searched_widely = found[_MOTION:]
        return ElongationFit(Elongation(*found[:_MOTION]), correlation, bool(searched_widely))

    def __call__(self, pair: FramePair) -> StrainFrame:
        """Return the strain of a pair."""
        ids = _ids(pair)
        if ids not in self._pairs:
            self.n_estimated += 1
            return self._estimator(pair)
        file, values = self._file_of[ids], self._pairs[ids]
        quality, applied_strain, poor_share = values[_MOTION:]
        n_lines, n_depths, *spacing = file["grid"].tolist()
        given = [name for name, there in zip(_IMAGES, file["images"], strict=True) if there]
        return StrainFrame(
            **dict(zip(given, file[_member(ids)], strict=True)),
            grid=Grid(int(n_lines), int(n_depths), *spacing),
            frame_ids=ids,
            acquired_ns=pair.post.acquired_ns,
            stream=pair.post.stream,
            clock=pair.post.clock,
            engine=self._estimator.engine.name,
            quality=quality,
            applied_strain=applied_strain,
            poor_share=poor_share,
            elongation=Elongation(*values[:_MOTION]),
            measured=_measured(file, ids),
        )

    def average(self, grid: Grid) -> Average:
        """Return an empty average over frames of a grid."""
        return self._estimator.average(grid)


def _ids(pair: FramePair) -> _Ids:
    return pair.pre.frame_id, pair.post.frame_id


def _member(ids: _Ids) -> str:
    return f"pair {ids[0]} {ids[1]}"


def _measured_member(ids: _Ids) -> str:
    return f"measured {ids[0]} {ids[1]}"


def _measured(file: Mapping[str, NDArray[Any]], ids: _Ids) -> MeasuredMotion | None:
    if "measured_grid" not in file:
        return None
    n_lines, n_depths, *spacing, sample_m = file["measured_grid"].tolist()
    images = file[_measured_member(ids)]
    single = dict(zip(_MEASURED, images, strict=False))
    return MeasuredMotion(
        **single,
        residual=images[len(_MEASURED) :],
        grid=Grid(int(n_lines), int(n_depths), *spacing),
        sample_m=sample_m,
    )


def _table(file: Mapping[str, NDArray[Any]], name: str) -> _Table:
    rows = zip(file[f"{name}_ids"].tolist(), file[name].tolist(), strict=True)
    return {(pre, post): tuple(row) for (pre, post), row in rows}
