"""``rtelasto process``: strain of a whole recording, into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.recording import RecordingFlags, describe
from rtelasto.cli.terminal import frame_bar, notes, print_table
from rtelasto.host.names import printable_name
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.strain_layers import Shown


def process(
    file: Path,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    png: Path | None = None,
    mp4: Path | None = None,
    show: Shown = "strain",
    accumulate: bool = False,
    reference: int | None = None,
    force: bool = False,
    settings: Annotated[EstimateSettings, Parameter(name="*")] | None = None,
    recording: Annotated[RecordingFlags, Parameter(name="*")] | None = None,
) -> None:
    """Estimate strain of a whole recording into an HDF5 file.

    Parameters
    ----------
    file
        HDF5 (zea), MetaImage, MATLAB or NumPy recording.
    out
        HDF5 file to write, in zea's layout: strain in %, displacement, correlation.
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
    with (recording or RecordingFlags()).open(file) as opened:
        notes.print(f"{printable_name(file.name)}: {describe(opened)}")
        with frame_bar(printable_name(settings.engine), opened.n_frames) as on_frame:
            summary = process_recording(
                opened,
                out,
                settings,
                png=png,
                mp4=mp4,
                show=show,
                accumulate=accumulate,
                reference=reference,
                force=force,
                on_frame=on_frame,
            )
    rows: dict[str, object] = {
        "strain frames": summary.pairs,
        "median correlation": f"{summary.median_quality:.3f}",
        "applied strain": str(summary.hand),
        "time per pair": summary.time_per_pair,
    }
    rows |= summary.counters
    print_table(printable_name(out), rows)
