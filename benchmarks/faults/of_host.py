"""Faults of the host: its processes, memory, disk, GPU, and other programs on it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic_ns

import psutil

from benchmarks.faults.fault import (
    Fault,
    Setting,
    needs_compiler,
    needs_linux,
    needs_mount,
    needs_posix,
)
from benchmarks.faults.rig import FaultRig

_PATIENCE_S = 60.0
_HANG_S = 2.0
_CONNECTIONS = 200
_GPU_FOLDER = Path(__file__).parent / "lost_gpu"


def _worker_killed(rig: FaultRig, long_s: float) -> int:
    rig.worker().kill()
    return monotonic_ns()


def _worker_hung(rig: FaultRig, long_s: float) -> int:
    rig.worker().suspend()
    return monotonic_ns()


def _out_of_memory(rig: FaultRig, long_s: float) -> int:
    """Refuse any more memory to the worker, and send frames eight times as deep, which need more."""
    worker = rig.worker()
    worker.rlimit(psutil.RLIMIT_AS, (2**20, 2**20))
    rig.scanner.command(depth=rig.rf_format.n_samples * 8)
    rig.wait_until(lambda: not worker.is_running(), "the worker did not exit without memory")
    ended_ns = monotonic_ns()
    rig.scanner.command(depth=rig.rf_format.n_samples)
    return ended_ns


def _gpu_lost(rig: FaultRig, long_s: float) -> int:
    worker = rig.worker()
    (rig.folder / "lost").write_text(str(worker.pid))
    rig.wait_until(lambda: not worker.is_running(), "the worker did not exit without its GPU")
    return monotonic_ns()


@contextmanager
def _simulated_gpu(folder: Path) -> Iterator[Setting]:
    """Set up a run with a GPU that can be lost."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/helpers"))
    from host_kernels import compile_for_host

    compile_for_host(folder)
    (folder / "lost").write_text("")
    environment = {
        "PYTHONPATH": str(_GPU_FOLDER),
        "RTELASTO_LOST_GPU": str(folder / "lost"),
        "RTELASTO_HOST_KERNELS": str(folder / "kernels.so"),
    }
    yield Setting(environment=environment)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Setting]:
    """Set up a run that records to a separate disk."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "rtelasto", str(disk)], check=True)
    try:
        yield Setting(("--record", str(disk / "recording")))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def _recording(folder: Path) -> Iterator[Setting]:
    yield Setting(("--record", str(folder / "recording")))


@contextmanager
def _impatient(folder: Path) -> Iterator[Setting]:
    yield Setting(("--hang-s", f"{_HANG_S:g}"))


@contextmanager
def _alone(folder: Path) -> Iterator[Setting]:
    yield Setting()


def _run_killed(rig: FaultRig, long_s: float) -> int:
    rig.run.kill()
    rig.run.wait()
    rig.restart_run()
    return monotonic_ns()


@contextmanager
def _command(rig: FaultRig, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command of rtelasto in addition to the run."""
    with subprocess.Popen(
        [sys.executable, "-m", "rtelasto", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _counts(table: str) -> Counter[str]:
    """Return the whole numbers in the final table of a command."""
    rows = re.findall(r"^ *(\S.*?) {2,}(\d+) *$", table, re.MULTILINE)
    return Counter({name: int(count) for name, count in rows})


def _subscriber_stopped(rig: FaultRig, long_s: float) -> int:
    folder = str(rig.folder / "subscriber")
    with _command(
        rig, "record", folder, "--rf", rig.rf_endpoint, "--strain", rig.strain_endpoint,
        "--buffer-frames", "8",
    ) as recorder:  # fmt: skip
        rig.wait_until(lambda: any(Path(folder).glob("strain-*.h5")), "nothing is recorded")
        recorder.send_signal(signal.SIGSTOP)
        time.sleep(10.0 * long_s)
        recorder.send_signal(signal.SIGCONT)
        resumed_ns = monotonic_ns()
        rig.wait_for_strain(resumed_ns, count=round(rig.fps))
        recorder.send_signal(signal.SIGTERM)
        output, _ = recorder.communicate(timeout=_PATIENCE_S)
    counts = _counts(output)
    missed = counts["strain.lost_on_wire"] + counts["strain.overflow"]
    if not missed:
        raise RuntimeError(f"a stopped subscriber missed no frames: {output}")
    rig.report(f"the recorder: {missed} strain frames missed")
    return resumed_ns


def _subscriber_killed(rig: FaultRig, long_s: float) -> int:
    with _command(rig, "view", "--strain", rig.strain_endpoint, "--port", "0") as viewer:
        assert viewer.stderr is not None
        while "Ctrl-C" not in viewer.stderr.readline():
            assert viewer.poll() is None, "the viewer exited"
        viewer.kill()
    return monotonic_ns()


def _strangers(rig: FaultRig, long_s: float) -> int:
    """Open connections to the strain port that do not speak ZeroMQ."""
    port = int(rig.strain_endpoint.rpartition(":")[2])
    with ExitStack() as stack:
        for index in range(_CONNECTIONS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), _PATIENCE_S))
            if index % 2:
                client.sendall(b"GET / HTTP/1.1\r\nHost: scanner\r\n\r\n")
        rig.wait_for_strain(monotonic_ns(), count=round(long_s * rig.fps))
    return monotonic_ns()


def _busy(rig: FaultRig, long_s: float) -> int:
    """Start twice as many busy processes as there are cores."""
    burn = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(burn) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        time.sleep(long_s)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return monotonic_ns()


