"""Workers on this machine: the cores, the memory and the GPU that each may use, and what they write."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from archive import write_recordings
from dask_workers import states
from processes import finish

from rtelasto.host.threads import available_cores, kernel_threads
from rtelasto.offline.archive.cluster import WORKER_MIB, connect, local_workers
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import State
from rtelasto.offline.archive.run import process_archive
from rtelasto.settings import EstimateSettings

if TYPE_CHECKING:
    from distributed import Client

pytest.importorskip("distributed", reason="needs the extra 'archive'")
pytest.importorskip("pyarrow", reason="needs the extra 'archive'")

HOW = {"show": "strain", "accumulate": False, "reference": None}


def test_the_number_of_gpus_is_that_of_workers() -> None:
    assert local_workers(None, 8 * WORKER_MIB, n_gpus=2) == (2, 4 * WORKER_MIB)
    assert local_workers(3, 9 * WORKER_MIB, n_gpus=2) == (3, 3 * WORKER_MIB)
    assert local_workers(None, WORKER_MIB, n_gpus=2) == (1, WORKER_MIB)


@pytest.mark.slow
def test_each_worker_sees_a_gpu_of_its_own() -> None:
    with connect(None, memory_mib=3 * WORKER_MIB, workers=3, gpus=["0", "GPU-7"]) as client:
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
    assert sorted(seen.values()) == ["0", "0", "GPU-7"]


def _limits(settings: EstimateSettings) -> dict[str, int]:
    """Return the threads of each library in a worker."""
    from rtelasto.offline.archive.worker import estimator_of

    session = estimator_of(settings).engine._runtime._session  # type: ignore[union-attr]
    return {
        "kernels": kernel_threads(),
        "ONNX Runtime": session.get_session_options().intra_op_num_threads,
        "OpenMP": int(os.environ["OMP_NUM_THREADS"]),
    }


@pytest.mark.slow
@pytest.mark.skipif(available_cores() < 2, reason="needs two cores to share")
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_share_the_cores(workers: int, tmp_path: Path) -> None:
    scans = write_recordings(tmp_path, 2)
    settings = EstimateSettings(engine="cnn", device="cpu", pair="consecutive")
    tasks = [Task(scan, tmp_path / f"{scan.stem}-strain.h5") for scan in scans]
    with connect(None, workers=workers, memory_mib=workers * WORKER_MIB) as client:
        assert [worker["nthreads"] for worker in _workers(client)] == [1] * workers
        found = list(process_archive(tasks, settings, client, overrides={}, how=HOW))
        assert [row.state for row in found] == [State.DONE] * 2
        used = replace(settings, threads=available_cores() // workers)
        limits = client.run(_limits, used)
    each = available_cores() // workers
    assert list(limits.values()) == [
        {"kernels": each, "ONNX Runtime": each, "OpenMP": 1} for _ in range(workers)
    ]


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


@pytest.mark.slow
def test_reports_of_an_archive_are_written_and_linked(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    write_recordings(tmp_path / "scans", 2)
    out = tmp_path / "strain"
    arguments = (
        *("process", tmp_path / "scans", "-o", out, "--workers", 1, "--reports"),
        *("--engine", "cnn", "--device", "cpu", "--pair", "consecutive"),
    )
    done = finish(*arguments)
    assert done.returncode == 0, done.stderr
    page = (out / "summary.html").read_text(encoding="utf-8")
    for name in ("scan-00", "scan-01"):
        assert f"<a href='{name}.report.html'><img" in page
        report = (out / f"{name}.report.html").read_text(encoding="utf-8")
        assert re.search(r"<th>strain frames</th><td>4</td>", report)
    assert states(out) == ["done", "done"]
    # A report that is missing is written again, like any other output.
    (out / "scan-01.report.html").unlink()
    assert finish(*arguments).returncode == 0
    assert states(out) == ["done", "unchanged"]
