"""A recording: RF frames on disk, read one at a time."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFrame, scanner_frame
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.host.names import printable_name

if TYPE_CHECKING:
    from rtelasto.sources.axes import FrameStack
    from rtelasto.sources.sent_frames import Headers, SentFrames
    from rtelasto.sources.truth import RecordedTruth

Read = TypeVar("Read")

READ_ERRORS = (OSError, ValueError, RuntimeError, MemoryError, zlib.error)
"""What reading a frame raises where a file is damaged."""


class Recording(Closing):
    """RF frames in acquisition order: a sequence and a context manager.

    `rtelasto.sources.open_recording` opens one. Only the requested frame is read from disk.

    Attributes
    ----------
    path
        The file.
    format
        Size and physics of its frames.
    dtype
        Type of the samples that `read` returns.
    timestamps_ns
        int64 (n_frames,), strictly increasing, from any start; None if the file has no times.
    frame_ids
        int64 (n_frames,): the scanner's acquisition count, never decreasing; where ids are missing, frames
        are missing. 0, 1, 2 … if the file has no ids.
    files
        All files of the recording; if it is a folder, the folder first.
    provenance
        What is known about the origin of the data: name, size and SHA-256 of the first MiB of the
        file, and ``format_from``, which states for each value of the format whether it came from the
        file or the user, or was assumed or estimated.
    notes
        Sentences for the user about everything that was assumed, estimated or left out.
    truth
        The true motion of the tissue, if the recording is a simulation that holds it; else None.
    """

    def __init__(
        self,
        path: Path,
        rf_format: RfFormat,
        stack: FrameStack,
        *,
        timestamps_ns: NDArray[np.int64] | None = None,
        frame_ids: NDArray[np.int64] | None = None,
        files: tuple[Path, ...] = (),
        provenance: Mapping[str, str | int | float] | None = None,
        notes: tuple[str, ...] = (),
        truth: RecordedTruth | None = None,
        sent: SentFrames | None = None,
        headers: Headers | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self.format = rf_format
        self.timestamps_ns = timestamps_ns
        self.frame_ids: NDArray[np.int64] = (
            np.arange(stack.n_frames) if frame_ids is None else frame_ids
        )
        self.files = (path, *files)
        self.provenance: dict[str, str | int | float] = dict(provenance or {})
        self.notes = notes
        self.truth = truth
        self.n_frames = stack.n_frames
        self.dtype: np.dtype[Any] = stack.dtype
        self._stack: FrameStack | None = stack
        self._sent = sent
        self._headers = headers
        self._close = close
        self._stat_at_open = _last_written(path)

    @cached_property
    def files_digest(self) -> bytes:
        """SHA-256 of the whole content of its files, which are read once."""
        digest = hashlib.sha256()
        for path in sorted(filter(Path.is_file, self.files)):
            digest.update(file_digest(path))
        return digest.digest()

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[RfFrame]:
        return self.frames()

    def read(self, i: int) -> NDArray[np.generic]:
        """Return frame ``i`` as a new array (n_lines, n_samples), C order, native byte order.

        Raises
        ------
        IndexError
            If there is no frame ``i``.
        RtelastoError
            If the data of the frame cannot be read: the file is damaged, the disk has been removed, or the
            file has been written to since it was opened. (If another file has replaced it under its name,
            the old file is read on.)
        """
        return self._checked(i, self._open_stack().read)

    def _open_stack(self) -> FrameStack:
        if self._stack is None:
            raise ValueError(f"{self.path} is closed")
        return self._stack

    def _checked(self, i: int, read: Callable[[int], Read]) -> Read:
        """Return what ``read`` gives of frame ``i``, with the checks and errors of `read`."""
        if not -self.n_frames <= i < self.n_frames:
            raise IndexError(f"{self.path} has frames 0…{self.n_frames - 1}, got {i}")
        i %= self.n_frames
        # Before: a mapped file that has shrunk would crash this process. After: the frame may be half new.
        self._check_unwritten()
        try:
            found = read(i)
        except READ_ERRORS as error:
            raise RtelastoError(f"{self.path}: frame {i} cannot be read: {error}") from error
        self._check_unwritten()
        return found

    def _check_unwritten(self) -> None:
        now = _last_written(self.path)
        if self._stat_at_open is None or now is None or now == self._stat_at_open:
            return
        if now[:2] == self._stat_at_open[:2]:
            raise RtelastoError(
                f"{self.path} was written to while it was being read: open it again once it is whole"
            )

    def frame(self, i: int) -> RfFrame:
        """Return frame ``i`` with its id from `frame_ids`; its ``acquired_ns`` is the timestamp, or 0."""
        return RfFrame(self.read(i), self.format, self._stamp(i))

    def _stamp(self, i: int) -> FrameStamp:
        acquired_ns = 0 if self.timestamps_ns is None else int(self.timestamps_ns[i])
        return FrameStamp(
            frame_id=int(self.frame_ids[i]),
            acquired_ns=acquired_ns,
            stream=printable_name(self.path.name),
        )

    def as_sent(self, i: int) -> ScannerFrame:
        """Return frame ``i`` as the scanner sent it: channel data or IQ if `rtelasto record` kept them, of
        which `frame` makes RF lines; else the same as `frame`. Errors as for `read`."""
        self._open_stack()
        if self._sent is None:
            return self.frame(i)
        return scanner_frame(self._checked(i, self._sent.read), self._sent.format, self._stamp(i))

    def header_as_sent(self, i: int) -> bytes:
        """Return the header of the message that brought frame ``i``, as `rtelasto record` kept it.

        Raises
        ------
        RtelastoError
            If the recording does not hold it: only `rtelasto record` keeps it.
        """
        self._open_stack()
        if self._headers is None:
            raise RtelastoError(
                f"{self.path} does not hold messages as they were sent: only recordings of rtelasto record do"
            )
        return self._checked(i, self._headers.__getitem__)

    def index_of(self, frame_id: int) -> int:
        """Return the index of the frame with an id, such as one in the ``frame_ids`` of a strain frame.

        Raises
        ------
        IndexError
            If no frame has that id.
        """
        i = int(np.searchsorted(self.frame_ids, frame_id))
        if i == self.n_frames or self.frame_ids[i] != frame_id:
            raise IndexError(f"{self.path} has no frame with the id {frame_id}")
        return i

    def frame_with_id(self, frame_id: int) -> RfFrame:
        """Return the frame with an id from `frame_ids`; raise IndexError if there is none."""
        return self.frame(self.index_of(frame_id))

    @property
    def n_missing(self) -> int:
        """Number of frames missing between the first and the last, according to the frame ids."""
        steps = np.diff(self.frame_ids)
        return int((steps[steps > 1] - 1).sum())

    def frames(self) -> Iterator[RfFrame]:
        """Yield all frames in order."""
        for i in range(self.n_frames):
            yield self.frame(i)

    def close(self) -> None:
        """Close the file. Frames that were read remain valid."""
        self._stack = self._sent = self._headers = None
        self.truth = None
        close, self._close = self._close, None
        if close is not None:
            close()


def _last_written(path: Path) -> tuple[int, int, int, int] | None:
    """Return a file's device, inode, size and time of last writing; None for a folder, or if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of the whole content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