def _disk_full(rig: FaultRig, long_s: float) -> int:
    disk = rig.folder / "disk"
    recorded = lambda: len(list((disk / "recording").glob("rf-*.h5")))  # noqa: E731
    rig.wait_until(lambda: recorded() > 0, "nothing is recorded")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        chunk = bytes(65536)
        try:
            while True:
                file.write(chunk)
        except OSError:
            pass
    mark = len(rig.log())
    rig.wait_until(lambda: "No space left" in rig.log(mark), "the full disk was not reported")
    time.sleep(long_s)
    filler.unlink()
    freed_ns = monotonic_ns()
    before = recorded()
    rig.wait_until(lambda: recorded() > before, "recording did not continue")
    return freed_ns


def _recorder_killed(rig: FaultRig, long_s: float) -> int:
    recorders = [
        child
        for child in psutil.Process(rig.run.pid).children()
        if child.pid != rig.worker().pid and "spawn_main" in " ".join(child.cmdline())
    ]
    if not recorders:
        raise RuntimeError("there is no recorder to kill")
    mark = len(rig.log())
    for recorder in recorders:
        recorder.kill()
    killed_ns = monotonic_ns()
    rig.wait_until(
        lambda: "recorder exited unexpectedly" in rig.log(mark),
        "the killed recorder was not reported",
    )
    return killed_ns


def _replaced_file(rig: FaultRig, long_s: float, *, in_place: bool) -> int:
    """Replace a recording while it is replayed, then restart the scanner."""
    rig.scanner.end()
    for name, seed in (("press", 1), ("other", 2)):
        arguments = [
            "simulate",
            str(rig.folder / f"{name}.h5"),
            "--frames",
            "4",
            "--seed",
            str(seed),
        ]
        with _command(rig, *arguments, "--motion", "ideal", "--no-truth") as simulating:
            simulating.communicate(timeout=_PATIENCE_S)
    press, other = rig.folder / "press.h5", rig.folder / "other.h5"
    replay = ["replay", str(press), "--rf", rig.scanner.endpoint, "--fps", str(rig.fps), "--loop"]
    with _command(rig, *replay) as replaying:
        rig.wait_for_strain(monotonic_ns())
        if in_place:
            # The replay notices at the start of the next round, and exits.
            press.write_bytes(other.read_bytes()[: other.stat().st_size // 2])
        else:
            other.replace(press)
            time.sleep(long_s)
            if replaying.poll() is None:
                replaying.send_signal(signal.SIGTERM)
        table, errors = replaying.communicate(timeout=_PATIENCE_S)
    if replaying.returncode != (2 if in_place else 0) or "Traceback" in errors:
        raise RuntimeError(f"replay exited with {replaying.returncode}: {errors}")
    if in_place:
        rig.report(f"replay: {errors.strip().splitlines()[-1]}")
    rig.scanner.others_sent += _counts(table)["frames sent"]
    rig.scanner.restart()
    return monotonic_ns()


FAULTS = (
    Fault(
        "engine killed",
        "SIGKILL to the pipeline's process, as the kernel does when memory is short",
        _worker_killed,
        ("worker.restarts", "worker.crashed"),
        kills_run=True,
        needs=needs_posix,
    ),
    Fault(
        "engine hangs",
        f"SIGSTOP to the pipeline's process, --hang-s {_HANG_S:g}",
        _worker_hung,
        ("worker.restarts", "worker.hung"),
        kills_run=True,
        setting=_impatient,
        needs=needs_posix,
    ),
    Fault(
        "engine out of memory",
        "the pipeline's process is refused any more memory",
        _out_of_memory,
        ("worker.restarts",),
        kills_run=True,
        needs=needs_linux,
    ),
    Fault(
        "GPU lost",
        "copies between host and device fail permanently in this process (simulated device)",
        _gpu_lost,
        ("worker.restarts", "worker.failed"),
        kills_run=True,
        setting=_simulated_gpu,
        needs=needs_compiler,
    ),
    Fault(
        "run killed",
        "SIGKILL to rtelasto run, then a restart",
        _run_killed,
        ("missed_at_join",),
        setting=_alone,
        new_run=True,
        needs=needs_posix,
    ),
    Fault(
        "subscriber stopped",
        "SIGSTOP to a recorder",
        _subscriber_stopped,
        needs=needs_posix,
        lossless=True,
    ),
    Fault(
        "subscriber killed",
        "SIGKILL to a viewer",
        _subscriber_killed,
        needs=needs_posix,
        lossless=True,
    ),
    Fault(
        "foreign connections to the strain port",
        f"{_CONNECTIONS} connections that send HTTP or nothing",
        _strangers,
        lossless=True,
    ),
    Fault("processor busy", "two busy processes for every core", _busy),
    Fault(
        "disk full",
        "the disk of --record fills up, then has space again",
        _disk_full,
        setting=_small_disk,
        needs=needs_mount,
        lossless=True,
    ),
    Fault(
        "recorder killed",
        "SIGKILL to the recorder of --record",
        _recorder_killed,
        setting=_recording,
        needs=needs_posix,
        lossless=True,
    ),
    Fault(
        "file replaced in replay",
        "another recording renamed over the one being replayed",
        lambda rig, long_s: _replaced_file(rig, long_s, in_place=False),
        ("restarts",),
    ),
    Fault(
        "file overwritten in replay",
        "half of another recording written into the one being replayed",
        lambda rig, long_s: _replaced_file(rig, long_s, in_place=True),
        ("restarts",),
    ),
)
