"""A recording: RF frames on disk, read one at a time."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.host.names import printable_name

if TYPE_CHECKING:
    from rtelasto.sources.axes import FrameStack
    from rtelasto.sources.truth import RecordedTruth


class Recording(Closing):
    """RF frames in acquisition order: a sequence and a context manager.

    Opened by `rtelasto.sources.open_recording`. Only the frame asked for is read from disk.

    Attributes
    ----------
    path
        The file.
    format
        Size and physics of its frames.
    dtype
        Type of the samples that `read` returns.
    timestamps_ns
        int64 (n_frames,), strictly increasing, from any start; None where the file does not say.
    frame_ids
        int64 (n_frames,): the scanner's acquisition count, never falling; where ids are missing, frames
        are. 0, 1, 2 … where the file does not say.
    files
        All files that the recording consists of, the folder first where it is one.
    provenance
        What is known of where the data come from: name, size and SHA-256 of the first MiB of the
        file, and ``format_from``, which says for each value of the format whether the file said it,
        the user gave it, or it was assumed or estimated.
    notes
        Sentences for the user about everything that was assumed, estimated or left out.
    truth
        The true motion of the tissue where the recording is a simulation that holds it, else None.
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
        self._close = close
        self._written = _last_written(path)

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[RfFrame]:
        return self.frames()

    def read(self, i: int) -> NDArray[np.generic]:
        """Frame ``i`` as a new array (n_lines, n_samples), C order, native byte order.

        Raises
        ------
        IndexError
            If there is no frame ``i``.
        RtelastoError
            If the data of the frame cannot be read: a damaged file, a disk that went away, a file that
            somebody has written to since it was opened. (One that was replaced by another, under its
            name, goes on being read as it was.)
        """
        if not -self.n_frames <= i < self.n_frames:
            raise IndexError(f"{self.path} has frames 0…{self.n_frames - 1}, got {i}")
        if self._stack is None:
            raise ValueError(f"{self.path} is closed")
        i %= self.n_frames
        # Before: a mapped file that has shrunk would end this process. After: it may be half this, half that.
        self._check_unwritten()
        try:
            samples = self._stack.read(i)
        except (OSError, ValueError, RuntimeError, MemoryError, zlib.error) as error:
            raise RtelastoError(f"{self.path}: frame {i} cannot be read: {error}") from error
        self._check_unwritten()
        return samples

    def _check_unwritten(self) -> None:
        now = _last_written(self.path)
        if self._written is None or now is None or now == self._written:
            return
        if now[:2] == self._written[:2]:
            raise RtelastoError(
                f"{self.path} was written to while it was being read: open it again once it is whole"
            )

    def frame(self, i: int) -> RfFrame:
        """Frame ``i`` with its id of `frame_ids`; its ``acquired_ns`` is the timestamp, or 0."""
        samples = self.read(i)
        i %= self.n_frames
        acquired_ns = 0 if self.timestamps_ns is None else int(self.timestamps_ns[i])
        return RfFrame(
            samples,
            self.format,
            FrameStamp(
                frame_id=int(self.frame_ids[i]),
                acquired_ns=acquired_ns,
                stream=printable_name(self.path.name),
            ),
        )

    def index_of(self, frame_id: int) -> int:
        """The place of the frame with an id, such as one in the ``frame_ids`` of a strain frame.

        Raises
        ------
        IndexError
            If there is none.
        """
        i = int(np.searchsorted(self.frame_ids, frame_id))
        if i == self.n_frames or self.frame_ids[i] != frame_id:
            raise IndexError(f"{self.path} has no frame with the id {frame_id}")
        return i

    def frame_with_id(self, frame_id: int) -> RfFrame:
        """The frame with an id of `frame_ids`; raises IndexError if there is none."""
        return self.frame(self.index_of(frame_id))

    @property
    def n_missing(self) -> int:
        """How many frames are missing between the first and the last, as the frame ids show."""
        steps = np.diff(self.frame_ids)
        return int((steps[steps > 1] - 1).sum())

    def frames(self) -> Iterator[RfFrame]:
        """All frames in order."""
        for i in range(self.n_frames):
            yield self.frame(i)

    def close(self) -> None:
        """Let the file go. Frames already read stay valid."""
        self._stack = None
        self.truth = None
        close, self._close = self._close, None
        if close is not None:
            close()


def _last_written(path: Path) -> tuple[int, int, int, int] | None:
    """Which file it is (device, inode), its size and time of last writing; None for a folder, or if gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
