"""An archive on real Dask workers: killed workers, damaged files, a scheduler that goes, Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from archive import write_recordings
from dask_workers import leftovers, rows, scheduler, states, wait_until, worker, writes
from processes import finish, running
from waiting import WAIT_S

from rtelasto.errors import ExitCode
from rtelasto.offline.process import process_recording
from rtelasto.settings import EstimateSettings
from rtelasto.sources import open_recording

pytest.importorskip("distributed", reason="needs the extra 'archive'")
pytest.importorskip("pyarrow", reason="needs the extra 'archive'")

pytestmark = pytest.mark.slow

COUNT = 60
SETTINGS = EstimateSettings(engine="ncc", device="cpu", pair="consecutive", threads=1)
FLAGS = (
    *("--engine", "ncc", "--device", "cpu", "--pair", "consecutive", "--threads", "1"),
    "--no-pictures",
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty recordings, of which one is damaged."""
    folder = tmp_path_factory.mktemp("scans")
    paths = write_recordings(folder, COUNT)
    damaged = paths[17]
    damaged.write_bytes(damaged.read_bytes()[:2000])
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for what a worker writes")
def test_a_killed_worker_and_a_damaged_file_cost_one_recording(
    recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "strain"
    with scheduler(tmp_path) as (_, address), worker(address) as first, worker(address):
        arguments = ("process", recordings, "-o", out, "--scheduler", address, *FLAGS)
        with running(*arguments) as command:
            wait_until(lambda: writes(first, out))
            first.kill()
            _, errors = command.communicate(timeout=WAIT_S)
        assert command.returncode == ExitCode.SOME_FAILED, errors
        assert states(out) == ["done"] * 59 + ["failed"]
        assert "scan-17.h5" in errors
        assert rows(out)["scan-17.h5"]["reason"].startswith("Unable to")
        # Nothing else: Dask's own log says nothing of connections.
        assert "distributed" not in errors
        assert leftovers(out) == []
        written = {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5")}

        # Again: nothing is computed, and the damaged one fails again.
        assert finish(*arguments).returncode == ExitCode.SOME_FAILED
        assert states(out) == ["failed"] + ["unchanged"] * 59
        assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5")} == written

    for path in sorted(recordings.glob("*.h5")):
        if path.name == "scan-17.h5":
            assert not (out / path.name).exists()
            continue
        with open_recording(path) as recording:
            process_recording(recording, tmp_path / path.name, SETTINGS)
        assert (tmp_path / path.name).read_bytes() == (out / path.name).read_bytes()


def test_a_command_repeated_after_the_scheduler_died_completes(
    recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "strain"

    def arguments(address: str) -> tuple[object, ...]:
        return ("process", recordings, "-o", out, "--scheduler", address, *FLAGS)

    with scheduler(tmp_path) as (died, address), worker(address):
        with running(*arguments(address)) as command:
            wait_until(lambda: len(list(out.glob("*.h5"))) >= 5)
            died.kill()
            _, errors = command.communicate(timeout=WAIT_S)
        assert command.returncode == ExitCode.SOME_FAILED, errors
        assert "the scheduler is gone" in errors
    with scheduler(tmp_path) as (_, address), worker(address):
        assert finish(*arguments(address)).returncode == ExitCode.SOME_FAILED
    assert states(out).count("failed") == 1
    assert states(out).count("unchanged") >= 5
    assert leftovers(out) == []


def test_ctrl_c_leaves_whole_files_and_the_rest_for_the_next_run(
    recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "strain"
    arguments = ("process", recordings, "-o", out, "--workers", 1, *FLAGS)
    with running(*arguments, start_new_session=True) as command:
        wait_until(lambda: len(list(out.glob("*.h5"))) >= 3)
        # As a terminal does: the workers get it, too.
        os.killpg(command.pid, signal.SIGINT)
        _, errors = command.communicate(timeout=WAIT_S)
    assert command.returncode == ExitCode.INTERRUPTED, errors
    assert leftovers(out) == []
    assert len(list(out.glob("*.h5"))) < COUNT - 1
    finished = finish(*arguments)
    assert finished.returncode == ExitCode.SOME_FAILED, finished.stderr
    assert states(out).count("unchanged") >= 3
    assert "summary.html" in finished.stdout
