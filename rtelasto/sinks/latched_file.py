"""A file that hides write errors from HDF5, which cannot handle them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class LatchedFile(io.RawIOBase):
    """A file for h5py's file-object driver that keeps the first error instead of raising it.

    HDF5 writes much of a file when it releases objects, where h5py cannot raise: a full disk then goes
    unnoticed for many frames, and crashes the process when the file is closed. Here a failed write raises
    nothing and later writes are dropped; the writer checks `error` after every step. From then on the file
    is corrupt, but HDF5 can still close it without a crash.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = io.FileIO(path, "r+")

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self.error is None:
                done += self._file.write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            got = self._file.readinto(view[done:])
            if not got:
                # Never written, or dropped after a failure.
                view[done:] = bytes(len(view) - done)
                break
            done += got
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        try:
            if self.error is None:
                self._file.truncate(size)
        except OSError as error:
            self.error = error
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Close the file; keep an error that the operating system reports only now."""
        if not self.closed:
            try:
                self._file.close()
            except OSError as error:
                self.error = self.error or error
        super().close()
