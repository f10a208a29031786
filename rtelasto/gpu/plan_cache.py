"""Compiled plans in the user's cache folder, each with the key for which it was built.

A plan is valid for one network, library version, GPU, driver, precision and size. The file name contains the
hash of all of these, and so does a header before the plan, with the hash of the plan itself. A plan with
another key is rebuilt, and a corrupt file is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rtelasto.errors import RtelastoError

_MAGIC = b"rtelasto plan 1\n"


@dataclass(frozen=True, slots=True)
class PlanKey:
    """The properties for which a plan was built; ``shape`` is (n_lines, n_depths) of the engine's grid."""

    network: str
    onnx_sha256: str
    runtime: str
    runtime_version: str
    gpu: str
    driver: str
    precision: str
    shape: tuple[int, int]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    @property
    def file_name(self) -> str:
        n_lines, n_depths = self.shape
        size = f"{n_lines}x{n_depths}"
        return f"{self.network}-{self.precision}-{size}-{self.runtime}-{self.digest[:12]}.plan"


def cache_folder() -> Path:
    """Return the folder ``plans`` in the user's cache folder."""
    import platformdirs

    return platformdirs.user_cache_path("rtelasto") / "plans"


def cached_plan(
    key: PlanKey,
    build: Callable[[], bytes],
    *,
    folder: Path | None = None,
    rebuild: bool = False,
) -> tuple[bytes, Path]:
    """Return the plan for a key and its file; build the plan if there is none with this key.

    If several processes need the same plan, the first one builds it and the others wait.

    Raises
    ------
    RtelastoError
        If the file is corrupt, or the folder cannot be written.
    """
    import filelock

    folder = folder or cache_folder()
    path = folder / key.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock")):
            plan = None if rebuild else read_plan(path, key)
            if plan is None:
                plan = build()
                write_plan(path, key, plan)
    except OSError as error:
        reason = error.strerror or error
        raise RtelastoError(f"{path}: the plan cannot be written ({reason})") from None
    return plan, path


def read_plan(path: Path, key: PlanKey) -> bytes | None:
    """Return the plan in a file, or None if there is none or it has another key.

    Raises
    ------
    RtelastoError
        If the file is corrupt.
    """
    try:
        contents = path.read_bytes()
    except FileNotFoundError:
        return None
    if not contents.startswith(_MAGIC):
        raise _corrupt(path, "it has no plan header")
    header, separator, plan = contents[len(_MAGIC) :].partition(b"\n")
    try:
        fields = json.loads(header)
        built_for, checksum = fields["digest"], fields["sha256"]
    except (ValueError, KeyError, TypeError):
        raise _corrupt(path, "the header cannot be read") from None
    if not separator or hashlib.sha256(plan).hexdigest() != checksum:
        raise _corrupt(path, "the contents do not match the checksum")
    return plan if built_for == key.digest else None


def write_plan(path: Path, key: PlanKey, plan: bytes) -> None:
    """Write a plan atomically: a reader finds all of it or none."""
    fields = {
        "digest": key.digest,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "built_for": asdict(key),
    }
    write_whole(path, _MAGIC + json.dumps(fields).encode() + b"\n" + plan)


def write_whole(path: Path, contents: bytes) -> None:
    """Atomically replace the contents of a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _corrupt(path: Path, reason: str) -> RtelastoError:
    return RtelastoError(
        f"{path}: the plan is corrupt ({reason}); delete it, or rebuild it with "
        "rtelasto engines build --rebuild"
    )
