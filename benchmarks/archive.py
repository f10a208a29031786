"""Many recordings on Dask workers: rates, the cost of a task, memory, and a model of a large archive.

    python -m benchmarks.archive [--write] [--quick] [--only-cnn] [--recordings 12] [--repeats 3] [--tasks N]

Rates are those of `rtelasto process` with several recordings, once its engines are open. *Independent* are
two processes pinned to a core each (one, if there is but one core), without Dask: what two workers could
reach at best. The small tasks are real recordings of two small frames, on a scheduler and workers in
processes of their own. The model multiplies what was measured; nothing of it was run. ``--write`` writes the
tables into benchmarks/README.md, ``--quick`` runs every part briefly, as a test.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client
from distributed.deploy.subprocess import SubprocessCluster
from distributed.protocol import serialize
from distributed.utils import nbytes

from benchmarks.archive_model import TaskCost, model
from benchmarks.measured import when_and_where, write_measured
from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.offline.archive.cluster import WORKER_MIB, connect
from rtelasto.offline.archive.parts import PART_FRAMES
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import Row, State
from rtelasto.offline.archive.run import process_archive
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sources import open_recording

README = Path(__file__).with_name("README.md")
ENGINES = ("cnn", "ncc")
# Workers and threads of each.
LAYOUTS = ((1, 1), (1, 2), (2, 1))
SMALL = RfFormat(
    n_lines=16, n_samples=600, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
GIVE_UP_S = 1800.0
"""Time limit of the independent processes for their recordings."""
HOW: dict[str, Any] = {"show": "strain", "accumulate": False, "reference": None}


def write_scan(path: Path, n_frames: int, rf_format: RfFormat | None = None) -> Path:
    """Write a recording of a hand that presses and releases, by default of 2608 × 128."""
    frames = timing_frames(rf_format)
    with RecordingWriter(path, frames[0].format, frame_rate_hz=20.0) as writer:
        for i in range(n_frames):
            shown = frames[(0, 1, 2, 1)[i % 4]]
            writer.write(RfFrame(shown.samples, shown.format, FrameStamp(frame_id=i)))
    return path


def copies(scan: Path, count: int) -> list[Path]:
    """Return ``count`` recordings with the content of one."""
    paths = [scan.with_name(f"copy-{k:04d}{scan.suffix}") for k in range(count)]
    for path in paths:
        shutil.copyfile(scan, path)
    return paths


def settings_of(engine: str, threads: int) -> EstimateSettings:
    return EstimateSettings(engine=engine, device="cpu", threads=threads)


def process(scans: Sequence[Path], settings: EstimateSettings, client: Client) -> list[Row]:
    """Process recordings into an empty folder, which is removed."""
    with tempfile.TemporaryDirectory(dir=scans[0].parent) as out:
        tasks = [Task(scan, Path(out) / scan.name) for scan in scans]
        rows = list(process_archive(tasks, settings, client, overrides={}, how=HOW))
    assert all(row.state is State.DONE for row in rows), rows
    return rows


def archive_rate(scans: Sequence[Path], engine: str, workers: int, threads: int) -> float:
    """Return recordings an hour on workers of this machine."""
    settings = settings_of(engine, threads)
    with connect(None, workers=workers, memory_mib=workers * 2 * WORKER_MIB) as client:
        process(scans[: 2 * workers], settings, client)  # opens the engines
        started = time.perf_counter()
        process(scans, settings, client)
        return 3600.0 * len(scans) / (time.perf_counter() - started)


def pinned_cores() -> list[int]:
    """Return the cores of the independent processes."""
    return sorted(os.sched_getaffinity(0))[:2]


def independent_rate(scans: Sequence[Path], engine: str) -> float:
    """Return recordings an hour in a process on each of `pinned_cores`.

    Raises
    ------
    threading.BrokenBarrierError
        If a process fails, or takes longer than `GIVE_UP_S`.
    """
    context = multiprocessing.get_context("spawn")
    cores = pinned_cores()
    barrier = context.Barrier(len(cores) + 1, timeout=GIVE_UP_S)
    processes = [
        context.Process(target=_process_alone, args=(core, scans[k :: len(cores)], engine, barrier))
        for k, core in enumerate(cores)
    ]
    for each in processes:
        each.start()
    try:
        barrier.wait()
        started = time.perf_counter()
        barrier.wait()
        return 3600.0 * len(scans) / (time.perf_counter() - started)
    finally:
        for each in processes:
            each.join()


def _process_alone(core: int, scans: Sequence[Path], engine: str, barrier: Barrier) -> None:
    try:
        os.sched_setaffinity(0, {core})
        settings = settings_of(engine, 1)
        estimator = settings.open_estimator()
        estimator.warm_up()
        with tempfile.TemporaryDirectory(dir=scans[0].parent) as out:
            for k, scan in enumerate([scans[0], *scans]):
                if k == 1:  # the first, once more, was the warm-up
                    barrier.wait()
                with open_recording(scan) as recording:
                    process_recording(
                        recording, Path(out) / f"{k}.h5", settings, estimator=estimator, **HOW
                    )
            barrier.wait()
    except BaseException:
        barrier.abort()  # the others need not wait
        raise


def measure_rates(
    scans: Sequence[Path], engines: Sequence[str], repeats: int
) -> dict[str, dict[str, float]]:
    """Return the median rate by engine and layout, all layouts in turn."""
    rates: dict[str, dict[str, float]] = {}
    for engine in engines:
        found: dict[str, list[float]] = {}
        for _ in range(repeats):
            for workers, threads in LAYOUTS:
                rate = archive_rate(scans, engine, workers, threads)
                found.setdefault(f"{workers} × {threads}", []).append(rate)
            found.setdefault("independent", []).append(independent_rate(scans, engine))
        rates[engine] = {name: float(np.median(values)) for name, values in found.items()}
    return rates


@contextmanager
def cluster_of_processes(workers: int) -> Iterator[Client]:
    """Yield a client of a scheduler and workers of a thread each, all in processes of their own."""
    options = {"memory_limit": WORKER_MIB * 2**20, "dashboard": False}
    with (
        SubprocessCluster(
            n_workers=workers,
            threads_per_worker=1,
            worker_kwargs=options,
            dashboard_address=None,  # type: ignore[arg-type]
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        yield client


def measure_small_tasks(folder: Path, n_tasks: int, workers: int = 2) -> TaskCost:
    """Process many recordings of two small frames, a tenth of them at a time."""
    scans = copies(write_scan(folder / "small.h5", 2, SMALL), n_tasks)
    settings = settings_of("cnn", 1)
    step = max(1, n_tasks // 10)
    memory: dict[int, tuple[float, float]] = {}
    busy_s = wall_s = 0.0
    with cluster_of_processes(workers) as client:
        process(scans[: 4 * workers], settings, client)
        before_s = client.run_on_scheduler(_usage)[1]
        for first in range(0, n_tasks, step):
            started = time.perf_counter()
            rows = process(scans[first : first + step], settings, client)
            wall_s += time.perf_counter() - started
            busy_s += sum(row.seconds for row in rows)
            largest = max(used for used, _ in client.run(_usage).values())
            memory[first + len(rows)] = client.run_on_scheduler(_usage)[0], largest
        scheduler_s = client.run_on_scheduler(_usage)[1] - before_s
    message = nbytes_sent(scans[0], settings) + nbytes_sent(rows[0])
    return TaskCost(
        n_tasks,
        (workers * wall_s - busy_s) / n_tasks,
        scheduler_s / n_tasks,
        message,
        memory,
    )


def _usage() -> tuple[float, float]:
    """Return the memory of this process in MiB and its processor time in s."""
    process = psutil.Process()
    used = process.cpu_times()
    return process.memory_info().rss / 2**20, used.user + used.system


def nbytes_sent(*objects: object) -> int:
    """Return the size of objects as Dask sends them."""
    return sum(nbytes(frame) for one in objects for frame in serialize(one)[1])


def split_times_s(scan: Path, engine: str) -> tuple[float, float]:
    """Return the times of a long recording on one worker and on two, of a thread each."""
    times_s = []
    for workers in (1, 2):
        with connect(None, workers=workers, memory_mib=workers * 2 * WORKER_MIB) as client:
            settings = settings_of(engine, 1)
            short = copies(write_scan(scan.with_name("short.h5"), 2, SMALL), 2 * workers)
            process(short, settings, client)  # opens the engines
            started = time.perf_counter()
            process([scan], settings, client)
            times_s.append(time.perf_counter() - started)
    return times_s[0], times_s[1]


def rate_table(rates: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a table of recordings an hour, with the efficiency of two workers."""
    names = list(next(iter(rates.values())))
    lines = [
        f"| engine | {' | '.join(names)} | efficiency |",
        f"| --- |{' ---: |' * (len(names) + 1)}",
    ]
    for engine, found in rates.items():
        cells = " | ".join(f"{rate:.0f}" for rate in found.values())
        lines.append(f"| `{engine}` | {cells} | {found['2 × 1'] / found['independent']:.2f} |")
    return lines


