"""One long recording on several Dask workers: the same file, and only the parts that a fault cost again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from archive import write_palpation
from dask_workers import leftovers, scheduler, states, wait_until, worker, writes
from processes import running
from waiting import WAIT_S

from rtelasto.errors import ExitCode
from rtelasto.offline.archive.cluster import connect
from rtelasto.offline.archive.parts import whole_parts
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import State
from rtelasto.offline.archive.run import process_archive
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sources import open_recording

pytest.importorskip("distributed", reason="needs the extra 'archive'")
pytest.importorskip("pyarrow", reason="needs the extra 'archive'")

pytestmark = pytest.mark.slow

SETTINGS = EstimateSettings(engine="cnn", device="cpu", threads=1)
FLAGS = ("--engine", "cnn", "--device", "cpu", "--threads", "1", "--no-pictures")
HOW = {"show": "strain", "accumulate": False, "reference": None}


def whole(scan: Path) -> bytes:
    """Process a recording without workers; return its strain file."""
    out = scan.with_name("whole.h5")
    with open_recording(scan) as recording:
        process_recording(recording, out, SETTINGS)
    return out.read_bytes()


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_palpation(tmp_path_factory.mktemp("scans") / "palpation.h5", 500)


@pytest.fixture(scope="module")
def expected(scan: Path) -> bytes:
    return whole(scan)


def versions_until_end(command: subprocess.Popen[str], files: list[Path]) -> list[set[int]]:
    """Wait for a command; return the times of writing that each of the files had until it was removed."""
    seen: list[set[int]] = [set() for _ in files]

    def ended() -> bool:
        for file, times_ns in zip(files, seen, strict=True):
            with contextlib.suppress(FileNotFoundError):
                times_ns.add(file.stat().st_mtime_ns)
        return command.poll() is not None

    wait_until(ended)
    return seen


def test_one_recording_split_over_both_workers_gives_the_same_file(tmp_path: Path) -> None:
    scan = write_palpation(tmp_path / "palpation.h5", 2000)
    out = tmp_path / "strain.h5"
    from distributed import get_task_stream

    with connect(None, workers=2) as client, get_task_stream(client) as stream:
        (row,) = process_archive([Task(scan, out)], SETTINGS, client, overrides={}, how=HOW)
    assert row.state is State.DONE
    assert row.frames == 2000
    parts = [done for done in stream.data if done["key"].startswith("process_part")]
    assert len(parts) == 8
    assert len({part["worker"] for part in parts}) == 2
    assert leftovers(tmp_path) == []
    # Persistence included, and to the last bit.
    assert out.read_bytes() == whole(scan)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for what a worker writes")
def test_a_worker_killed_in_a_part_costs_no_more_than_that(
    scan: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "strain"
    strain = out / "palpation.h5"
    with scheduler(tmp_path) as (_, address), worker(address) as first, worker(address) as second:

        def busy() -> list[subprocess.Popen[str]]:
            return [process for process in (first, second) if writes(process, out)]

        with running("process", scan, "-o", out, "--scheduler", address, *FLAGS) as command:
            # In the other part, or in joining.
            wait_until(lambda: bool(whole_parts(strain)) and bool(busy()))
            finished = whole_parts(strain)
            (busy() or [first])[0].kill()
            versions = versions_until_end(command, finished)
            _, errors = command.communicate(timeout=WAIT_S)
        assert command.returncode == 0, errors
    assert [len(times_ns) for times_ns in versions] == [1] * len(finished)
    assert strain.read_bytes() == expected
    assert leftovers(out) == []


def test_ctrl_c_keeps_finished_parts_for_the_next_run(
    scan: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "strain"
    strain = out / "palpation.h5"
    arguments = ("process", scan, "-o", out, "--workers", 2, *FLAGS)
    with running(*arguments, start_new_session=True) as command:
        wait_until(lambda: bool(whole_parts(strain)))
        os.killpg(command.pid, signal.SIGINT)
        _, errors = command.communicate(timeout=WAIT_S)
    assert command.returncode == ExitCode.INTERRUPTED, errors
    kept = whole_parts(strain)
    assert sorted(path for path in out.rglob("*") if path.is_file()) == kept
    written = [{path.stat().st_mtime_ns} for path in kept]
    with running(*arguments) as command:
        assert versions_until_end(command, kept) == written
        _, errors = command.communicate(timeout=WAIT_S)
    assert command.returncode == 0, errors
    assert states(out) == ["done"]
    assert strain.read_bytes() == expected
    assert leftovers(out) == []
