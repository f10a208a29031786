"""Output files that appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from pathlib import Path
from types import TracebackType

from rtelasto.errors import RtelastoError

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)


class OutputFile:
    """A file that is written under a temporary name in the same folder and renamed at the end.

    Creating one proves that the path can be written, before any work is done. As a context manager it yields
    the temporary name; the file is renamed at the end of the block, or removed after an exception.

    Raises
    ------
    RtelastoError
        If the path is a folder or a device, its folder does not exist, or it cannot be written, now or, in
        the block, later.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # os.path returns False where pathlib raises: a name that is too long, a folder without permission.
        if os.path.isdir(self.path):
            raise RtelastoError(f"cannot write {self.path}: it is a folder, name a file")
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise RtelastoError(f"cannot write {self.path}: it is a device, name an ordinary file")
        if not os.path.isdir(self.path.parent):
            raise RtelastoError(
                f"cannot write {self.path}: there is no folder {self.path.parent}, create it first"
            )
        self.temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with self.temporary.open("xb"):
                pass
        except OSError as error:
            raise self.failure(error) from error

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, OSError):
            raise self.failure(error) from error

    def failure(self, error: OSError) -> RtelastoError:
        """Return the error for the user after a failed write: full disk, no permission …"""
        reason = error.strerror or " ".join(str(error).split())
        return RtelastoError(f"cannot write {self.path}: {reason}")

    def flush(self) -> None:
        """Wait until the content is on the disk, so that a power cut after `commit` leaves the whole file or
        none of that name.

        Raises
        ------
        RtelastoError
            If the disk does not take it.
        """
        try:
            flush_to_disk(self.temporary)
        except OSError as error:
            raise self.failure(error) from error

    def commit(self) -> None:
        """Rename the file to its final name, replacing an existing one.

        Only a failed rename keeps the temporary file (on Windows, a viewer may hold the old file open):
        it then holds the whole result.
        """
        try:
            os.replace(self.temporary, self.path)
        except OSError as error:
            raise RtelastoError(
                f"cannot replace {self.path} ({error.strerror}): the result is in {self.temporary}"
            ) from error

    def discard(self) -> None:
        """Remove the temporary file, so that nothing is left behind."""
        with contextlib.suppress(OSError):
            self.temporary.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk and not only in the system's cache.

    Raises
    ------
    OSError
        If the disk does not take them.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def discard_leftovers(*outputs: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote these outputs."""
    names: dict[Path, set[str]] = {}
    for path in outputs:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, ours in names.items():
        for path in folder.glob(".*.tmp"):
            name = _TEMPORARY.fullmatch(path.name)
            if name is not None and name[1] in ours:
                with contextlib.suppress(OSError):
                    path.unlink()
