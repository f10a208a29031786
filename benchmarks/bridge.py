"""The cost of sending in the scanner's loop, and the time until frames flow after a receiver is killed.

    python -m benchmarks.bridge

Octave sends 2608 × 128 int16 at 100 frames/s through the MEX. It times each call of rtelasto_mex('send') in
Octave, including the interpreter, and, in the receiver's process, the time from opening its socket to its
first frame. The start of Octave and Python is excluded. Receivers are killed (SIGKILL) and restarted while
the sender continues; calls in the second after each kill and start are compared with the others.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.octave import built_bridge, octave
from rtelasto.bench.rig import free_endpoint

RATE_HZ = 100
CYCLES = 4
PHASE_S = 2.5
RECEIVER = """
import sys, time
from rtelasto.transport.receivers import Receiver
opened = time.monotonic_ns()
with Receiver(sys.argv[1]) as receiver:
    frame = receiver.get(60.0)
    print(opened, time.monotonic_ns(), frame.frame_id, frame.acquired_ns, flush=True)
    for frame in receiver:
        pass
"""


@dataclass
class Measured:
    """Seconds to the first frame, times of events (monotonic s), and the time at which frame 0 was sent."""

    first_frame_s: list[float] = field(default_factory=list)
    events_s: list[float] = field(default_factory=list)
    begin_s: float = 0.0


def receiver(endpoint: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RECEIVER, endpoint], stdout=subprocess.PIPE, text=True
    )


def first_frame(process: subprocess.Popen[str]) -> tuple[int, int, int, int]:
    """Return when the socket was opened, when the first frame arrived, its id, and when it was sent; ns."""
    assert process.stdout is not None
    opened, came, frame_id, sent = map(int, process.stdout.readline().split())
    return opened, came, frame_id, sent


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def come_and_go(endpoint: str) -> Measured:
    """Start and kill receivers while a sender continues."""
    measured = Measured()
    for _ in range(CYCLES):
        process = receiver(endpoint)
        opened, came, frame_id, sent = first_frame(process)
        measured.first_frame_s.append((came - opened) / 1e9)
        measured.begin_s = sent / 1e9 - frame_id / RATE_HZ
        measured.events_s.append(opened / 1e9)
        time.sleep(PHASE_S)
        measured.events_s.append(time.monotonic())
        kill(process)
        time.sleep(PHASE_S)
    return measured


def figures(took_us: np.ndarray) -> str:
    p50, p99 = np.percentile(took_us, [50, 99])
    return (
        f"p50 {p50:.0f} µs, p99 {p99:.0f} µs, max {took_us.max():.0f} µs; "
        f"{np.count_nonzero(took_us > 2000)} of {took_us.size} calls over 2 ms"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bridge, log = built_bridge(Path(folder)), Path(folder) / "calls.txt"
        endpoint = free_endpoint()

        def send(seconds: float) -> subprocess.Popen[str]:
            return octave(bridge, f"bridge_send('{endpoint}', {seconds}, {RATE_HZ}, '{log}');")

        alone = send(3).communicate()[0].split()
        print(f"no subscriber: {figures(np.loadtxt(log).T[1])}; sent {alone[0]}")

        waiting = receiver(endpoint)
        sender = send(5)
        _, _, frame_id, _ = first_frame(waiting)
        print(f"sender started last: the first frame received was number {frame_id} at {RATE_HZ}/s")
        sender.communicate()
        kill(waiting)
        print(f"one receiver: {figures(np.loadtxt(log).T[1])}")

        sender = send(4 * PHASE_S * CYCLES)
        measured = come_and_go(endpoint)
        sent = sender.communicate()[0].split()
        at_s, took_us = np.loadtxt(log).T
        at_s = at_s + measured.begin_s
        near = np.zeros(at_s.size, bool)
        for event in measured.events_s:
            near |= (at_s > event - 0.05) & (at_s < event + 1.0)
        soon = ", ".join(f"{seconds:.3f}" for seconds in measured.first_frame_s)
        print(f"receiver started after the sender, killed, restarted: first frame after {soon} s")
        print(f"calls within 1 s of a kill or a start: {figures(took_us[near])}")
        print(f"all other calls: {figures(took_us[~near])}")
        print(f"sent {sent[0]}, unheard {sent[1]}, overflow {sent[2]}, failed {sent[3]}")


if __name__ == "__main__":
    main()
