"""A live run whose process is killed, stopped, starved and orphaned: real processes, every frame counted."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from urllib.request import urlopen

import processes
import psutil
import pytest
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.bench.stages import timing_frames
from rtelasto.errors import ExitCode
from rtelasto.frames.rf import RfFormat
from rtelasto.telemetry.counters import unaccounted
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.rf_sender import RfSender

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")

FORMAT = RfFormat(
    n_lines=32, n_samples=768, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)
LARGE = RfFormat(
    n_lines=256, n_samples=4096, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
)


@dataclass
class Rig:
    """``rtelasto run`` between a sender and a subscriber of the test's."""

    sender: RfSender
    receiver: StrainReceiver
    run: subprocess.Popen[str]

    def stream(self, until: Callable[[], bool], rf_format: RfFormat = FORMAT) -> None:
        """Send until it is so."""
        frames = timing_frames(rf_format)
        give_up = time.monotonic() + WAIT_S
        while not until():
            assert time.monotonic() < give_up, self.receiver.counters.snapshot()
            for frame in frames:
                self.sender.send(frame.samples, rf_format)
                time.sleep(0.01)

    def stream_anew(self, rf_format: RfFormat = FORMAT) -> None:
        """Send until strain comes from a process other than the one that it last came from."""
        before = self.receiver.counters["restarts"]
        self.stream(lambda: self.receiver.counters["restarts"] > before, rf_format)

    def worker(self) -> int:
        """The process that the pipeline works in now."""
        seen = self.receiver.counters["statuses"]
        assert self.receiver.counters.wait_for("statuses", seen + 1, WAIT_S)
        return processes.process_of(self.receiver.status)

    def finish(self, until: str = "") -> dict[str, int]:
        """Stop it and give its counters."""
        self.run.send_signal(signal.SIGTERM)
        output, errors = self.run.communicate(timeout=WAIT_S)
        assert self.run.returncode == 0, errors
        assert until in errors
        rows = processes.table(output)
        counts = {name: int(value) for name, value in rows.items() if value.isdecimal()}
        counts["received"] = counts["RF frames in"]
        counts["strain.out"] = counts["strain frames out"]
        return counts


@contextmanager
def rig(*options: str) -> Iterator[Rig]:
    strain = free_endpoint()
    with (
        RfSender("tcp://127.0.0.1:0") as sender,
        StrainReceiver(strain) as receiver,
        processes.running(
            *("run", "--rf", sender.endpoint, "--strain", strain, "--engine", "ncc", *options)
        ) as run,
    ):
        assert receiver.counters.wait_for("statuses", 1, WAIT_S)
        yield Rig(sender, receiver, run)


def check_frames(counts: dict[str, int], sent: dict[str, int]) -> None:
    """Everything sent was received or is known to be missing; everything received became something."""
    assert unaccounted(counts) == 0
    missing = counts.get("lost_on_wire", 0) + counts.get("missed_at_join", 0)
    # The newest messages may still have been on their way when the run stopped.
    assert 0 <= sent["sent"] - counts["received"] - missing <= 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, "crashed"),
        (signal.SIGSTOP, "hung"),
    ],
)
def test_a_process_that_dies_or_hangs_is_replaced(number: signal.Signals, cause: str) -> None:
    pytest.importorskip("prometheus_client", reason="the metrics extra is not installed")
    port = free_endpoint().rpartition(":")[2]
    with rig("--hang-s", "1", "--metrics", port) as live:
        live.stream(lambda: live.receiver.counters["received"] > 3)
        first = live.worker()
        os.kill(first, number)
        live.stream_anew()
        assert live.worker() != first
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        assert f'rtelasto_events_total{{event="worker.{cause}"}} 1.0' in metrics
        assert not psutil.pid_exists(first)
        counts = live.finish(until="restarting it")
        check_frames(counts, live.sender.counters.snapshot())
    assert counts[f"worker.{cause}"] == counts["worker.restarts"] == 1
    assert counts["gaps"] == counts["lost_on_wire"] > 0


