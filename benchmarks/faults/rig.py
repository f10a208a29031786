"""A live run under faults: scanner → link → ``rtelasto run`` → subscriber, each in its own process.

The subscriber is the calling process. The only difference from real use is that the scanner obeys commands.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
import psutil

from benchmarks.faults.link import Link
from rtelasto.bench.rig import free_endpoint
from rtelasto.closing import Closing
from rtelasto.frames.rf import RfFormat
from rtelasto.telemetry.counters import unaccounted
from rtelasto.transport.receivers import StrainReceiver

PUBLISHED = RfFormat(
    n_lines=128, n_samples=2608, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
)
# More than anything takes on a machine that is also busy with other work.
_PATIENCE_S = 90.0
# A run that finds no compiled code compiles for minutes on a busy machine.
_READY_S = 300.0
# Unless the fault is that a process hangs, one that is kept waiting on a busy machine does not.
_PATIENT = ("--hang-s", "60")
_LOOK_S = 0.01
_SCANNER = (sys.executable, "-m", "benchmarks.faults.scanner")
# Number of statuses within which an idle run must finish its queued frames.
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """A strain frame at the subscriber; ``acquired_ns`` is on the scanner's clock."""

    arrived_ns: int
    acquired_ns: int
    clock: str
    stale: bool


@dataclass(frozen=True, slots=True)
class Remote:
    """A scanner on another machine: the command prefix for programs there, the endpoint, and the keys."""

    prefix: tuple[str, ...]
    endpoint: str
    keys: Path


