"""End-to-end latency of a live run: from the sender's send call to the arrival of strain at a subscriber.

Warm-up frames are sent first and are excluded from every figure except the time to the first strain frame.
The stages and ``rest``, the time in the threads of the two sockets, add up to the end-to-end latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtelasto.bench.rig import Arrival, Burst, Rig
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.sinks.output_check import load_matplotlib, save_figure
from rtelasto.telemetry.latency import LatencySummary

# In the order of the path; stages that a back-end does not have are omitted. On a GPU everything from upload
# to download is one stage, ``gpu``.
STAGES = (
    "wire in",
    "decode",
    "queue",
    "rf_lines",
    "pair",
    "gpu",
    "stretch",
    "engine",
    "quality",
    "persistence",
    "bmode",
    "wire out",
    "rest",
)


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Latency of one burst of frames.

    ``stages`` contains ``end to end`` and every stage of `STAGES` that the run has. ``jitter`` is the
    deviation of the intervals between strain frames from the frame period, for neighbouring frames that both
    arrived. ``start_to_ready_s`` and ``start_to_first_s`` are measured from the start of the pipeline's
    process to its first status and to its first strain frame. ``memory_mib`` is its resident size after the
    first tenth of the burst and at its end, ``memory_slope_mib_per_1000`` the trend between them per 1,000
    frames sent.
    """

    engine: str
    fps: float
    frames_sent: int
    frames_late: int
    strain_frames: int
    warm_up_frames: int
    start_to_ready_s: float
    start_to_first_s: float
    stages: dict[str, LatencySummary]
    jitter: LatencySummary
    counters: dict[str, int]
    memory_mib: tuple[float, float]
    memory_slope_mib_per_1000: float
    latencies_ms: NDArray[np.float64]

    @property
    def strain_fps(self) -> float:
        """Strain frames per second while frames were being sent."""
        return self.strain_frames * self.fps / self.frames_sent


def measure_latency(
    engine: str,
    *,
    fps: float = 100.0,
    frames: int = 1000,
    warm_up_frames: int = 50,
    options: tuple[str, ...] = (),
    rf_format: RfFormat | None = None,
) -> LatencyReport:
    """Send int16 frames at ``fps`` through real processes and time every strain frame.

    Parameters
    ----------
    engine, options, rf_format
        As for `Rig`.
    fps
        Frames sent per second.
    frames, warm_up_frames
        Number of timed frames, and of frames before them.

    Raises
    ------
    RtelastoError
        If a parameter is invalid, the pipeline does not start or no strain arrives.
    """
    if not (np.isfinite(fps) and 0.0 < fps <= 1e5):
        raise RtelastoError(f"fps must be a positive number of frames per second, got {fps:g}")
    for name, count in (("frames", frames), ("warm_up_frames", warm_up_frames)):
        if count < 2:
            raise RtelastoError(f"{name} must be at least 2, got {count}")
    with Rig(engine, options, rf_format) as rig:
        warm_up = rig.burst(fps, warm_up_frames)
        before = rig.counters()
        burst = rig.burst(fps, frames)
        after = rig.counters()
    counters = {name: count - before.get(name, 0) for name, count in after.items()}
    if not burst.arrivals:
        raise RtelastoError(
            f"no strain arrived for {warm_up_frames + frames} frames; counters {after}"
        )
    usage = burst.usage[len(burst.usage) // 10 :]
    memory = np.array([sample.memory_bytes for sample in usage]) / 2**20
    return LatencyReport(
        engine=engine,
        fps=fps,
        frames_sent=burst.sent.frames,
        frames_late=burst.sent.late,
        strain_frames=len(burst.arrivals),
        warm_up_frames=warm_up_frames,
        start_to_ready_s=(rig.ready_ns - rig.started_ns) / 1e9,
        start_to_first_s=((warm_up.arrivals or burst.arrivals)[0].arrived_ns - rig.started_ns)
        / 1e9,
        stages=_stages(burst.arrivals),
        jitter=LatencySummary.of(_jitter_ns(burst, fps)),
        counters={name: count for name, count in counters.items() if count},
        memory_mib=(float(memory[0]), float(memory[-1])),
        memory_slope_mib_per_1000=_slope(memory) * 1000.0 / frames,
        latencies_ms=np.array([arrival.arrived_ns - arrival.sent_ns for arrival in burst.arrivals])
        / 1e6,
    )


def _stages(arrivals: list[Arrival]) -> dict[str, LatencySummary]:
    times: dict[str, list[int]] = {"end to end": []}
    for arrival in arrivals:
        split = {name: time for name, time in arrival.stage_ns.items() if name in STAGES}
        # The frame was received ``total`` before the pipeline had finished it.
        split["wire in"] = arrival.published_ns - arrival.stage_ns["total"] - arrival.sent_ns
        split["wire out"] = arrival.arrived_ns - arrival.published_ns
        whole = arrival.arrived_ns - arrival.sent_ns
        split["rest"] = whole - sum(split.values())
        times["end to end"].append(whole)
        for name in STAGES:
            if name in split:
                times.setdefault(name, []).append(split[name])
    return {name: LatencySummary.of(values) for name, values in times.items()}


def _jitter_ns(burst: Burst, fps: float) -> NDArray[np.float64]:
    arrived = np.array([arrival.arrived_ns for arrival in burst.arrivals])
    ids = np.array([arrival.post_id for arrival in burst.arrivals])
    return np.abs(np.diff(arrived)[np.diff(ids) == 1] - 1e9 / fps)


def _slope(memory_mib: NDArray[np.float64]) -> float:
    """Return the trend over the whole burst, in MiB."""
    if memory_mib.size < 3:
        return float("nan")
    return float(np.polyfit(np.linspace(0.0, 1.0, memory_mib.size), memory_mib, 1)[0])


def draw_histogram(report: LatencyReport, path: Path) -> None:
    """Draw a histogram of the end-to-end latency with its percentiles.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If the picture cannot be written.
    """
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.hist(report.latencies_ms, bins=80, color="0.55")
    whole = report.stages["end to end"]
    for label, value in (("p50", whole.p50_ms), ("p99", whole.p99_ms)):
        axes.axvline(value, color="black", linewidth=1.0)
        axes.annotate(f" {label} {value:.1f} ms", (value, 0.97), xycoords=("data", "axes fraction"))
    axes.set_xlabel("end-to-end latency, ms")
    axes.set_ylabel("strain frames")
    axes.set_title(
        f"{report.engine}, {report.strain_frames} of {report.frames_sent} frames at {report.fps:g} frames/s"
    )
    save_figure(figure, path, per_inch=120)
