"""Finds the recordings of an archive, and names the file of each one's strain."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtelasto.errors import RtelastoError
from rtelasto.sinks.output_check import STRAIN
from rtelasto.sources.segment_folder import is_segment_folder

RECORDING_SUFFIXES = (".h5", ".hdf5", ".mhd", ".mha", ".mat", ".npy", ".npz", ".uff")


@dataclass(frozen=True, slots=True)
class Task:
    """A recording, the file of its strain, and those of a picture of its pair with the largest strain and of
    a report."""

    recording: Path
    out: Path
    picture: Path | None = None
    report: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.out, self.picture, self.report) if path is not None)


def names_several(paths: Sequence[Path], out: Path) -> bool:
    """Whether paths and output mean a folder of outputs, not one file for one recording."""
    return (
        len(paths) != 1
        or not _is_one_recording(paths[0])
        or _is_pattern(paths[0])
        or out.is_dir()
        or not out.suffix
    )


def _is_one_recording(path: Path) -> bool:
    """Whether a path is not a folder, or one that the recorder wrote."""
    return not path.is_dir() or is_segment_folder(path)


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not path.exists()


def find_recordings(
    paths: Sequence[Path], out: Path, *, pictures: bool = True, reports: bool = False
) -> list[Task]:
    """Return a task for each recording, in the order of their paths.

    A file, or a folder that ``rtelasto record`` wrote, becomes ``out/NAME.h5``. The recordings in any other
    folder keep their place under it: ``out/SUB/NAME.h5``. Strain files and hidden files in folders are left
    out.

    Parameters
    ----------
    paths
        Files, folders, and patterns such as ``scans/**/*.mhd``.
    out
        Folder of the outputs.
    pictures
        Also draw each, as ``NAME.png`` beside its strain.
    reports
        Also write a report of each, as ``NAME.report.html``.

    Raises
    ------
    RtelastoError
        If a path does not exist, no recording is found, or two recordings would share an output or one would
        be replaced by it.
    """
    found: dict[Path, Path] = {}
    for path in _expanded(paths):
        if _is_one_recording(path):
            found.setdefault(path, out / f"{path.stem}.h5")
        else:
            for recording in _in_folder(path):
                found.setdefault(recording, (out / recording.relative_to(path)).with_suffix(".h5"))
    if not found:
        raise RtelastoError(
            f"{', '.join(map(str, paths))}: no recording found "
            f"(files of type {', '.join(RECORDING_SUFFIXES)})"
        )
    _check_names(found)
    return [
        Task(
            recording,
            made,
            made.with_suffix(".png") if pictures else None,
            made.with_suffix(".report.html") if reports else None,
        )
        for recording, made in sorted(found.items())
    ]


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.exists():
            yield path
            continue
        matches = sorted(glob.glob(str(path), recursive=True)) if _is_pattern(path) else []
        if not matches:
            raise RtelastoError(f"{path}: no such file or folder, and no file matches it")
        for match in map(Path, matches):
            if match.is_dir() or match.suffix.lower() in RECORDING_SUFFIXES:
                yield match


def _in_folder(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if _is_one_recording(path):
                yield path
            else:
                yield from _in_folder(path)
        elif path.suffix.lower() in RECORDING_SUFFIXES and not _is_strain(path):
            yield path


def _is_strain(path: Path) -> bool:
    if path.suffix.lower() not in STRAIN.suffixes:
        return False
    try:
        return STRAIN.is_ours(path)
    except (OSError, ValueError):
        return False  # empty, or not readable: its task says so


def _check_names(found: dict[Path, Path]) -> None:
    recordings = {path.resolve() for path in found}
    taken: dict[str, Path] = {}
    for recording, out in found.items():
        # Names that differ in case alone are one file on Windows and macOS.
        other = taken.setdefault(str(out).casefold(), recording)
        if other != recording:
            raise RtelastoError(
                f"{other} and {recording} would both be written to {out}: "
                "process them into separate folders"
            )
        if out.resolve() in recordings:
            raise RtelastoError(
                f"{recording}: its strain would replace the recording {out}, name another folder (--out)"
            )
