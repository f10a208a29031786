"""Opening a recording: its first bytes, not its name, decide which reader is used."""

from __future__ import annotations

import contextlib
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.sources.contents import Contents, Overrides, assemble
from rtelasto.sources.file_kinds import clarius_kind, is_hdf5, is_mat4, is_mat5, is_metaimage
from rtelasto.sources.limits import one_line
from rtelasto.sources.recording import Recording
from rtelasto.sources.segment_folder import is_segment_folder, read_segments

Reader = Callable[[Path, Overrides], Contents]

FORMATS = "HDF5 (zea layout or plain), MetaImage (.mhd, .mha), MATLAB (.mat), NumPy (.npy, .npz)"
# What the libraries raise for a damaged file, and MemoryError for one that needs more memory than there is;
# any other exception is our mistake and keeps its traceback.
_DAMAGE = (
    RtelastoError,
    OSError,
    ValueError,
    ArithmeticError,
    EOFError,
    MemoryError,
    NotImplementedError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)


def open_recording(
    path: str | Path,
    *,
    sampling_freq_hz: float | None = None,
    center_freq_hz: float | Literal["estimate"] | None = None,
    line_pitch_m: float | None = None,
    start_depth_m: float | None = None,
    sound_speed_m_s: float | None = None,
    frame_rate_hz: float | None = None,
    dataset: str | None = None,
    axes: str | None = None,
) -> Recording:
    """Open a recording of beamformed RF lines: HDF5, MetaImage, MATLAB or NumPy.

    Parameters
    ----------
    path
        The file; for a MetaImage pair the ``.mhd``.
    sampling_freq_hz, center_freq_hz, line_pitch_m, start_depth_m, sound_speed_m_s
        Values of `RfFormat` that take precedence over the file. If neither gives them, the start
        depth is 0, the sound speed 1540 m/s, and the centre frequency is estimated from the echo
        spectrum (as ``center_freq_hz="estimate"`` requests in any case).
    frame_rate_hz
        Frames per second; replaces the timestamps in the file.
    dataset
        HDF5 path, MATLAB variable or ``.npz`` array, if the file holds several.
    axes
        Order of the axes in the program that wrote the file, such as "frame,line,sample", or
        "sample,line,frame" for MATLAB.

    Raises
    ------
    RtelastoError
        If the file cannot be read, is not a recording, or lacks something that is needed; the message
        names the file and everything that is missing.
    MissingExtraError
        If the data are compressed with a filter that an optional package provides.
    """
    path = Path(path)
    contents: Contents | None = None
    try:
        overrides = Overrides(
            sampling_freq_hz=sampling_freq_hz,
            center_freq_hz=center_freq_hz,
            line_pitch_m=line_pitch_m,
            start_depth_m=start_depth_m,
            sound_speed_m_s=sound_speed_m_s,
            frame_rate_hz=frame_rate_hz,
            dataset=dataset,
            axes=axes,
        )
        with _warnings_only():
            contents = _reader(path)(path, overrides)
            if contents.sent_format is not None:
                from rtelasto.sources.sent_frames import lines_made_of

                contents = lines_made_of(contents)
            return assemble(path, contents, overrides)
    except BaseException as error:
        if contents is not None and contents.close is not None:
            contents.close()
        if isinstance(error, MissingExtraError):
            raise
        if isinstance(error, _DAMAGE):
            raise RtelastoError(f"{path}: {one_line(error)}") from error
        raise


@contextlib.contextmanager
def _warnings_only() -> Iterator[None]:
    """Keep warnings of libraries as warnings: with PYTHONWARNINGS=error they would look like damage."""
    with warnings.catch_warnings():
        if any(action == "error" for action, *_ in warnings.filters):
            warnings.simplefilter("default")
        yield


def _reader(path: Path) -> Reader:
    """Return the reader for a file, imported only now, so that unused formats cost nothing."""
    if path.is_dir():
        if not is_segment_folder(path):
            raise RtelastoError("is a folder without rf-*.h5 in it: name the file of a recording")
        return read_segments
    if not path.exists():
        raise RtelastoError("no such file")
    if not path.is_file():
        raise RtelastoError("is a device or a pipe, not a file")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise RtelastoError("is empty")
    if is_hdf5(head):
        from rtelasto.sources.first_look import look_first
        from rtelasto.sources.hdf5 import read_hdf5

        look_first(path)

        return read_hdf5
    if is_mat5(head) or is_mat4(head):
        from rtelasto.sources.matlab import read_matlab

        return read_matlab
    if head.startswith(b"\x93NUMPY"):
        from rtelasto.sources.numpy_file import read_npy

        return read_npy
    if head.startswith(b"PK\x03\x04"):
        from rtelasto.sources.numpy_file import read_npz

        return read_npz
    if is_metaimage(head):
        from rtelasto.sources.metaimage import read_metaimage

        return read_metaimage
    kind = clarius_kind(head, path.stat().st_size)
    if kind is not None:
        raise RtelastoError(_clarius(kind))
    raise RtelastoError(
        f"is not a recording that can be read, it starts with {head[:8]!r}: {_hint(path)}"
    )


def _clarius(kind: str) -> str:
    """Explain what to do with a Clarius file, which lacks what is needed to read it."""
    if kind != "RF":
        return f"is a Clarius file of {kind} data: export RF from the scanner"
    return (
        "is a Clarius RF file, which cannot be read directly: load it with rdataread.py of Clarius's raw "
        "tools, save it with numpy.save, and open that with --axes, --sampling-freq-hz and --line-pitch-m "
        "(see the .yml file beside it)"
    )


def _hint(path: Path) -> str:
    if path.suffix.lower() in (".raw", ".zraw"):
        header = next(
            (path.with_suffix(s) for s in (".mhd", ".MHD") if path.with_suffix(s).is_file()), None
        )
        if header is not None:
            return f"open {header.name} beside it"
        return (
            "samples alone do not describe themselves, open the header that belongs to them (.mhd)"
        )
    return f"expected {FORMATS}"
