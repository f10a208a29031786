"""Flags that add to or override what a recording states, shared by the commands that read one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from rtelasto.cli.terminal import notes
from rtelasto.host.names import printable_name
from rtelasto.sources import open_recording
from rtelasto.sources.recording import Recording


@dataclass(frozen=True, kw_only=True)
class RecordingFlags:
    """Properties of the recording; each flag overrides the file.

    Parameters
    ----------
    sampling_freq_hz
        Axial sampling frequency, e.g. 40e6.
    center_freq_hz
        Centre frequency of the echo; if neither flag nor file gives it, estimated from the spectrum.
    line_pitch_m
        Distance between neighbouring RF lines, e.g. 0.0002.
    start_depth_m
        Depth of the first sample.
    sound_speed_m_s
        Sound speed assumed by the beamformer.
    frame_rate_hz
        Frames per second; replaces the times in the file.
    dataset
        HDF5 path, MATLAB variable or .npz array to read.
    axes
        Order of the axes, e.g. frame,line,sample.
    """

    sampling_freq_hz: float | None = None
    center_freq_hz: float | None = None
    line_pitch_m: float | None = None
    start_depth_m: float | None = None
    sound_speed_m_s: float | None = None
    frame_rate_hz: float | None = None
    dataset: str | None = None
    axes: str | None = None

    def open(self, path: Path) -> Recording:
        """Open a recording and print the assumptions made about it."""
        recording = open_recording(path, **asdict(self))
        for note in recording.notes:
            notes.print(f"{printable_name(path.name)}: {note}", style="dim")
        return recording


def describe(recording: Recording) -> str:
    """Describe a recording in one line."""
    f = recording.format
    depth_mm = 1e3 * f.axial_step_m * f.n_samples
    width_mm = 1e3 * f.line_pitch_m * f.n_lines
    times = recording.timestamps_ns
    rate = ""
    if times is not None and len(times) > 1:
        seconds = float(times[-1] - times[0]) / 1e9
        if math.isfinite(seconds) and seconds > 0:
            rate = f", {(len(times) - 1 + recording.n_missing) / seconds:.1f} frames/s"
    missing = f"; {recording.n_missing} frames are missing" if recording.n_missing else ""
    return (
        f"{recording.n_frames} frames of {f.n_samples} × {f.n_lines} {recording.dtype}, "
        f"{depth_mm:.1f} × {width_mm:.1f} mm, {f.sampling_freq_hz / 1e6:.4g} MHz sampling, "
        f"{f.center_freq_hz / 1e6:.3g} MHz centre{rate}{missing}"
    )
