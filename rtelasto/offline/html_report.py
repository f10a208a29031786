"""Writes one self-contained HTML page on a recording: frames, strain, quality over time, accuracy."""

from __future__ import annotations

import base64
import io
import string
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtelasto.accuracy.metrics import SAMPLE_M, displacement_snr_db, rmse
from rtelasto.accuracy.tissue_regions import judged_pixels
from rtelasto.host.names import printable_name
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.offline.process import OfflineSummary, process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_check import PAGE, check_outputs
from rtelasto.sinks.output_file import OutputFile
from rtelasto.sinks.picture import Drawing
from rtelasto.sinks.shown_strain import is_telling
from rtelasto.sources.recording import Recording
from rtelasto.sources.strain_file import StrainFile

MOST_PICTURES = 6
_PICTURE_PER_INCH = 80


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Errors against the truth of each pair, over the pixels that have a defined truth (docs/accuracy.md)."""

    displacement_rmse_samples: NDArray[np.float64]
    displacement_snr_db: NDArray[np.float64]
    strain_rmse_percent: NDArray[np.float64]


def write_report(
    recording: Recording,
    out: Path,
    settings: EstimateSettings,
    *,
    force: bool = False,
    on_frame: Callable[[], None] | None = None,
) -> None:
    """Process a recording and write the results as a page that needs no other file.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If no pair can be made, or the page cannot be written or, without ``force``, must not replace
        an existing file (`rtelasto.sinks.output_check.check_outputs`).
    """
    check_outputs(("--out", out, PAGE), inputs=recording.files, force=force)
    with OutputFile(out) as temporary, tempfile.TemporaryDirectory() as folder:
        strain_path = Path(folder) / "strain.h5"
        summary = process_recording(recording, strain_path, settings, on_frame=on_frame)
        page = report_page(recording, strain_path, settings, summary)
        temporary.write_text(page, encoding="utf-8")


def errors_against_truth(recording: Recording, strain: StrainFile) -> Errors | None:
    """Return the errors of every pair; None if the recording holds no truth."""
    if recording.truth is None:
        return None
    rows = []
    for frame in strain:
        pre, post = (recording.index_of(frame_id) for frame_id in frame.frame_ids)
        truth = recording.truth.between(pre, post, grid=strain.grid)
        judged = judged_pixels(truth, recording.format.wavelength_m)
        found, true = frame.axial_displacement_m[judged], truth.axial_displacement_m[judged]
        rows.append(
            (
                rmse(found, true) / SAMPLE_M,
                displacement_snr_db(found, true),
                100.0 * rmse(frame.axial_strain[judged], truth.axial_strain[judged]),
            )
        )
    return Errors(*np.array(rows).T)


def report_page(
    recording: Recording, strain_path: Path, settings: EstimateSettings, summary: OfflineSummary
) -> str:
    """Return the page about a recording whose strain file `process_recording` has written.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If a file cannot be read.
    """
    with StrainFile(strain_path) as strain:
        return _page(recording, strain, settings, summary)


def _page(
    recording: Recording, strain: StrainFile, settings: EstimateSettings, summary: OfflineSummary
) -> str:
    errors = errors_against_truth(recording, strain)
    f = recording.format
    centre = f"{f.center_freq_hz / 1e6:.3g} MHz"
    if strain.center_freq_given_hz is not None:
        centre += f" given, {strain.center_freq_hz / 1e6:.3g} MHz found and used"
    facts: dict[str, object] = {
        "recording": recording.path.name,
        "frames": f"{recording.n_frames} of {f.n_samples} × {f.n_lines}",
        "extent": f"{1e3 * f.axial_step_m * f.n_samples:.1f} × {1e3 * f.line_pitch_m * f.n_lines:.1f} mm",
        "sampling, centre": f"{f.sampling_freq_hz / 1e6:.4g} MHz, {centre}",
        "engine, pairs": f"{settings.engine}, {settings.pair}",
        "averaged over": f"{settings.persistence_s:g} s" if settings.persistence_s else "nothing",
        "strain frames": summary.pairs,
        "median correlation": f"{summary.median_quality:.3f}",
        "poor pixels": f"{summary.median_poor_share:.1%}",
        "applied strain": str(summary.hand),
        "time per pair": summary.time_per_pair,
        **summary.counters,
        "rtelasto": version("rtelasto"),
    }
    parts = {
        "title": escape(recording.path.name),
        "made_from": strain.made_from,
        "notice": NOT_A_MEDICAL_DEVICE,
        "facts": _table(facts),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in recording.notes),
        "over_time": _image(_over_time(strain, errors), "quality and strain over time", "svg+xml"),
        "accuracy": _accuracy(errors),
        "pictures": "".join(_picture(recording, strain, i) for i in chosen_pairs(strain)),
    }
    template = files("rtelasto.offline").joinpath("report.html").read_text(encoding="utf-8")
    return printable_name(string.Template(template).substitute(parts))


def chosen_pairs(strain: StrainFile) -> list[int]:
    """Return the pairs to show: all of them if there are few. Of many, the one with the largest strain, and
    others evenly over those that carry information on stiffness, or over the recording if none does."""
    if strain.n_frames <= MOST_PICTURES:
        return list(range(strain.n_frames))
    telling = [
        i
        for i, pair in enumerate(zip(strain.applied_strain, strain.quality, strict=True))
        if is_telling(*map(float, pair))
    ] or list(range(strain.n_frames))
    n = len(telling)
    evenly = {telling[round(i)] for i in np.linspace(0, n - 1, min(n, MOST_PICTURES))}
    strongest = max(telling, key=lambda i: abs(np.nan_to_num(strain.applied_strain[i])))
    if strongest not in evenly:
        evenly.discard(min(evenly, key=lambda i: abs(i - strongest)))
    return sorted(evenly | {strongest})


def _picture(recording: Recording, strain: StrainFile, i: int) -> str:
    frame = strain.frame(i)
    drawing = Drawing(frame, recording.frame_with_id(frame.frame_ids[0]))
    return _image(drawing.png(_PICTURE_PER_INCH), f"strain of pair {i}", "png")


def _over_time(strain: StrainFile, errors: Errors | None) -> bytes:
    """Plot quality, applied strain and, with truth, strain error against time, as SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    times = (strain.acquired_ns - strain.acquired_ns[0]) / 1e9
    timed = strain.n_frames < 2 or bool((np.diff(times) > 0.0).all())
    x, label = (times, "time in s") if timed else (np.arange(strain.n_frames), "pair")
    curves = [
        ("correlation", strain.quality, (0.0, 1.0)),
        ("applied strain in %", 100.0 * strain.applied_strain, None),
    ]
    if errors is not None:
        curves.append(("strain RMSE in %", errors.strain_rmse_percent, None))
    figure = Figure(figsize=(9.0, 1.7 * len(curves) + 0.5), layout="constrained")
    canvas = FigureCanvasSVG(figure)
    panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values, limits) in zip(panels, curves, strict=True):
        axes.plot(x, values, ".-", color="#2a6f97", linewidth=1.2, markersize=4)
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        if limits is not None:
            axes.set_ylim(*limits)
    panels[-1].set_xlabel(label)
    buffer = io.BytesIO()
    canvas.print_svg(buffer)
    return buffer.getvalue()


def _accuracy(errors: Errors | None) -> str:
    if errors is None:
        return "<p>The recording holds no truth to compare with.</p>"
    rows = {
        "displacement RMSE": (errors.displacement_rmse_samples, "samples of 19.25 µm", 3),
        "SNRd": (errors.displacement_snr_db, "dB", 1),
        "strain RMSE": (errors.strain_rmse_percent, "% strain", 3),
    }
    cells = {}
    for name, (values, unit, digits) in rows.items():
        low, middle, high = np.percentile(values, (25, 50, 75))
        cells[name] = f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f}) {unit}"
    return f"{_table(cells)}<p>Median and quartiles over the pairs.</p>"


def _table(rows: Mapping[str, object]) -> str:
    cells = (f"<tr><th>{escape(n)}</th><td>{escape(str(v))}</td></tr>" for n, v in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _image(data: bytes, alternative: str, kind: str) -> str:
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{escape(alternative)}" src="data:image/{kind};base64,{encoded}">'
