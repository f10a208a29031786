"""A live run on channel data: Octave plays a Vantage through the bridge, `rtelasto run` beamforms.

    python -m benchmarks.channel_live --fps 20 --seconds 15 --angles 3 --depth-mm 40

Octave makes the echoes of four frames of a press first (several seconds each), then plays them forth and back
at that rate through rtelasto_receive and the MEX. Printed are strain frames per second and the latency from
the send call to the strain frame in the subscriber, the first second left out, with the stages, the
counters and the machine's load. Needs Octave with mkoctfile, and libzmq's header.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.octave import built_bridge, octave
from rtelasto.bench.rig import free_endpoint
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.wire.strain import StrainMessage

MADE_AHEAD = 4
WARM_UP_S = 1.0
_START_S = 300.0
_QUIET_S = 5.0


def measure(arguments: argparse.Namespace, bridge: Path) -> None:
    rf, strain = free_endpoint(), free_endpoint()
    frames = round(arguments.fps * (arguments.seconds + WARM_UP_S))
    options = (
        f"'endpoint', '{rf}', 'made_ahead', {MADE_AHEAD}, 'frame_rate_hz', {arguments.fps:g}, "
        f"'n_angles', {arguments.angles}, 'end_depth_mm', {arguments.depth_mm:g}, "
        "'strain_per_frame', -0.003"
    )
    command = [sys.executable, "-m", "rtelasto", "run", "--rf", rf, "--strain", strain]
    with StrainReceiver(strain, policy="every") as receiver:
        scanner = octave(
            bridge,
            f"s = rtelasto_simulate({frames}, struct({options})); "
            "printf('%d sent, %d unheard, %d overflow\\n', s.sent, s.unheard, s.overflow);",
            stderr=subprocess.STDOUT,
        )
        with subprocess.Popen([*command, *arguments.run], stderr=subprocess.DEVNULL) as pipeline:
            looks: list[Look] = []
            arrivals: list[tuple[int, StrainMessage]] = []
            deadline = time.monotonic() + _START_S
            while time.monotonic() < deadline:
                message = receiver.get(0.05)
                if message is not None:
                    if not arrivals:
                        processes = {
                            "Octave": family(scanner.pid),
                            "rtelasto run": family(pipeline.pid),
                            "subscriber": [psutil.Process()],
                        }
                    arrivals.append((time.monotonic_ns(), message))
                    deadline = time.monotonic() + _QUIET_S
                    if scanner.poll() is None:
                        looks.append(Look.at(arrivals[-1][0], processes))
                if pipeline.poll() is not None or (
                    not arrivals and scanner.poll() not in (0, None)
                ):
                    break
            said = scanner.communicate()[0].strip()
            pipeline.terminate()
            pipeline.wait()
    report(arrivals, said)
    report_use([look for look in looks if look.at_ns - looks[0].at_ns >= 1e9 * WARM_UP_S])


@dataclass(frozen=True, slots=True)
class Look:
    """Processor time used until the arrival of a strain frame, s, by the name of the processes."""

    at_ns: int
    used_s: dict[str, float]

    @classmethod
    def at(cls, at_ns: int, processes: dict[str, list[psutil.Process]]) -> Look:
        used_s = {
            name: sum(sum(process.cpu_times()[:2]) for process in members)
            for name, members in processes.items()
        }
        return cls(at_ns, used_s)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and those that it has started."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def report_use(looks: list[Look]) -> None:
    """Print the processor time between the first and the last look, one at every strain frame."""
    if len(looks) < 2:
        return
    first, last = looks[0], looks[-1]
    for name, used_s in last.used_s.items():
        spent_s = used_s - first.used_s[name]
        cores = 1e9 * spent_s / (last.at_ns - first.at_ns)
        each_ms = 1e3 * spent_s / (len(looks) - 1)
        print(f"{name}: {cores:.2f} cores, {each_ms:.0f} ms a strain frame")


def report(arrivals: list[tuple[int, StrainMessage]], said: str) -> None:
    if not arrivals:
        sys.exit(f"no strain came; Octave said: {said}")
    first_ns = arrivals[0][0]
    steady = [(at, m.frame) for at, m in arrivals if at - first_ns >= 1e9 * WARM_UP_S]
    if len(steady) < 2:
        sys.exit(
            f"only {len(steady)} strain frames came after the first second; Octave said: {said}"
        )
    seconds = 1e-9 * (steady[-1][0] - steady[0][0])
    latency_ms = np.array([1e-6 * (at - frame.acquired_ns) for at, frame in steady])
    p50, p90, p99 = np.percentile(latency_ms, [50, 90, 99])
    print(said)
    print(f"{(len(steady) - 1) / seconds:.1f} strain frames/s over {seconds:.1f} s")
    print(f"latency p50 {p50:.0f} ms, p90 {p90:.0f} ms, p99 {p99:.0f} ms")
    names = sorted({name for _, frame in steady for name in frame.stage_ns})
    stages = {n: np.median([f.stage_ns.get(n, 0) for _, f in steady]) / 1e6 for n in names}
    print("stages, p50 ms: " + ", ".join(f"{name} {value:.1f}" for name, value in stages.items()))
    print(f"counters: {dict(steady[-1][1].drops)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fps", type=float, default=20.0, help="channel frames sent per second")
    parser.add_argument("--seconds", type=float, default=15.0, help="after the first one")
    parser.add_argument("--angles", type=int, default=3)
    parser.add_argument("--depth-mm", type=float, default=40.0)
    parser.add_argument("run", nargs="*", help="after --: further arguments of rtelasto run")
    arguments = parser.parse_args()
    load = " / ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"load averages when it began: {load}, {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, built_bridge(Path(folder)))


if __name__ == "__main__":
    main()
