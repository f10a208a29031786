"""A folder of segments, as `rtelasto record` writes it, read as one recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.sources.contents import Contents, Overrides
from rtelasto.sources.first_look import look_first
from rtelasto.sources.recording import READ_ERRORS

SEGMENTS = "rf-*.h5"
_NAME = re.compile(r"rf-(\d+)-(\d+)\.h5")


def read_segments(folder: Path, overrides: Overrides) -> Contents:
    """Read what was sent in a take: all its segments, frame after frame.

    The take is the only one of the folder, or the one named by ``overrides.dataset``, such as
    ``rf-02``.

    Raises
    ------
    RtelastoError
        If there are several takes and none is named, a segment cannot be read, or its frames differ in
        format or type from those of the first.
    """
    # Reads a segment as a file of its own.
    from rtelasto.sources.hdf5 import read_hdf5

    paths = _take(folder, overrides.dataset)
    alone = replace(overrides, dataset=None)

    def open_segment(path: Path) -> Contents:
        try:
            return read_hdf5(path, alone)
        except RtelastoError as error:
            raise RtelastoError(f"{path.name}: {error}") from error

    first: Contents | None = None
    times: list[NDArray[np.int64] | None] = []
    ids: list[NDArray[np.int64] | None] = []
    lengths: list[int] = []
    all_headers = True
    for path in paths:
        look_first(path)
        contents = open_segment(path)
        array = contents.array
        times.append(contents.timestamps_ns)
        ids.append(contents.frame_ids)
        lengths.append(array.shape[0])
        all_headers = all_headers and contents.headers is not None
        alike = (
            contents.values,
            contents.sent_format,
            contents.dtype,
            array.shape[1:],
            array.dtype,
        )
        if first is None:
            first, expected, dtype = contents, alike, array.dtype
        if contents.close is not None:
            contents.close()
        if alike != expected:
            raise RtelastoError(f"{path.name} holds frames of another kind than {paths[0].name}")
    assert first is not None, "a take has at least one segment"
    joined = _Joined(paths, lengths, array.shape[1:], dtype, open_segment)
    return replace(
        first,
        array=joined,
        headers=_JoinedHeaders(joined) if all_headers else None,
        timestamps_ns=_concatenated(times),
        frame_ids=_concatenated(ids),
        files=tuple(path for path in folder.iterdir() if path.suffix.lower() == ".h5"),
        close=joined.close,
    )


def is_segment_folder(path: Path) -> bool:
    """Whether a path is a folder that the recorder wrote."""
    return path.is_dir() and any(path.glob(SEGMENTS))


def _concatenated(parts: list[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    """Return all parts as one array; None if one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _take(folder: Path, wanted: str | None) -> list[Path]:
    """Return the segments of a take in order."""
    takes: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(SEGMENTS)):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            takes.setdefault(f"rf-{match[1]}", []).append(path)
    if wanted is None and len(takes) == 1:
        return next(iter(takes.values()))
    if wanted in takes:
        return takes[wanted]
    which = f"no take {wanted!r}" if wanted is not None else f"{len(takes)} takes"
    raise RtelastoError(f"holds {which} (it has {', '.join(takes)}): name one with --dataset")


class _Joined:
    """The frames of many files as one array; only the file that was read last is open."""

    def __init__(
        self,
        paths: list[Path],
        lengths: list[int],
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        open_segment: Callable[[Path], Contents],
    ) -> None:
        self._paths = paths
        self._ends = np.cumsum(lengths)
        self._open_segment = open_segment
        self._number = -1
        self._segment: Contents | None = None
        self.shape = (int(self._ends[-1]), *frame_shape)
        self.dtype = dtype

    def __getitem__(self, place: tuple[Any, ...]) -> Any:
        return self.read(place[0], lambda segment, frame: segment.array[(frame, *place[1:])])

    def read(self, frame: int, read: Callable[[Contents, int], Any]) -> Any:
        """Return what ``read`` gives of the segment that holds a frame, opened, and the frame's place."""
        number = int(np.searchsorted(self._ends, frame, side="right"))
        if self._segment is None or number != self._number:
            self.close()
            self._segment, self._number = self._open_segment(self._paths[number]), number
        start = int(self._ends[number - 1]) if number else 0
        try:
            return read(self._segment, frame - start)
        except READ_ERRORS as error:
            raise RtelastoError(f"{self._paths[number].name}: {error}") from error

    def close(self) -> None:
        if self._segment is not None and self._segment.close is not None:
            self._segment.close()
        self._segment = None


class _JoinedHeaders:
    """The headers of many files."""

    def __init__(self, joined: _Joined) -> None:
        self._joined = joined

    def __getitem__(self, frame: int, /) -> bytes:
        return self._joined.read(frame, _header)


def _header(segment: Contents, place: int) -> bytes:
    assert segment.headers is not None, "every segment has headers"
    return segment.headers[place]
