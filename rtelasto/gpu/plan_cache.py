"""Compiled plans in the user's cache folder, each with what it was built for.

A plan serves one network, library version, GPU, driver, precision and size. The file's name carries
the hash of all of these, and so does a header in front of the plan, with the plan's own hash: a file
that was built for something else is built again, a damaged one is refused.
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
    """What a plan was built for; ``shape`` is (n_lines, n_depths) of the engine's grid."""

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
    """``plans`` under the user's cache folder of this system."""
    import platformdirs

    return platformdirs.user_cache_path("rtelasto") / "plans"


def cached_plan(
    key: PlanKey,
    build: Callable[[], bytes],
    *,
    folder: Path | None = None,
    rebuild: bool = False,
) -> tuple[bytes, Path]:
    """The plan for a key and its file, built where there is none or one for something else.

    Processes that want the same plan at once wait for the first of them to build it.

    Raises
    ------
    RtelastoError
        If the file is damaged, or the folder cannot be written.
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
        raise RtelastoError(f"{path}: the plan cannot be kept there ({reason})") from None
    return plan, path


def read_plan(path: Path, key: PlanKey) -> bytes | None:
    """The plan in a file, or None where there is none or it was built for something else.

    Raises
    ------
    RtelastoError
        If the file is damaged.
    """
    try:
        contents = path.read_bytes()
    except FileNotFoundError:
        return None
    if not contents.startswith(_MAGIC):
        raise _damaged(path, "it does not begin like one")
    header, separator, plan = contents[len(_MAGIC) :].partition(b"\n")
    try:
        fields = json.loads(header)
        built_for, checksum = fields["digest"], fields["sha256"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, "its header cannot be read") from None
    if not separator or hashlib.sha256(plan).hexdigest() != checksum:
        raise _damaged(path, "its contents do not match their checksum")
    return plan if built_for == key.digest else None


def write_plan(path: Path, key: PlanKey, plan: bytes) -> None:
    """Write a plan so that a reader finds the whole of it or none."""
    fields = {
        "digest": key.digest,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "built_for": asdict(key),
    }
    write_whole(path, _MAGIC + json.dumps(fields).encode() + b"\n" + plan)


def write_whole(path: Path, contents: bytes) -> None:
    """Replace a file by these contents in one step."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _damaged(path: Path, reason: str) -> RtelastoError:
    return RtelastoError(
        f"{path}: not a sound plan ({reason}); delete it, or build it anew with "
        "rtelasto engines build --rebuild"
    )
