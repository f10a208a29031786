"""``rtelasto process``: strain of one recording into a file, or of many into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from rtelasto.cli.archive import ArchiveFlags, process_all
from rtelasto.cli.recording import RecordingFlags, describe
from rtelasto.cli.terminal import frame_bar, notes, print_table
from rtelasto.errors import RtelastoError
from rtelasto.host.names import printable_name
from rtelasto.offline.archive.recordings import names_several
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.strain_layers import Shown


def process(
    *paths: Annotated[Path, Parameter(required=True)],
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    png: Path | None = None,
    mp4: Path | None = None,
    show: Shown = "strain",
    accumulate: bool = False,
    reference: int | None = None,
    force: bool = False,
    settings: Annotated[EstimateSettings, Parameter(name="*")] | None = None,
    recording: Annotated[RecordingFlags, Parameter(name="*")] | None = None,
    archive: Annotated[ArchiveFlags, Parameter(name="*")] | None = None,
) -> None:
    """Estimate strain of a whole recording into an HDF5 file, or of many recordings into a folder.

    Parameters
    ----------
    paths
        HDF5 (zea), MetaImage, MATLAB or NumPy recordings: one, or any number of files, folders and patterns.
    out
        HDF5 file to write, in zea's layout: strain in %, displacement, correlation. For several recordings,
        or a folder of them: the folder for such files, in the layout of the input.
    png
        Also draw the pair with the largest strain as a picture.
    mp4
        Also draw all pairs as a video.
    show
        What picture and video show, where the engine gives it; accumulated motion needs --accumulate.
    accumulate
        Also accumulate motion from a reference frame on, carried along with the tissue; takes about twice
        the time.
    reference
        Id of the reference frame; by default the first.
    force
        Replace an existing file even if rtelasto did not write it; never a file of the recording.
    """
    settings = settings or EstimateSettings()
    recording = recording or RecordingFlags()
    how: dict[str, Any] = {"show": show, "accumulate": accumulate, "reference": reference}
    if not names_several(paths, out):
        _process_one(paths[0], out, settings, recording, png=png, mp4=mp4, force=force, **how)
        return
    for option, path in (("--png", png), ("--mp4", mp4)):
        if path is not None:
            raise RtelastoError(f"{option} {path}: is drawn of one recording, not of several")
    process_all(paths, out, settings, recording, archive or ArchiveFlags(), force=force, **how)


def _process_one(
    path: Path, out: Path, settings: EstimateSettings, flags: RecordingFlags, **options: Any
) -> None:
    with flags.open(path) as opened:
        notes.print(f"{printable_name(path.name)}: {describe(opened)}")
        with frame_bar(printable_name(settings.engine), opened.n_frames) as on_frame:
            summary = process_recording(opened, out, settings, on_frame=on_frame, **options)
    rows: dict[str, object] = {
        "strain frames": summary.pairs,
        "median correlation": f"{summary.median_quality:.3f}",
        "poor pixels": f"{summary.median_poor_share:.1%}",
        "applied strain": str(summary.hand),
        "time per pair": summary.time_per_pair,
    }
    rows |= summary.counters
    print_table(printable_name(out), rows)
