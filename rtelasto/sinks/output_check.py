"""Checks that outputs may be written to their paths, before any work is done.

No output may replace a file of the input or another output, under any name: hard and symbolic links, and
names that differ in case alone, count as the same file. An existing file is replaced only if its content
shows that rtelasto wrote a file of the same kind, or with ``force``.
"""

from __future__ import annotations

import importlib.util
import mmap
import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.sinks.output_file import OutputFile

SEGMENT_NAME = re.compile(r"(rf|strain)-\d+-\d+\.h5", re.IGNORECASE)
"""Names of the recorder's files: recordings cannot be made again, so only ``force`` replaces them."""

WRITTEN_BY = f"rtelasto {version('rtelasto')}"
"""The writer's name in pictures, videos and figures."""

# Where matplotlib stores it in each kind of picture.
_MARK_IN = {"png": "Software", "pdf": "Creator", "svg": "Title"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
# HDF5 stores what was written first near the front.
_HDF5_HEAD_BYTES = 1 << 20


def load_matplotlib() -> None:
    """Import matplotlib, which draws all pictures.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    RtelastoError
        If it cannot be imported, for example because MPLBACKEND names an unknown backend.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("a picture", "plot") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        if "MPLBACKEND" in os.environ:
            name = os.environ["MPLBACKEND"]
            reason = f"MPLBACKEND={name!r} in the environment is none of its backends, unset it"
        raise RtelastoError(
            f"matplotlib, which draws pictures, cannot be loaded: {reason}"
        ) from error


def _load_video() -> None:
    load_matplotlib()
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise MissingExtraError("a video", "video")


def _holds(path: Path, head: tuple[bytes, ...], marks: tuple[bytes, ...], within: int = 0) -> bool:
    """Whether a file begins with one of ``head``, at byte 0 or 4, and contains all ``marks``."""
    with path.open("rb") as file:
        start = file.read(512)
        if not any(start.lstrip().startswith(text) or start[4:].startswith(text) for text in head):
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = min(within or len(data), len(data))
            return all(data.find(mark, 0, end) >= 0 for mark in marks)


@dataclass(frozen=True, slots=True)
class OutputKind:
    """A kind of file that commands write.

    Parameters
    ----------
    name
        What it is, with its article.
    suffixes
        Suffixes that its name may have.
    is_ours
        Whether rtelasto wrote a given file.
    load
        Raises if a library that is needed to write it is missing.
    """

    name: str
    suffixes: tuple[str, ...]
    is_ours: Callable[[Path], bool]
    load: Callable[[], None] = lambda: None


def _picture_is_ours(path: Path) -> bool:
    return any(
        _holds(path, (head,), (mark,))
        for head, mark in (
            (b"\x89PNG\r\n\x1a\n", b"Software\0rtelasto "),
            (b"%PDF-", b"/Creator (rtelasto "),
            (b"<?xml", b"<dc:title>rtelasto "),
        )
    )


def _hdf5_kind(name: str, *marks: bytes) -> OutputKind:
    return OutputKind(
        name, (".h5", ".hdf5"), lambda path: _holds(path, (_HDF5,), marks, _HDF5_HEAD_BYTES)
    )


STRAIN = _hdf5_kind("a strain file", b"Axial strain and displacement, by rtelasto")
SIMULATION = _hdf5_kind(
    "a simulated recording",
    b"Beamformed RF lines for strain imaging, by rtelasto",
    b"rtelasto simulate",
)
PICTURE = OutputKind("a picture", (".png", ".pdf", ".svg"), _picture_is_ours, load_matplotlib)
VIDEO = OutputKind(
    "a video", (".mp4",), lambda path: _holds(path, (b"ftyp",), (b"rtelasto ",)), _load_video
)
PAGE = OutputKind(
    "a report",
    (".html", ".htm"),
    lambda path: _holds(path, (b"<!doctype html>",), (b"<title>rtelasto: ",), 4096),
    load_matplotlib,
)
FIGURES = OutputKind(
    "a file of figures",
    (".json",),
    lambda path: _holds(path, (b"{",), (b'"written_by": "rtelasto ',), 4096),
)


def check_suffix(path: Path, kind: OutputKind, option: str = "cannot write") -> None:
    """Raise RtelastoError unless the name has a suffix of this kind."""
    if path.suffix.lower() not in kind.suffixes:
        raise RtelastoError(f"{option} {path}: {kind.name} is one of {', '.join(kind.suffixes)}")


def check_outputs(
    *outputs: tuple[str, Path | None, OutputKind],
    inputs: Iterable[Path] = (),
    force: bool = False,
) -> None:
    """Raise unless all outputs can be written without losing anything that matters.

    Parameters
    ----------
    outputs
        For each output its option as the user knows it (``--png``), its path, None if it was not requested,
        and its kind.
    inputs
        All files of the input, and its folder if it is one.
    force
        Also replace other files; never an input.

    Raises
    ------
    MissingExtraError
        If an output needs a library that is not installed.
    RtelastoError
        If a path has a suffix of another kind, cannot be written, is a file of the input or of another
        output, or names an existing file of another kind.
    """
    inputs = list(inputs)
    wanted = [(option, path, kind) for option, path, kind in outputs if path is not None]
    for number, (option, path, kind) in enumerate(wanted):
        check_suffix(path, kind, option)
        kind.load()
        for other_option, other, _ in wanted[:number]:
            if _same_place(path, other):
                raise RtelastoError(
                    f"{option} {path} is the same file as {other_option} {other}: name two files"
                )
        _check_inputs(option, path, inputs)
        OutputFile(path).discard()
        if not force and os.path.exists(path) and not _may_replace(path, kind):
            raise RtelastoError(
                f"{option} {path} exists and is not {kind.name} that rtelasto can make again: "
                "name another file, or give --force to replace it"
            )


def _check_inputs(option: str, path: Path, inputs: list[Path]) -> None:
    for file in inputs:
        if _same_place(path, file):
            raise RtelastoError(
                f"{option} {path} is a file of the input ({file}): name another file"
            )
        if os.path.isdir(file) and _same_place(path.parent, file) and _is_segment(path):
            raise RtelastoError(
                f"{option} {path} would become part of the recording {file}: name another file"
            )


def _is_segment(path: Path) -> bool:
    return SEGMENT_NAME.fullmatch(path.name) is not None


def _may_replace(path: Path, kind: OutputKind) -> bool:
    """Whether the command that replaces an existing file can make it again."""
    if _is_segment(path):
        return False
    try:
        return os.path.getsize(path) == 0 or kind.is_ours(path)
    except OSError:
        return False


def _same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, or would on a disk that ignores case."""
    try:
        if os.path.samefile(one, other):
            return True
    except OSError:  # one of them does not exist
        pass
    return _folded(one) == _folded(other)


def _folded(path: Path) -> str:
    # realpath also follows a link to a file that does not exist yet.
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def save_figure(figure: Any, path: Path, *, per_inch: int, made_from: str = "") -> None:
    """Write a matplotlib figure as the kind of picture that the suffix names, and what it was made from.

    Raises
    ------
    RtelastoError
        If it cannot be written, or the suffix is not that of a picture.
    """
    check_suffix(path, PICTURE)
    kind = path.suffix.lower()[1:]
    keywords = {"Keywords": made_from} if made_from else {}
    with OutputFile(path) as temporary:
        figure.savefig(
            temporary,
            format=kind,
            dpi=per_inch,
            facecolor="white",
            metadata={_MARK_IN[kind]: WRITTEN_BY, **keywords},
        )
