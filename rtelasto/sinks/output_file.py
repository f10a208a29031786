"""Output that appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from rtelasto.errors import RtelastoError


class OutputFile:
    """A file that is written under a temporary name in the same folder and renamed at the end.

    Making one proves that the place can be written, before any work is done.

    Raises
    ------
    RtelastoError
        If the path is a folder or a device, its folder is not there, or it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # os.path says False where pathlib raises: a name too long, a folder that may not be searched.
        if os.path.isdir(self.path):
            raise RtelastoError(f"cannot write {self.path}: it is a folder, name a file")
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise RtelastoError(f"cannot write {self.path}: it is a device, name an ordinary file")
        if not os.path.isdir(self.path.parent):
            raise RtelastoError(
                f"cannot write {self.path}: there is no folder {self.path.parent}, make it first"
            )
        self.temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with self.temporary.open("xb"):
                pass
        except OSError as error:
            raise self.failure(error) from error

    def failure(self, error: OSError) -> RtelastoError:
        """The error for the user when writing has failed: full disk, no permission …"""
        reason = error.strerror or " ".join(str(error).split())
        return RtelastoError(f"cannot write {self.path}: {reason}")

    def commit(self) -> None:
        """Rename to the final name, replacing what was there.

        The one failure that keeps the temporary file is the rename itself (on Windows, a viewer
        that holds the old file open): by then it holds the whole result.
        """
        try:
            os.replace(self.temporary, self.path)
        except OSError as error:
            raise RtelastoError(
                f"cannot replace {self.path} ({error.strerror}): the result is in {self.temporary}"
            ) from error

    def discard(self) -> None:
        """Remove the temporary file; nothing is left behind."""
        with contextlib.suppress(OSError):
            self.temporary.unlink(missing_ok=True)