@pytest.mark.slow
def test_a_process_without_memory_is_replaced() -> None:
    with rig() as live:
        live.stream(lambda: live.receiver.counters["received"] > 3)
        worker = psutil.Process(live.worker())
        limit = worker.memory_info().vms + 8 * 1024 * 1024
        worker.rlimit(psutil.RLIMIT_AS, (limit, limit))
        live.stream_anew(LARGE)
        counts = live.finish(until="restarting it")
        check_frames(counts, live.sender.counters.snapshot())
    # By an exception, or by a library that ends the process where it gets no memory.
    assert counts.get("worker.failed", 0) + counts.get("worker.crashed", 0) >= 1


@pytest.mark.slow
def test_a_process_that_keeps_dying_is_given_up() -> None:
    with rig() as live:
        run = psutil.Process(live.run.pid)
        give_up = time.monotonic() + WAIT_S
        while live.run.poll() is None:
            assert time.monotonic() < give_up
            # A process may be gone between two looks at it.
            with suppress(psutil.NoSuchProcess):
                for child in run.children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
            time.sleep(0.02)
        output, errors = live.run.communicate(timeout=WAIT_S)
    assert live.run.returncode == ExitCode.KEEPS_FAILING == 75
    assert "Traceback" not in errors
    assert re.search(r"rtelasto: the pipeline was ended by SIGKILL, for the 5th time", errors)
    assert processes.table(output)["worker.crashed"] == "5"


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True])
def test_nothing_stays_behind_when_the_run_is_killed(busy: bool) -> None:
    with rig() as live:
        worker = psutil.Process(live.worker())
        if busy:
            # It works on frames while we kill.
            live.stream(lambda: live.receiver.counters["received"] > 3)
            stop = threading.Event()
            sending = threading.Thread(target=live.stream, args=(stop.is_set,))
            sending.start()
        live.run.kill()
        psutil.wait_procs([worker], timeout=WAIT_S)
        assert not worker.is_running()
        if busy:
            stop.set()
            sending.join()
        port = int(live.receiver.endpoint.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            pass


@pytest.mark.slow
def test_it_stops_while_it_loads() -> None:
    with processes.running(
        "run", "--rf", free_endpoint(), "--strain", free_endpoint(), "--engine", "ncc"
    ) as run:
        process = psutil.Process(run.pid)
        while not process.children():
            time.sleep(0.01)
        run.send_signal(signal.SIGTERM)
        errors = run.communicate(timeout=WAIT_S)[1]
    assert run.returncode == 0, errors


@contextmanager
def service_manager(path: Path) -> Iterator[Queue[bytes]]:
    """What a service manager at ``path`` is told, as it comes; the environment names it meanwhile."""
    told: Queue[bytes] = Queue()

    def listen() -> None:
        while message := manager.recv(4096):
            told.put(message)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        listening = threading.Thread(target=listen)
        listening.start()
        os.environ |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        try:
            yield told
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as closing:
                closing.sendto(b"", str(path))
            listening.join()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_systemd_hears_of_it_only_while_the_pipeline_moves(tmp_path: Path) -> None:
    with service_manager(tmp_path / "notify") as told, rig("--hang-s", "30") as live:
        ready = told.get(timeout=WAIT_S)
        assert ready.startswith(b"READY=1\nSTATUS=strain on tcp://127.0.0.1:")
        assert told.get(timeout=WAIT_S) == b"WATCHDOG=1"
        worker = live.worker()
        os.kill(worker, signal.SIGSTOP)
        # What was said before; then nothing for ten times as long as it should take.
        with suppress(Empty):
            for _ in range(100):
                told.get(timeout=1.0)
            pytest.fail("the watchdog is fed although the pipeline stands still")
        os.kill(worker, signal.SIGCONT)
        assert told.get(timeout=WAIT_S) == b"WATCHDOG=1"
        live.finish()
        last = b""
        while not told.empty():
            last = told.get()
        assert last == b"STOPPING=1"
