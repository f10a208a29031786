"""What the archive benchmark computes from what it measures, and that all of it runs."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from benchmarks.archive_model import CORES, MACHINES, RECORDINGS, TaskCost, model

COST = TaskCost(
    tasks=2000,
    overhead_s=0.01,
    scheduler_s=0.001,
    message_bytes=2000,
    memory_mib={200: (150.0, 300.0), 2000: (168.0, 310.0)},
)


def test_the_model_multiplies_what_was_measured() -> None:
    assert COST.scheduler_growth_mib == pytest.approx(0.01)
    table = "\n".join(model(COST, recording_s=3.99, read_bytes=10**7, written_bytes=10**7))
    hours = RECORDINGS * 4.0 / (MACHINES * CORES) / 3600.0
    assert f"| time | {hours:.2f} h |" in table
    # 100 s of the scheduler in 500 s.
    assert "| scheduler busy | 20 %; by Dask's own figure for a task 4 to 20 % |" in table
    assert "| messages | 0.20 GB |" in table
    assert "| memory of the scheduler, besides | 1000 MiB |" in table
    assert "| files read and written | 3.00 TB, 6.00 GB/s |" in table


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins processes to cores (Linux)")
def test_independent_processes_run_on_a_machine_with_one_core(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'archive'")
    from benchmarks.archive import SMALL, independent_rate, write_scan

    scan = write_scan(tmp_path / "scan.h5", 2, SMALL)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert independent_rate([scan], "cnn") > 0.0
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins processes to cores (Linux)")
def test_independent_processes_that_fail_end_the_measurement(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'archive'")
    from benchmarks.archive import independent_rate

    with pytest.raises(threading.BrokenBarrierError):
        independent_rate([tmp_path / "none.h5"] * 2, "cnn")


@pytest.mark.slow
def test_every_part_of_the_archive_benchmark_runs(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'archive'")
    from benchmarks.archive import measure, pinned_cores

    text = measure(tmp_path, 4, 20, n_frames=3, repeats=1)
    assert "| `ncc` |" in text
    assert "One recording of 500 frames" in text
    assert "20 recordings of two frames" in text
    # The model begins with a rate that does not contain the cost of tasks, which it adds.
    independent = re.search(r"\| `cnn` \|.* (\d+) \| [\d.]+ \|", text)
    core_s = re.search(r"takes a core ([\d.]+) s", text)
    assert independent is not None
    assert core_s is not None
    expected_s = len(pinned_cores()) * 3600.0 / float(independent[1])
    assert float(core_s[1]) == pytest.approx(expected_s, abs=0.06)
