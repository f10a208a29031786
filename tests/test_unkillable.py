"""A process that cannot be killed holds nothing up."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from multiprocessing.connection import Connection

import pytest
from waiting import WAIT_S

from rtelasto.live.child_process import Child

# A process that is traced does not go when it is killed before its tracer lets it: as in a driver's call.
TRACER = """
import ctypes, sys
trace = ctypes.CDLL(None, use_errno=True).ptrace
trace.argtypes = [ctypes.c_long] * 4
PTRACE_SEIZE = 0x4206
print(trace(PTRACE_SEIZE, int(sys.argv[1]), 0, 0), flush=True)
sys.stdin.read()
"""


def _sleep(pipe: Connection) -> None:
    pipe.send(("here", None))
    time.sleep(3600.0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="holds a process by Linux' ptrace")
def test_a_child_that_cannot_be_killed_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    child = Child("sleeper", _sleep)
    assert child.receive(WAIT_S) == ("here", None)
    with subprocess.Popen(
        [sys.executable, "-c", TRACER, str(child.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tracer:
        assert tracer.stdout is not None
        if tracer.stdout.readline().strip() != "0":
            child.kill()
            pytest.skip("this machine lets no process trace another")
        assert child.kill() is False
        assert child.is_alive
        assert child.end(0.0) is False
        assert "cannot be killed and is left behind" in caplog.text
        # Python joins its children at exit, without a limit; this one no longer counts among them.
        assert child._process not in multiprocessing.active_children()
        tracer.communicate("")
    child._process.join(WAIT_S)
    assert not child.is_alive
