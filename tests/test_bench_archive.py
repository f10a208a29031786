"""What the archive benchmark computes from what it measures, and that all of it runs."""

from __future__ import annotations

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
def test_every_part_of_the_archive_benchmark_runs(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'archive'")
    from benchmarks.archive import measure

    text = measure(tmp_path, 4, 20, n_frames=3, repeats=1)
    assert "| `ncc` |" in text
    assert "One recording of 500 frames" in text
    assert "20 recordings of two frames" in text
