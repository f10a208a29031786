"""Faults of the scanner and of its sender."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from time import monotonic_ns

from benchmarks.faults.fault import Fault, needs_posix
from benchmarks.faults.rig import FaultRig

_PATIENCE_S = 60.0


def _killed(rig: FaultRig, long_s: float) -> int:
    rig.scanner.kill()
    rig.scanner.restart()
    return monotonic_ns()


def _restarted(rig: FaultRig, long_s: float) -> int:
    rig.scanner.end()
    rig.scanner.restart()
    return monotonic_ns()


def _paused(rig: FaultRig, long_s: float) -> int:
    rig.scanner.process.send_signal(signal.SIGSTOP)
    time.sleep(long_s)
    rig.scanner.process.send_signal(signal.SIGCONT)
    return monotonic_ns()


def _silent(rig: FaultRig, long_s: float) -> int:
    rig.scanner.command(send=False)
    time.sleep(long_s)
    rig.scanner.command(send=True)
    return monotonic_ns()


def _clock_stepped(step_s: float) -> Fault:
    def inflict(rig: FaultRig, long_s: float) -> int:
        rig.scanner.command(clock=["unix", 0.0])
        rig.wait_for_strain(monotonic_ns(), count=10)
        rig.scanner.command(clock=["unix", step_s])
        stepped_ns = monotonic_ns()
        rig.wait_for_strain(stepped_ns, count=10)
        rig.scanner.command(clock=["monotonic", 0.0])
        return stepped_ns

    way = "backwards" if step_s < 0.0 else "forwards"
    return Fault(
        f"clock steps {way}",
        f"the scanner's clock is set {way} by {abs(step_s):g} s",
        inflict,
        counters=("clock.steps",) if step_s < 0.0 else (),
        lossless=True,
    )


def _commanded(rig: FaultRig, **command: object) -> int:
    """Send a command whose effect ends with the affected frames."""
    rig.scanner.command(**command)
    done_ns = monotonic_ns()
    rig.wait_for_strain(done_ns, count=5)
    return done_ns


def _depth(rig: FaultRig, long_s: float) -> int:
    rig.scanner.command(depth=rig.rf_format.n_samples * 3 // 4)
    rig.wait_for_strain(monotonic_ns(), count=5)
    rig.scanner.command(depth=rig.rf_format.n_samples)
    return monotonic_ns()


def _late(rig: FaultRig, long_s: float) -> int:
    rig.scanner.end()
    time.sleep(long_s)
    rig.scanner.restart()
    return monotonic_ns()


def _second_sender(rig: FaultRig, long_s: float) -> int:
    second = [sys.executable, "-m", "rtelasto", "simulate", str(rig.folder / "second.h5")]
    subprocess.run(
        [*second, "--frames", "2", "--motion", "ideal", "--no-truth"],
        check=True,
        capture_output=True,
    )
    command = [sys.executable, "-m", "rtelasto", "replay", str(rig.folder / "second.h5")]
    refused = subprocess.run(
        [*command, "--rf", rig.scanner.endpoint], capture_output=True, text=True, check=False
    )
    if refused.returncode != 2 or "in use" not in refused.stderr:
        raise RuntimeError(f"a second sender was not refused: {refused}")
    rig.report(refused.stderr)
    return monotonic_ns()


def _foreign_server(rig: FaultRig, long_s: float) -> int:
    """Let another server accept connections on the scanner's port."""
    rig.scanner.end()
    port = int(rig.scanner.endpoint.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(_PATIENCE_S)
        give_up = time.monotonic() + long_s
        while time.monotonic() < give_up:
            client, _ = server.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
    rig.scanner.restart()
    return monotonic_ns()


FAULTS = (
    Fault(
        "sender killed",
        "SIGKILL, then another sender on its endpoint",
        _killed,
        ("restarts",),
        kills_sender=True,
    ),
    Fault("sender restarted", "exits normally, then another sender", _restarted, ("restarts",)),
    Fault(
        "sender paused",
        "SIGSTOP, connection kept",
        _paused,
        needs=needs_posix,
    ),
    Fault(
        "scanner silent",
        "freeze at the scanner: no frames, connection kept",
        _silent,
        lossless=True,
    ),
    Fault("sender late", "no sender for some time, then one", _late, ("restarts",)),
    Fault(
        "foreign server on the port",
        "an HTTP server in place of the sender",
        _foreign_server,
        ("refused",),
    ),
    Fault("second sender", "another sender with the same port", _second_sender, lossless=True),
    _clock_stepped(-10.0),
    _clock_stepped(10.0),
    Fault(
        "frames twice",
        "10 messages sent twice",
        lambda rig, _: _commanded(rig, repeat=10),
        ("repeated",),
    ),
    Fault(
        "frames out of order",
        "10 pairs of messages swapped",
        lambda rig, _: _commanded(rig, swap=10),
        ("out_of_order",),
    ),
    Fault(
        "frames skipped",
        "the scanner skips 7 acquisitions",
        lambda rig, _: _commanded(rig, skip=7),
        ("gaps",),
    ),
    Fault(
        "depth changed",
        "another number of samples, then the old one",
        _depth,
        ("pair.reset.format",),
    ),
    Fault(
        "no image in frames",
        "constant and non-finite frames",
        lambda rig, _: _commanded(rig, blank=4),
        ("frame.constant", "frame.nonfinite"),
    ),
    Fault(
        "malformed messages",
        "150 messages between the frames that violate the format in 15 ways",
        lambda rig, _: _commanded(rig, malformed=150),
        ("malformed.header", "malformed.size"),
    ),
    Fault(
        "message too large",
        "64 MiB and a byte in one part",
        lambda rig, _: _commanded(rig, oversize=1),
        ("disconnected",),
    ),
)
