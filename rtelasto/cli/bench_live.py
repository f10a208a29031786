"""``rtelasto bench latency`` and ``rtelasto bench throughput``: a live run in real processes, measured."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from rtelasto.cli.bench import print_stages, write_json
from rtelasto.cli.terminal import console, notes, print_table
from rtelasto.frames.strain import DEFAULT_ENGINE
from rtelasto.host.threads import check_threads
from rtelasto.sinks.output_check import FIGURES, PICTURE, check_outputs
from rtelasto.telemetry.latency import LatencySummary


def latency(
    *,
    engine: str = DEFAULT_ENGINE,
    fps: float = 100.0,
    frames: int = 1000,
    warm_up_frames: int = 50,
    pair: str = "consecutive",
    every: bool = False,
    threads: int | None = None,
    cpu_runtime: str = "onnxruntime",
    device: str = "auto",
    json_file: Path | None = None,
    png: Path | None = None,
    force: bool = False,
) -> None:
    """Latency of a live run: 2608 × 128 int16 frames sent → strain received, end to end and by stage.

    A sender, `rtelasto run` and a subscriber, each in its own process, on loopback. Warm-up frames are
    not timed, nor is the time that a scanner takes before it sends. At a rate that the machine cannot
    sustain, frames are dropped and counted, the newest are processed, and latency stays bounded.

    Examples:

    `rtelasto bench latency --fps 20`

    `rtelasto bench latency --frames 10000 --json-file latency.json --png latency.png`

    Parameters
    ----------
    engine
        Engine of the run.
    fps
        RF frames sent per second.
    frames
        Number of frames to time.
    warm_up_frames
        Number of frames sent before them, which are not timed.
    pair
        Pairing, as for `rtelasto run`.
    every
        Process every frame, however late, instead of dropping the oldest when behind.
    threads
        Cores to use; by default all that are available to this process.
    cpu_runtime
        Runtime of a network on the CPU: onnxruntime, openvino, openvino-bf16.
    device
        Where the network runs, as for `rtelasto run`: auto, cpu, gpu, …
    json_file
        Also write the figures to this file.
    png
        Also draw a histogram of the end-to-end latency into this file.
    force
        Replace an existing file even if rtelasto did not write it.
    """
    from rtelasto.bench.latency import draw_histogram, measure_latency

    check_outputs(("--json-file", json_file, FIGURES), ("--png", png, PICTURE), force=force)
    with notes.status(f"timing {frames} frames at {fps:g} frames/s with {engine}"):
        report = measure_latency(
            engine,
            fps=fps,
            frames=frames,
            warm_up_frames=warm_up_frames,
            options=_run_options(device, pair, every, threads, cpu_runtime),
        )
    print_stages(
        f"{engine}, {report.strain_frames} strain frames of {frames} RF frames at {fps:g} frames/s",
        report.stages,
    )
    console.print()
    first, last = report.memory_mib
    period_ms = 1e3 / fps
    print_table(
        "Live run",
        {
            "left out": f"{warm_up_frames} warm-up frames",
            "strain frames": f"{report.strain_fps:.1f} per second",
            "not strain": _drops(report.counters, frames - report.strain_frames),
            "sent over 2 ms late": report.frames_late,
            f"jitter against {period_ms:.1f} ms": _jitter(report.jitter),
            "start to ready": f"{report.start_to_ready_s:.2f} s",
            "start to first strain": f"{report.start_to_first_s:.2f} s",
            "memory": f"{first:.1f} → {last:.1f} MiB, "
            f"{report.memory_slope_mib_per_1000:+.3f} MiB per 1,000 frames",
        },
    )
    if png is not None:
        draw_histogram(report, png)
    if json_file is not None:
        content = asdict(report)
        content["latencies_ms"] = [round(float(value), 4) for value in report.latencies_ms]
        write_json(json_file, content)


def throughput(
    *,
    engine: str = DEFAULT_ENGINE,
    seconds: float = 5.0,
    tolerance: float = 0.03,
    threads: int | None = None,
    cpu_runtime: str = "onnxruntime",
    device: str = "auto",
    json_file: Path | None = None,
    force: bool = False,
) -> None:
    """The highest rate of 2608 × 128 int16 frames that becomes strain without drops, and the floor.

    It uses the same processes as `rtelasto bench latency`. The rate is bisected on one running pipeline
    and confirmed over twice the time. The floor is the least time that a pair can take on this machine:
    the larger of bytes moved over the copy rate and operations done over the multiply rate, both rates
    measured right after (`rtelasto/bench/floor.py`).

    Examples:

    `rtelasto bench throughput`

    `rtelasto bench throughput --engine ncc --seconds 10 --json-file throughput.json`

    Parameters
    ----------
    engine
        Engine of the run.
    seconds
        How long each rate is sent.
    tolerance
        Largest relative gap between the last sustained rate and the first one with drops.
    threads
        Cores to use; by default all that are available to this process.
    cpu_runtime
        Runtime of a network on the CPU: onnxruntime, openvino, openvino-bf16.
    device
        Where the network runs, as for `rtelasto run`: auto, cpu, gpu, …
    json_file
        Also write the figures to this file.
    force
        Replace an existing file even if rtelasto did not write it.
    """
    from rtelasto.bench.floor import describe_floor, engine_floor, rates_of
    from rtelasto.bench.throughput import Trial, measure_throughput

    check_outputs(("--json-file", json_file, FIGURES), force=force)

    def say(trial: Trial) -> None:
        found = "held" if trial.sustained else f"{trial.lost} lost, sent in {trial.seconds:.1f} s"
        notes.print(f"{trial.fps:8.1f} frames/s: {found}")

    with notes.status(f"bisecting the rate of {engine}"):
        report = measure_throughput(
            engine,
            seconds=seconds,
            tolerance=tolerance,
            options=_run_options(device, "consecutive", False, threads, cpu_runtime),
            on_trial=say,
        )
    rows: dict[str, object] = {
        "sustained without drops": f"{report.fps:.1f} strain frames/s",
        "pipeline busy per frame": f"{report.busy_ms:.2f} ms p50 at a low rate",
    }
    content = asdict(report)
    with notes.status("measuring the floor"):
        floor = engine_floor(engine, rates_of(engine, device, threads))
    if floor is None:
        rows["floor"] = f"defined for networks only, {engine} is not one"
    else:
        rows |= describe_floor(floor)
        rows["time per frame / floor"] = f"{1.0 / (report.fps * floor.floor_s):.2f}"
        content["floor"] = floor.figures()
    print_table(f"Throughput of {engine}", rows)
    if json_file is not None:
        write_json(json_file, content)


def _run_options(
    device: str, pair: str, every: bool, threads: int | None, cpu_runtime: str
) -> tuple[str, ...]:
    check_threads(threads)
    options = ["--device", device, "--pair", pair, "--cpu-runtime", cpu_runtime]
    if every:
        options.append("--every")
    if threads is not None:
        options += ["--threads", str(threads)]
    return tuple(options)


def _jitter(jitter: LatencySummary) -> str:
    if math.isnan(jitter.p50_ms):
        return "no two neighbouring frames arrived"
    return f"p50 {jitter.p50_ms:.2f} ms, p99 {jitter.p99_ms:.2f} ms"


def _drops(counters: dict[str, int], missing: int) -> str:
    """Number of missing frames, with the counters that explain it."""
    causes = {
        name: count
        for name, count in counters.items()
        if name.startswith(("overflow", "gaps", "pair.", "frame.", "malformed", "publish_dropped"))
    }
    listed = ", ".join(f"{name} {count}" for name, count in causes.items())
    return f"{missing} ({listed})" if listed else str(missing)
