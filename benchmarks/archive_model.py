"""What a large archive would take on many machines, by multiplying what was measured on one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RECORDINGS, MACHINES, CORES = 100_000, 100, 8
# What Dask says itself of a task: https://docs.dask.org/en/stable/best-practices.html, "Avoid Very Large
# Graphs". A task should take more than 10 to 100 ms: https://distributed.dask.org/en/stable/limitations.html.
DASK_TASK_S = (2e-4, 1e-3)


@dataclass(frozen=True)
class TaskCost:
    """What a small task costs besides its own work.

    Attributes
    ----------
    tasks
        How many were measured.
    overhead_s, scheduler_s
        Time of a worker, and processor time of the scheduler, for each task.
    message_bytes
        Size of a task and its result as Dask sends them.
    memory_mib
        Of the scheduler and of the larger worker, by the number of tasks done.
    """

    tasks: int
    overhead_s: float
    scheduler_s: float
    message_bytes: int
    memory_mib: Mapping[int, tuple[float, float]]

    @property
    def scheduler_growth_mib(self) -> float:
        """Memory that the scheduler takes for each task and does not give back."""
        counts = sorted(self.memory_mib)
        first, last = counts[0], counts[-1]
        grown = self.memory_mib[last][0] - self.memory_mib[first][0]
        return max(0.0, grown) / max(1, last - first)

    def table(self) -> list[str]:
        """Return what was measured, as Markdown."""
        rows = [
            f"| {done} | {scheduler:.0f} | {worker:.0f} |"
            for done, (scheduler, worker) in self.memory_mib.items()
        ]
        return [
            f"{self.tasks} recordings of two frames of 600 × 16: each costs a worker "
            f"{1e3 * self.overhead_s:.1f} ms besides its own work, the scheduler "
            f"{1e3 * self.scheduler_s:.2f} ms of processor time, and {self.message_bytes} bytes of messages. "
            "Memory in MiB:",
            "",
            "| tasks done | scheduler | larger worker |",
            "| ---: | ---: | ---: |",
            *rows,
        ]


def model(cost: TaskCost, recording_s: float, read_bytes: int, written_bytes: int) -> list[str]:
    """Return what `RECORDINGS` on `MACHINES` would take, as Markdown.

    Parameters
    ----------
    cost
        Of a task.
    recording_s
        Time of a core for a recording.
    read_bytes, written_bytes
        Size of a recording, which is read twice, once for its key, and of its strain file.
    """
    each_s = recording_s + cost.overhead_s
    total_s = RECORDINGS * each_s / (MACHINES * CORES)
    low, high = (100.0 * RECORDINGS * task_s / total_s for task_s in DASK_TASK_S)
    scheduler = 100.0 * RECORDINGS * cost.scheduler_s / total_s
    moved = RECORDINGS * (2 * read_bytes + written_bytes)
    return [
        f"Model, not run: {RECORDINGS} such recordings on {MACHINES} machines of {CORES} cores. Each "
        f"takes a core {recording_s:.1f} s with `cnn`; {read_bytes / 1e6:.1f} MB are read twice and "
        f"{written_bytes / 1e6:.1f} MB written.",
        "",
        "| | |",
        "| --- | --- |",
        f"| time | {total_s / 3600.0:.2f} h |",
        f"| of it the overhead of tasks | {100.0 * cost.overhead_s / each_s:.1f} % |",
        f"| scheduler busy | {scheduler:.0f} %; by Dask's own figure for a task {low:.0f} to {high:.0f} % |",
        f"| messages | {RECORDINGS * cost.message_bytes / 1e9:.2f} GB |",
        f"| memory of the scheduler, besides | {RECORDINGS * cost.scheduler_growth_mib:.0f} MiB |",
        f"| files read and written | {moved / 1e12:.2f} TB, {moved / total_s / 1e9:.2f} GB/s |",
    ]
