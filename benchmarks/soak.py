"""A long live run: measures memory growth, latency drift, and unaccounted frames.

    python -m benchmarks.soak [--minutes 60] [--fps 20] [--engine cnn] [--json soak.json]
        [--out docs/reliability-measured.md] [-- further arguments of rtelasto run]

A sender, ``rtelasto run`` and a subscriber are separate processes, with 2608 × 128 int16 frames. Memory
(resident) and descriptors are those of ``rtelasto run`` and all its children, sampled twice a second. Latency
is from the sender's send call to the arrival of strain at the subscriber. The first tenth, at most a minute,
is warm-up and is excluded.

The slope of memory is the median of the slopes between all pairs of samples (Theil–Sen), at most 3,600
samples, so that a single step or a garbage collector does not distort it. The drift is p99 of the last
twelfth divided by that of the first (five minutes each in an hour). The exit code is 1 if a frame is
unaccounted for or, in runs of at least ten minutes, if memory grows by 1 MB per hour or p99 drifts by more
than a tenth.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from benchmarks.measured import when_and_where, write_measured
from rtelasto.bench.rig import Arrival, Burst, Rig
from rtelasto.frames.rf import RfFormat
from rtelasto.telemetry.counters import unaccounted

WARM_UP_SHARE, WARM_UP_S = 0.1, 60.0
DRIFT_SHARE = 1.0 / 12.0
MOST_SLOPE_MB_PER_H, MOST_DRIFT = 1.0, 1.1
# In shorter runs a slope cannot be distinguished from noise.
JUDGED_S = 600.0
_NS_PER_H = 3.6e12


@dataclass(frozen=True, slots=True)
class Soak:
    """The results of a long run.

    Attributes
    ----------
    seconds, frames_sent, strain_frames
        Duration, RF frames sent, and strain frames received by the subscriber.
    lost
        Lost frames by counter.
    unaccounted
        Frames that no counter explains, by place: on the way to the run, in it, on the way to the subscriber.
    memory_mib, memory_slope_mb_per_h
        Resident memory at the end of the warm-up and of the run; its slope.
    descriptors
        Open files and sockets at the end of the warm-up and of the run.
    p50_ms, p99_ms
        Of the first and the last twelfth after the warm-up.
    longest_pause_s
        Longest time between two strain frames at the subscriber.
    """

    seconds: float
    frames_sent: int
    strain_frames: int
    lost: dict[str, int]
    unaccounted: dict[str, int]
    memory_mib: tuple[float, float]
    memory_slope_mb_per_h: float
    descriptors: tuple[int, int]
    p50_ms: tuple[float, float]
    p99_ms: tuple[float, float]
    longest_pause_s: float

    @property
    def p99_drift(self) -> float:
        """The last value divided by the first."""
        return self.p99_ms[1] / self.p99_ms[0]

    def complaints(self) -> list[str]:
        """Return the exceeded limits; empty if there are none."""
        found = [
            f"{n} frames unaccounted for {where}" for where, n in self.unaccounted.items() if n
        ]
        if self.seconds >= JUDGED_S:
            if self.memory_slope_mb_per_h >= MOST_SLOPE_MB_PER_H:
                found.append(f"memory grows by {self.memory_slope_mb_per_h:.2f} MB/h")
            if self.p99_drift > MOST_DRIFT:
                found.append(f"p99 drifted by a factor of {self.p99_drift:.2f}")
        return found


def slope_per_h(times_ns: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Return the Theil–Sen slope per hour of values at times in ns; at most 3,600 of them, evenly chosen."""
    chosen = np.linspace(0, times_ns.size - 1, min(times_ns.size, 3600)).astype(int)
    hours = (times_ns[chosen] - times_ns[0]) / _NS_PER_H
    return float(theilslopes(values[chosen], hours).slope)


def first_and_last(arrivals: list[Arrival], percentile: float) -> tuple[float, float]:
    """Return a percentile of the latency in ms over the first and the last `DRIFT_SHARE` of the time."""
    times_ns = np.array([arrival.arrived_ns for arrival in arrivals])
    latency_ms = np.array([arrival.arrived_ns - arrival.sent_ns for arrival in arrivals]) / 1e6
    share_ns = DRIFT_SHARE * (times_ns[-1] - times_ns[0])
    first = latency_ms[times_ns <= times_ns[0] + share_ns]
    last = latency_ms[times_ns >= times_ns[-1] - share_ns]
    return float(np.percentile(first, percentile)), float(np.percentile(last, percentile))