class Scanner:
    """The process of the scanner, and the count of all frames that it sent, across restarts.

    ``others_sent`` counts the frames of other senders in its place.
    """

    def __init__(
        self, folder: Path, rf_format: RfFormat, fps: float, remote: Remote | None
    ) -> None:
        self.others_sent = 0
        self._prefix = () if remote is None else remote.prefix
        self._options = {
            "endpoint": free_endpoint() if remote is None else remote.endpoint,
            "keys": None if remote is None else str(remote.keys),
            "fps": fps,
            "format": asdict(rf_format),
            "tally": str(folder / "tally"),
        }
        np.zeros(2, np.int64).tofile(folder / "tally")
        self._tally = np.memmap(folder / "tally", np.int64, "r", shape=2)
        self.process = self._start()

    @property
    def sent(self) -> tuple[int, int]:
        """Frames and malformed messages handed to ZeroMQ so far."""
        return int(self._tally[0]) + self.others_sent, int(self._tally[1])

    def command(self, **command: object) -> None:
        """Send a command and wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        self._line()

    def kill(self) -> None:
        """Kill the process, like a power cut."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        """Let the process exit normally."""
        self.process.communicate(timeout=_PATIENCE_S)

    def restart(self) -> None:
        """Start another process on the same endpoint, sending; on return it is bound."""
        self.process = self._start()
        self.command(send=True)

    def _start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [*self._prefix, *_SCANNER, json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint: str = self._line()["endpoint"]
        self._options["endpoint"] = self.endpoint
        return self.process

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the scanner exited with code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class FaultRig(Closing):
    """A running scanner, link, run and subscriber, with strain flowing until `close`.

    Parameters
    ----------
    folder
        Scratch folder.
    rf_format, fps
        Format and rate of the scanner's frames.
    engine
        The value of ``rtelasto run --engine``.
    options
        Further arguments of ``rtelasto run``.
    environment
        Additional environment variables of the run.
    remote
        The scanner, if it is on another machine; there is no `Link` then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rf_format: RfFormat = PUBLISHED,
        fps: float = 20.0,
        engine: str = "cnn",
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        remote: Remote | None = None,
    ) -> None:
        self.folder = folder
        self.fps = fps
        self.rf_format = rf_format
        self.arrivals: list[Arrival] = []
        self.others_reported: list[str] = []
        self._arrived = threading.Condition()
        with ExitStack() as stack:
            self.scanner = Scanner(folder, rf_format, fps, remote)
            stack.callback(self._end_scanner)
            self.rf_endpoint, self.strain_endpoint = self.scanner.endpoint, free_endpoint()
            if remote is None:
                self.link = stack.enter_context(Link(self.scanner.endpoint))
                self.rf_endpoint = self.link.endpoint
            else:
                # With keys for the scanner, a TCP port of this machine would require them too.
                self.strain_endpoint = f"ipc://{folder}/strain"
            self.receiver = stack.enter_context(
                StrainReceiver(self.strain_endpoint, policy="every")
            )
            self._log_path = folder / "run.log"
            log = stack.enter_context(self._log_path.open("w", encoding="utf-8"))
            self._command = [sys.executable, "-m", "rtelasto", "run", "--engine", engine]
            self._command += [
                "--rf",
                self.rf_endpoint,
                "--strain",
                self.strain_endpoint,
                *(() if "--hang-s" in options else _PATIENT),
                *options,
            ]
            self._start = lambda: subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
            )
            self.run = self._start()
            stack.callback(self._end_run)
            threading.Thread(target=self._collect, name="collect", daemon=True).start()
            self.wait_until(
                lambda: self.receiver.counters["statuses"] > 0, "the run is not ready", _READY_S
            )
            self.scanner.command(send=True)
            self.wait_for_strain(0)
            self._open = stack.pop_all()

    def counters(self) -> dict[str, int]:
        """Return the counters from a status that the run sends after this call."""
        seen = self.receiver.counters["statuses"]
        # One status may already be in transit; the second one from now is certainly newer.
        self.wait_until(
            lambda: self.receiver.counters["statuses"] >= seen + 2, "the run sends no status"
        )
        assert self.receiver.status is not None
        return dict(self.receiver.status.counters)

    def quiet(self) -> dict[str, int]:
        """Stop the frames, and return the counters of the run once it is idle."""
        self.scanner.command(send=False)
        for _ in range(_LOOKS):
            counts = self.counters()
            if not unaccounted(counts):
                break
        # Frames that are still unaccounted for are reported by the next trial.
        return counts

    def report(self, line: str) -> None:
        """Record a message of a process other than the run."""
        self.others_reported.append(line.strip())

    def counted(self, name: str) -> int:
        """Return a counter of the run from its last status."""
        assert self.receiver.status is not None
        return self.receiver.status.counters.get(name, 0)

    def wait_for_strain(self, since_ns: int, count: int = 3) -> int:
        """Wait for ``count`` strain frames acquired after ``since_ns``; return the arrival time of the first.

        If the timestamps of the scanner are not on this machine's clock, the time of arrival counts instead.
        """
        found: list[Arrival] = []
        looked = 0
        deadline = time.monotonic() + _PATIENCE_S
        with self._arrived:
            while True:
                for arrival in self.arrivals[looked:]:
                    own = arrival.clock == "monotonic"
                    if (arrival.acquired_ns if own else arrival.arrived_ns) > since_ns:
                        found.append(arrival)
                looked = len(self.arrivals)
                if len(found) >= count:
                    return found[0].arrived_ns
                left = deadline - time.monotonic()
                if left <= 0.0 or not self._arrived.wait(left):
                    raise TimeoutError(f"no strain for {_PATIENCE_S:g} s:\n{self.log()[-3000:]}")

    def wait_until(
        self, condition: Callable[[], bool], complaint: str, patience_s: float = _PATIENCE_S
    ) -> None:
        """Wait until ``condition`` holds."""
        deadline = time.monotonic() + patience_s
        while not condition():
            if self.run.poll() is not None:
                raise RuntimeError(f"rtelasto run exited with {self.run.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{complaint} after {patience_s:g} s:\n{self.log()[-3000:]}")
            time.sleep(_LOOK_S)

    def log(self, start: int = 0) -> str:
        """Return the log of the run from a position on."""
        return self._log_path.read_text("utf-8", "replace")[start:]

    def worker(self) -> psutil.Process:
        """Return the process of the pipeline."""
        assert self.receiver.status is not None
        return psutil.Process(int(self.receiver.status.info["process"]))

    def restart_run(self) -> None:
        """Start the run again after it has exited."""
        self.run = self._start()

    def close(self) -> None:
        """Stop all processes. May be called twice."""
        self._open.close()

    def _collect(self) -> None:
        for message in self.receiver:
            frame = message.frame
            arrival = Arrival(
                monotonic_ns(), frame.acquired_ns, message.clock, getattr(frame, "stale", False)
            )
            with self._arrived:
                self.arrivals.append(arrival)
                self._arrived.notify_all()

    def _end_scanner(self) -> None:
        if self.scanner.process.poll() is None:
            self.scanner.process.send_signal(signal.SIGCONT)
            self.scanner.end()

    def _end_run(self) -> None:
        if self.run.poll() is None:
            self.run.send_signal(signal.SIGTERM)
            try:
                self.run.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.run.kill()
                self.run.wait()