def measure(
    folder: Path,
    count: int,
    n_tasks: int,
    *,
    engines: Sequence[str] = ENGINES,
    n_frames: int = 20,
    repeats: int = 3,
) -> str:
    """Return the section of the page.

    Parameters
    ----------
    folder
        For recordings, an empty one.
    count, n_frames, repeats
        Recordings whose rate is measured, their frames, and how often it is measured.
    n_tasks
        Small recordings.
    engines
        Whose rates are measured, `cnn` among them.
    """
    began = f"{when_and_where()}; load averages {' / '.join(f'{x:.1f}' for x in os.getloadavg())}"
    scan, strain = write_scan(folder / "scan.h5", n_frames), folder / "strain.h5"
    with open_recording(scan) as recording:
        process_recording(recording, strain, settings_of("cnn", 1), **HOW)
    rates = measure_rates(copies(scan, count), engines, repeats)
    # The model adds the overhead of tasks, which rates on workers contain already.
    recording_s = len(pinned_cores()) * 3600.0 / rates["cnn"]["independent"]
    n_long = 2 * PART_FRAMES
    long = write_scan(folder / "long.h5", n_long, SMALL)
    alone_s, shared_s = split_times_s(long, "cnn")
    (folder / "small").mkdir()
    cost = measure_small_tasks(folder / "small", n_tasks)
    lines = [
        f"{began} when it began.",
        "",
        f"{count} recordings of {n_frames} frames of 2608 × 128, recordings an hour by workers × threads, "
        f"median of {repeats}:",
        "",
        *rate_table(rates),
        "",
        f"One recording of {n_long} frames of 600 × 16, `cnn`: {alone_s:.1f} s on one worker of a thread, "
        f"{shared_s:.1f} s on two.",
        "",
        *cost.table(),
        "",
        *model(cost, recording_s, scan.stat().st_size, strain.stat().st_size),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Archives on Dask workers.")
    parser.add_argument("--write", action="store_true", help="write into benchmarks/README.md")
    parser.add_argument("--quick", action="store_true", help="every part briefly")
    parser.add_argument("--only-cnn", action="store_true", help="no rates of ncc")
    parser.add_argument("--recordings", type=int, default=12, help="whose rate is measured")
    parser.add_argument("--repeats", type=int, default=3, help="of each rate")
    parser.add_argument("--tasks", type=int, default=2000, help="small recordings")
    options = parser.parse_args()
    engines = ENGINES[:1] if options.only_cnn else ENGINES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.quick:
            text = measure(folder, 4, 20, engines=engines, n_frames=3, repeats=1)
        else:
            text = measure(
                folder,
                options.recordings,
                options.tasks,
                engines=engines,
                repeats=options.repeats,
            )
    print(text)
    if options.write:
        write_measured(README, "archive", text)


if __name__ == "__main__":
    main()
