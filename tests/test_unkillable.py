"""A process that cannot be killed holds nothing up."""

from __future__ import annotations

import multiprocessing
import signal
import time

from rtelasto.live.child_process import Child


def _sleep(pipe: object) -> None:
    while True:
        time.sleep(60.0)


def test_a_child_that_cannot_be_killed_is_left_behind(monkeypatch, caplog):
    child = Child("sleeper", _sleep)
    process = child._process
    try:
        # No process can be put into an uninterruptible call on demand: here the signal does not arrive.
        monkeypatch.setattr(process, "kill", lambda: None)
        assert not child.kill()
        assert not child.end(0.0)
        assert "cannot be killed and is left behind" in caplog.text
        # Python joins its children at exit, without a limit; this one no longer counts among them.
        assert process not in multiprocessing.active_children()
    finally:
        import os

        os.kill(process.pid, signal.SIGKILL)
        process.join()
