"""`record --fsync`: a closed segment is on the disk, as the system calls of the process show."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import processes
import pytest
from waiting import WAIT_S

pytest.importorskip("hdf5plugin", reason="the record extra is not installed")
if shutil.which("strace") is None:
    pytest.skip("strace is not installed", allow_module_level=True)

from rtelasto.bench.rig import free_endpoint
from rtelasto.frames.rf import RfFormat
from rtelasto.transport.rf_sender import RfSender

pytestmark = pytest.mark.slow

FORMAT = RfFormat(
    n_lines=8, n_samples=200, sampling_freq_hz=40e6, center_freq_hz=6e6, line_pitch_m=2e-4
)
SEGMENTS = ("rf-01-00001.h5", "rf-01-00002.h5")
_CALL = re.compile(r"(fsync|rename)\w*\((?:\d+<|\")([^>\"]+)")


def calls_of_record(folder: Path, *options: str) -> list[tuple[str, str]]:
    """Record two segments: the calls of `record` that flush or rename, each with the name it is given."""
    trace = folder / "trace"
    with RfSender("tcp://127.0.0.1:0", clock="recording") as sender:
        record = processes.command(
            *("record", folder / "new" / "scan", "--rf", sender.endpoint),
            *("--strain", free_endpoint(), *options),
        )
        # -D: the process that is started is `record` itself, with strace beside it.
        strace = (
            "strace",
            "-D",
            "-f",
            "-y",
            "-e",
            "trace=fsync,rename,renameat,renameat2",
            "-o",
            trace,
        )
        process = subprocess.Popen([*strace, *record], stdout=subprocess.PIPE, text=True)
        try:
            assert sender.wait_for_subscriber(WAIT_S)
            for number, segment in enumerate(SEGMENTS):
                sender.send(np.zeros((8, 200), np.int16), FORMAT, acquired_ns=1 + number)
                while not (folder / "new" / "scan" / segment).exists():
                    assert process.poll() is None
                    time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            # Ends when strace does, too, which holds the same pipe.
            process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 0
    found = _CALL.findall(trace.read_text())
    return [(call, _without_random(os.path.relpath(path, folder))) for call, path in found]


def _without_random(name: str) -> str:
    return re.sub(r"\.[0-9a-f]{8}\.tmp$", ".tmp", name)


def test_each_segment_is_flushed_before_it_has_its_name_and_its_folder_after(
    tmp_path: Path,
) -> None:
    calls = calls_of_record(tmp_path, "--fsync")
    # The names of the folders that were made, from the inside out; whether the folder takes it; segments.
    assert calls[:3] == [("fsync", "new"), ("fsync", "."), ("fsync", "new/scan")]
    assert calls[3:] == [
        step
        for name in SEGMENTS
        for step in (
            ("fsync", f"new/scan/.{name}.tmp"),
            ("rename", f"new/scan/.{name}.tmp"),
            ("fsync", "new/scan"),
        )
    ]


def test_nothing_is_flushed_where_it_was_not_asked_for(tmp_path: Path) -> None:
    calls = calls_of_record(tmp_path)
    assert [call for call, _ in calls] == ["rename"] * len(SEGMENTS)