def soak(
    seconds: float,
    *,
    fps: float = 20.0,
    engine: str = "cnn",
    options: tuple[str, ...] = (),
    rf_format: RfFormat | None = None,
) -> Soak:
    """Run for the given time and account for every frame."""
    # The garbage collector would traverse the times of all frames repeatedly, which takes ever longer.
    gc.disable()
    with Rig(engine, options, rf_format) as rig:
        burst = rig.burst(fps, max(round(seconds * fps), 40))
        counters = rig.counters()
        subscriber = rig.receiver.counters.snapshot()
    return _summary(burst, counters, subscriber)


def _summary(burst: Burst, counters: dict[str, int], subscriber: dict[str, int]) -> Soak:
    warm_ns = burst.sent.first_ns + round(1e9 * min(WARM_UP_SHARE * burst.sent.seconds, WARM_UP_S))
    usage = [sample for sample in burst.usage if sample.at_ns >= warm_ns]
    memory = np.array([sample.memory_bytes for sample in usage], np.float64)
    times_ns = np.array([sample.at_ns for sample in usage])
    arrivals = [arrival for arrival in burst.arrivals if arrival.sent_ns >= warm_ns]
    arrived_ns = [arrival.arrived_ns for arrival in burst.arrivals]
    known = sum(counters.get(name, 0) for name in ("received", "lost_on_wire", "missed_at_join"))
    shown = sum(subscriber.get(name, 0) for name in ("received", "lost_on_wire", "missed_at_join"))
    not_lost = ("received", "strain.out", "published", "statuses_published", "connected")
    return Soak(
        seconds=burst.sent.seconds,
        frames_sent=burst.sent.frames,
        strain_frames=len(burst.arrivals),
        lost={name: count for name, count in counters.items() if name not in not_lost},
        unaccounted={
            "on the way to the run": burst.sent.frames - known,
            "in the run": unaccounted(counters),
            "on the way to the subscriber": counters.get("published", 0) - shown,
        },
        memory_mib=(memory[0] / 2**20, memory[-1] / 2**20),
        memory_slope_mb_per_h=slope_per_h(times_ns, memory / 1e6),
        descriptors=(usage[0].descriptors, usage[-1].descriptors),
        p50_ms=first_and_last(arrivals, 50.0),
        p99_ms=first_and_last(arrivals, 99.0),
        longest_pause_s=float(np.diff(arrived_ns).max()) / 1e9,
    )


def table(result: Soak) -> str:
    """Return the result as a Markdown table."""
    rows = {
        "time": f"{result.seconds / 60.0:.1f} min",
        "RF frames sent, strain frames shown": f"{result.frames_sent}, {result.strain_frames}",
        "counted": ", ".join(f"`{name}` {n}" for name, n in result.lost.items()) or "nothing",
        "unaccounted": ", ".join(f"{n} {where}" for where, n in result.unaccounted.items()),
        "memory after warm-up, at the end": "{:.1f}, {:.1f} MiB".format(*result.memory_mib),
        "slope of memory": f"{result.memory_slope_mb_per_h:+.2f} MB/h",
        "descriptors after warm-up, at the end": "{}, {}".format(*result.descriptors),
        "p50 of the first and the last twelfth": "{:.1f}, {:.1f} ms".format(*result.p50_ms),
        "p99 of the first and the last twelfth": "{:.1f}, {:.1f} ms".format(*result.p99_ms)
        + f" (× {result.p99_drift:.2f})",
        "longest time without strain": f"{result.longest_pause_s:.2f} s",
    }
    lines = [
        "| soak | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="page to write the table into")
    parser.add_argument("options", nargs="*", help="of rtelasto run, after --")
    options = parser.parse_args()
    result = soak(
        60.0 * options.minutes,
        fps=options.fps,
        engine=options.engine,
        options=tuple(options.options),
    )
    print(table(result))
    if options.out is not None:
        heading = f"{when_and_where()}. Engine {options.engine}, {options.fps:g} frames/s."
        write_measured(options.out, "soak", f"{heading}\n\n{table(result)}")
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(result), indent=1) + "\n", "utf-8")
    for complaint in result.complaints():
        print(complaint, file=sys.stderr)
    sys.exit(bool(result.complaints()))


if __name__ == "__main__":
    main()
