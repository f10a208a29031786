"""A live run under measurement: a sender, ``rtelasto run`` and a subscriber, each in its own process.

The subscriber is the calling process. All timestamps use the monotonic clock of the machine.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from time import monotonic_ns
from typing import IO, Any

import psutil

from rtelasto.bench.rf_sender import Sent
from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto.host.signal_mask import kept_from_children
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.wire.strain import StrainMessage

# More than loading and compiling take on a slow machine.
_START_S = 120.0
_STOP_S = 30.0
# A pipeline that has sent nothing for this long after the last RF frame has finished.
_QUIET_NS = 3_000_000_000
_STATUS_S = 10.0
_LOOK_S = 0.05
_USAGE_PERIOD_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One strain frame: when its RF was sent, it was published and it arrived, monotonic ns."""

    pre_id: int
    post_id: int
    sent_ns: int
    published_ns: int
    arrived_ns: int
    stage_ns: dict[str, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources of ``rtelasto run`` and its processes: resident memory, and open files and sockets."""

    at_ns: int
    memory_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Burst:
    """The results of a burst of frames; ``usage`` is sampled every half second."""

    sent: Sent
    arrivals: list[Arrival]
    usage: list[Usage]

    @property
    def lost(self) -> int:
        """RF frames that did not become strain."""
        return self.sent.frames - len(self.arrivals)


def free_endpoint() -> str:
    """Return an endpoint with a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def _sender_command(rf_format: RfFormat | None) -> list[str]:
    command = [sys.executable, "-m", "rtelasto.bench.rf_sender"]
    return command if rf_format is None else [*command, json.dumps(asdict(rf_format))]


@contextmanager
def _process(command: list[str], errors: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a process; at the end of the block, terminate it, and kill it if it does not exit."""
    with kept_from_children():
        started = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    with started as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


class Rig(Closing):
    """Sender, pipeline and subscriber, running until closed.

    Parameters
    ----------
    engine
        The value of ``rtelasto run --engine``.
    options
        Further arguments of ``rtelasto run``.
    rf_format
        Format of the frames; 2608 × 128 as published if None.

    Attributes
    ----------
    started_ns, ready_ns
        Times of the start of the pipeline's process and of its first status, monotonic.
    receiver
        The subscriber.

    Raises
    ------
    RtelastoError
        If the pipeline exits instead of starting; the message contains its error output.
    """

    def __init__(
        self, engine: str, options: tuple[str, ...] = (), rf_format: RfFormat | None = None
    ) -> None:
        self._sent_frames = 0
        with ExitStack() as stack:
            self._errors = stack.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
            )
            self._sender = stack.enter_context(_process(_sender_command(rf_format)))
            rf, strain = str(self._sender_line()["endpoint"]), free_endpoint()
            self.receiver = stack.enter_context(StrainReceiver(strain, policy="every"))
            self.started_ns = monotonic_ns()
            command = [sys.executable, "-m", "rtelasto", "run", "--engine", engine]
            self._pipeline = stack.enter_context(
                _process([*command, "--rf", rf, "--strain", strain, *options], self._errors)
            )
            self._wait_until_ready()
            self.ready_ns = monotonic_ns()
            self._open = stack.pop_all()

    def burst(self, fps: float, frames: int) -> Burst:
        """Have ``frames`` frames sent at ``fps``, and receive their strain."""
        assert self._sender.stdin is not None
        self._sender.stdin.write(json.dumps({"fps": fps, "frames": frames}) + "\n")
        self._sender.stdin.flush()
        self._sent_frames += frames
        replies: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: replies.append(self._sender_line()))
        reader.start()
        arrivals: list[Arrival] = []
        usage: list[Usage] = []
        last_ns, usage_due_ns = monotonic_ns(), 0
        while True:
            message = self.receiver.get(_LOOK_S)
            now_ns = monotonic_ns()
            if message is not None:
                arrivals.append(_arrival(message, now_ns))
                last_ns = now_ns
            if reader.is_alive():
                last_ns = now_ns
            elif now_ns - last_ns > _QUIET_NS or self._is_last(arrivals):
                break
            if now_ns >= usage_due_ns:
                self._check_pipeline()
                usage.append(self._usage())
                usage_due_ns = now_ns + _USAGE_PERIOD_NS
        reader.join()
        return Burst(Sent(**replies[0]), arrivals, usage)

    def counters(self) -> dict[str, int]:
        """Return the counters from a status sent after this call, which takes a second or two."""
        seen = self.receiver.counters["statuses"]
        # One status may already be in transit; the second one from now is certainly newer.
        self.receiver.counters.wait_for("statuses", seen + 2, _STATUS_S)
        status = self.receiver.status
        return {} if status is None else dict(status.counters)

    def close(self) -> None:
        """Stop the processes. May be called twice."""
        self._open.close()

    def _is_last(self, arrivals: list[Arrival]) -> bool:
        return bool(arrivals) and arrivals[-1].post_id == self._sent_frames - 1

    def _sender_line(self) -> dict[str, Any]:
        assert self._sender.stdout is not None
        line = self._sender.stdout.readline()
        if not line:
            raise RuntimeError(f"the sender exited with code {self._sender.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _wait_until_ready(self) -> None:
        deadline_ns = monotonic_ns() + round(_START_S * 1e9)
        while not self.receiver.counters.wait_for("statuses", 1, _LOOK_S):
            self._check_pipeline()
            if monotonic_ns() > deadline_ns:
                raise RtelastoError(f"rtelasto run was not ready after {_START_S:g} s")

    def _check_pipeline(self) -> None:
        if self._pipeline.poll() is not None:
            self._errors.seek(0)
            error = self._errors.read().strip() or f"exit code {self._pipeline.returncode}"
            raise RtelastoError(f"rtelasto run exited: {error}")

    def _usage(self) -> Usage:
        run = psutil.Process(self._pipeline.pid)
        memory_bytes = descriptors = 0
        for process in (run, *run.children(recursive=True)):
            # A process that is being replaced may already have exited.
            with suppress(psutil.NoSuchProcess):
                memory_bytes += process.memory_info().rss
                descriptors += process.num_handles() if psutil.WINDOWS else process.num_fds()
        return Usage(monotonic_ns(), memory_bytes, descriptors)


def _arrival(message: StrainMessage, arrived_ns: int) -> Arrival:
    frame = message.frame
    return Arrival(
        *frame.frame_ids, frame.acquired_ns, frame.published_ns, arrived_ns, dict(frame.stage_ns)
    )
