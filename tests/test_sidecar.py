"""Parts of a run in processes of their own: they start, report, stop, and die with the run."""

from __future__ import annotations

import re
import signal
import socket

import processes
import psutil
import pytest
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.errors import RtelastoError
from rtelasto.live.sidecar import Sidecar
from rtelasto.transport.receivers import StrainReceiver


class Sum:
    """A part that only adds up."""

    def __init__(self, numbers: list[int]) -> None:
        self.ready = f"adding {len(numbers)} numbers"
        self._numbers = numbers
        self._closed = False

    def report(self) -> dict[str, int]:
        assert self._closed
        return {"sum": sum(self._numbers)}

    def close(self) -> None:
        self._closed = True


def cannot(settings: object) -> Sum:
    raise RtelastoError(f"cannot add {settings}")


def dies(settings: object) -> Sum:
    raise SystemExit(3)


def test_a_part_works_and_reports():
    with Sidecar("adder", Sum, [1, 2, 3]) as sidecar:
        sidecar.wait_until_ready()
        assert sidecar.ready == "adding 3 numbers"
        assert sidecar.is_alive
        assert sidecar.report == {}
    assert sidecar.report == {"sum": 6}
    assert not sidecar.is_alive
    sidecar.close()


@pytest.mark.slow
def test_a_part_that_cannot_start_says_why():
    for make, why in ((cannot, "cannot add 7"), (dies, "its process ended at its start")):
        with (
            Sidecar("adder", make, 7) as sidecar,
            pytest.raises(RtelastoError, match=f"the adder could not start: {why}"),
        ):
            sidecar.wait_until_ready()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_viewer_of_a_run_ends_with_it(how: signal.Signals):
    pytest.importorskip("uvicorn", reason="the view extra is not installed")
    strain = free_endpoint()
    run = ("run", "--rf", free_endpoint(), "--strain", strain, "--engine", "ncc")
    with (
        StrainReceiver(strain) as receiver,
        processes.running(*run, "--view", "--view-port", "0") as process,
    ):
        assert receiver.counters.wait_for("statuses", 1, WAIT_S)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(re.search(r"viewer at http://127\.0\.0\.1:\d+/$", line) for line in lines)
        children = psutil.Process(process.pid).children()
        assert children
        process.send_signal(how)
        output, _ = process.communicate(timeout=WAIT_S)
        psutil.wait_procs(children, timeout=WAIT_S)
        assert not any(child.is_running() for child in children)
    if how is signal.SIGTERM:
        assert process.returncode == 0
        assert "viewer" in output


@pytest.mark.slow
def test_a_taken_port_of_the_viewer_is_one_line_and_the_run_goes_on():
    pytest.importorskip("uvicorn", reason="the view extra is not installed")
    run = ("run", "--rf", free_endpoint(), "--strain", free_endpoint(), "--engine", "ncc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with processes.running(*run, "--view", "--view-port", port) as process:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            line = next(line for line in lines if "could not start" in line)
            assert "the viewer could not start" in line
            assert port in line
            assert "the run goes on without it" in line
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "Traceback" not in errors
