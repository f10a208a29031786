"""The cost of a flood of malformed messages for the live stream.

    python -m benchmarks.flood [--rate 10000] [--seconds 10] [--write]

A sender sends 2608 × 128 int16 frames at 20 per second to a real ``rtelasto run``, and the calling process
receives its strain. For every kind of flood, the rate and latency of strain frames are measured without and
then with it. The flood comes from the same socket as the good frames, or goes to the bound strain socket. Its
own processor time on the same machine is included. ``--write`` writes the table to docs/security.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.flood import attack, sender
from benchmarks.measured import when_and_where, write_measured
from rtelasto.bench.rig import free_endpoint
from rtelasto.transport.receivers import StrainReceiver

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
FPS = 20.0
_ATTACK = (sys.executable, "-m", "benchmarks.flood.attack")
START_S = 120.0
# Time for frames that are in transit at the end of a phase.
SETTLE_S = 0.5


@dataclass(frozen=True)
class Phase:
    """The strain frames of one phase."""

    fps: float
    p99_ms: float
    lost: int
    cpu: float

    def __str__(self) -> str:
        return f"{self.fps:.1f}/s, p99 {self.p99_ms:.0f} ms"


@dataclass(frozen=True)
class Flooded:
    """A kind of flood: messages per second sent and counted, and the stream without and with it."""

    kind: str
    offered: float
    counted: float
    before: Phase
    during: Phase
    memory_mib: float

    @property
    def cost(self) -> float:
        """Fraction of the rate that was lost to the flood."""
        return 1.0 - self.during.fps / self.before.fps


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.terminate()
            started.communicate(timeout=30.0)


class Flood:
    """A sender, a run and a receiver."""

    def __init__(
        self,
        sending: subprocess.Popen[str],
        run: subprocess.Popen[str],
        receiver: StrainReceiver,
        strain: str,
    ) -> None:
        self._sending = sending
        self._run = psutil.Process(run.pid)
        self._receiver = receiver
        self._strain = strain

    def measure(self, kind: str, rate: float, seconds: float) -> Flooded:
        self._phase("", 0.0, 2.0)
        before, _ = self._phase("", 0.0, seconds)
        rss, malformed = self._memory(), self._malformed()
        if kind in attack.KINDS:
            attacking = subprocess.Popen(
                [*_ATTACK, kind, str(rate), str(seconds), self._strain],
                stdout=subprocess.PIPE,
                text=True,
            )
            during, _ = self._phase("", 0.0, seconds)
            offered = json.loads(attacking.communicate()[0]) / seconds
        else:
            during, sent = self._phase(kind, rate, seconds)
            offered = sent["malformed"] / sent["seconds"]
        return Flooded(
            kind,
            offered,
            (self._malformed() - malformed) / seconds,
            before,
            during,
            (self._memory() - rss) / 2**20,
        )

    def _phase(self, kind: str, rate: float, seconds: float) -> tuple[Phase, dict[str, float]]:
        while self._receiver.get(SETTLE_S) is not None:
            pass
        cpu = self._cpu()
        assert self._sending.stdin is not None
        self._sending.stdin.write(json.dumps([kind, rate, FPS, seconds]) + "\n")
        self._sending.stdin.flush()
        begin, latencies, lag = time.monotonic(), [], 0
        while (left := begin + seconds + SETTLE_S - time.monotonic()) > 0:
            message = self._receiver.get(left)
            if message is not None:
                latencies.append((time.monotonic_ns() - message.frame.acquired_ns) / 1e6)
                lag += message.frame.frame_ids[1] - message.frame.frame_ids[0] - 1
        assert self._sending.stdout is not None
        sent = json.loads(self._sending.stdout.readline())
        p99 = float(np.percentile(latencies, 99)) if latencies else float("nan")
        used = (self._cpu() - cpu) / (time.monotonic() - begin)
        return Phase(len(latencies) / seconds, p99, lag, used), sent

    def _malformed(self) -> int:
        """Return the count of malformed messages from a status that is newer than this call."""
        seen = self._receiver.counters["statuses"]
        self._receiver.counters.wait_for("statuses", seen + 2, 10.0)
        status = self._receiver.status
        counted = {} if status is None else status.counters
        return sum(n for name, n in counted.items() if name.startswith("malformed"))

    def _processes(self) -> list[psutil.Process]:
        return [self._run, *self._run.children(recursive=True)]

    def _memory(self) -> int:
        return sum(one.memory_info().rss for one in self._processes())

    def _cpu(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._processes())


@contextmanager
def flood(engine: str) -> Iterator[Flood]:
    strain = free_endpoint()
    with process("benchmarks.flood.sender") as sending:
        assert sending.stdout is not None
        rf = sending.stdout.readline().strip()
        with (
            process("rtelasto", "run", "--engine", engine, "--rf", rf, "--strain", strain) as run,
            StrainReceiver(strain, policy="every") as receiver,
        ):
            assert receiver.counters.wait_for("statuses", 2, START_S), "the run did not start"
            yield Flood(sending, run, receiver, strain)


def table(rows: list[Flooded]) -> str:
    lines = [
        "| flood | sent, 1/s | counted as malformed, 1/s | strain without it | strain with it "
        "| cost | processor, cores without → with | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.kind} | {row.offered:,.0f} | {row.counted:,.0f} | {row.before} | {row.during} "
        f"| {100 * row.cost:.1f} % | {row.before.cpu:.2f} → {row.during.cpu:.2f} "
        f"| {row.memory_mib:+.1f} MiB |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--rate", type=float, default=10_000.0, help="of the flood, 1/s")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    parser.add_argument("--only", help="kinds that hold this text")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args()
    rows = []
    for kind in (*sender.KINDS, *attack.KINDS):
        if options.only is None or options.only in kind:
            # A new run for each, so that one does not affect the next.
            with flood(options.engine) as flooded:
                rows.append(flooded.measure(kind, options.rate, options.seconds))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if options.write:
        write_measured(PAGE, "flooded", f"{when_and_where()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
