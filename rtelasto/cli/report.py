"""``rtelasto report``: describe a recording in one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.recording import RecordingFlags, describe
from rtelasto.cli.terminal import console, frame_bar, notes
from rtelasto.host.names import printable_name
from rtelasto.offline.html_report import write_report
from rtelasto.settings import EstimateSettings


def report(
    file: Path,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    force: bool = False,
    settings: Annotated[EstimateSettings, Parameter(name="*")] | None = None,
    recording: Annotated[RecordingFlags, Parameter(name="*")] | None = None,
) -> None:
    """Estimate strain of a recording and write a self-contained HTML page about it.

    Parameters
    ----------
    file
        HDF5 (zea), MetaImage, MATLAB or NumPy recording, or a folder written by `rtelasto record`.
    out
        The page; by default the recording's name with .html, in the current folder.
    force
        Replace an existing file even if it is not a report by rtelasto; never a file of the recording.
    """
    settings = settings or EstimateSettings()
    out = out or Path(f"{file.stem}.html")
    with (recording or RecordingFlags()).open(file) as opened:
        notes.print(f"{printable_name(file.name)}: {describe(opened)}")
        with frame_bar(printable_name(settings.engine), opened.n_frames) as on_frame:
            write_report(opened, out, settings, force=force, on_frame=on_frame)
    console.print(f"report    {printable_name(out)}")
