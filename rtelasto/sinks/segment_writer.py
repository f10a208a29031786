"""Writes a stream to disk as a series of files of one second each: a crash loses only the last one.

Every segment is complete and opens by itself (docs/formats-written.md); it gets its name when it is closed. A
new take begins when the kind of frames changes: another sender, depth or type.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rtelasto.errors import RtelastoError
from rtelasto.sinks.output_file import flush_to_disk
from rtelasto.telemetry.counters import Counters

Frame = TypeVar("Frame")

SEGMENT_S = 1.0
# Time to wait after a failure (a full disk) before the next try.
RETRY_S = 2.0

log = logging.getLogger(__name__)


class SegmentFile(Protocol):
    """A writer of one segment: a `rtelasto.sinks.zea_file.ZeaFile` with a method ``write``."""

    n_frames: int

    @property
    def write(self) -> Callable[..., None]: ...

    def close(self, *, fsync: bool = False) -> None: ...

    def abort(self) -> None: ...


class Segments(Generic[Frame]):
    """Writes frames into segments. Frames that cannot be written are counted; nothing is raised.

    Parameters
    ----------
    folder
        Folder for the segments; it must exist.
    kind
        First part of their names.
    open_file
        Creates the file for a segment that begins with the given frame.
    take_of
        Returns what must be equal for frames to go into one file.
    counters
        Counts ``<kind>.recorded`` (frames in finished segments), ``<kind>.lost`` (frames that could not
        be written) and ``<kind>.segments``.
    clock
        Returns the time in s.
    fsync
        Whether each segment is on the disk, not only in the system's cache, before it gets its name, and its
        name after.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        open_file: Callable[[Path, Frame], SegmentFile],
        take_of: Callable[[Frame], Hashable],
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        *,
        fsync: bool = False,
    ) -> None:
        self._folder = folder
        self._kind = kind
        self._open_file = open_file
        self._take_of = take_of
        self._counters = counters
        self._fsync = fsync
        self._clock = clock
        self._file: SegmentFile | None = None
        self._begun = 0.0
        self._pause_until = float("-inf")
        self._take: Hashable = None
        self._takes = 0
        self._segments = 0
        self._names_flushed = True

    def write(self, frame: Frame, **more: Any) -> None:
        """Append a frame, in a new segment if one is due, and ``more`` that the file's ``write`` takes."""
        take = self._take_of(frame)
        if take != self._take:
            self.finish()
        self.finish_if_due()
        now = self._clock()
        if now < self._pause_until:
            self._counters.add(f"{self._kind}.lost")
            return
        try:
            if self._file is None:
                if take != self._take:
                    self._takes, self._segments, self._take = self._takes + 1, 0, take
                name = f"{self._kind}-{self._takes:02d}-{self._segments + 1:05d}.h5"
                self._file, self._begun = self._open_file(self._folder / name, frame), now
            self._file.write(frame, **more)
        except RtelastoError as error:
            self._fail(error, frames=1)

    def finish_if_due(self) -> None:
        """Close the segment once it is a second old."""
        if self._file is not None and self._clock() - self._begun >= SEGMENT_S:
            self.finish()

    def finish(self) -> None:
        """Close the segment that is being written, if any."""
        if self._file is None:
            return
        try:
            self._file.close(fsync=self._fsync)
        except RtelastoError as error:
            self._fail(error, frames=0)
            return
        self._counters.add(f"{self._kind}.recorded", self._file.n_frames)
        self._counters.add(f"{self._kind}.segments")
        self._segments += 1
        self._file = None
        if self._fsync:
            self._flush_names()

    def _flush_names(self) -> None:
        """Flush the folder; the first of failures in a row is logged. The segment is whole all the same."""
        try:
            flush_to_disk(self._folder)
        except OSError as error:
            if self._names_flushed:
                log.error(
                    "cannot flush the folder %s to the disk: %s; a power cut may cost recorded segments",
                    self._folder,
                    error.strerror,
                )
            self._names_flushed = False
        else:
            self._names_flushed = True

    def _fail(self, error: RtelastoError, frames: int) -> None:
        """Abandon the segment, pause, and log the error once per pause."""
        if self._file is not None:
            frames += self._file.n_frames
            self._file.abort()
            self._file = None
        self._counters.add(f"{self._kind}.lost", frames)
        self._pause_until = self._clock() + RETRY_S
        log.error("%s; frames are missing from the recording until writing works again", error)
