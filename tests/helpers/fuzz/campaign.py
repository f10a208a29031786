"""A campaign: many inputs for every target, in processes that may crash, and a table of the results.

    cd tests/helpers && python -m fuzz.campaign --messages 1000000 --files 100000

Input ``number`` of a target is always the same, so a failing case is a target and a number; ``python -m
fuzz.worker TARGET NUMBER NUMBER+1 1`` repeats it.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from fuzz.messages import TOPICS
from fuzz.seed_files import KINDS, seeds

WAYS = ("ncc/consecutive", "ncc/adaptive", "cnn/consecutive")
STUCK_S = 30.0


@dataclass
class Result:
    """The results of a target."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    crashes: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    slow: list[int] = field(default_factory=list)
    rss: list[tuple[int, int]] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Slope of the memory over the second half of the inputs, in bytes per input."""
        late = self.rss[len(self.rss) // 2 :]
        if len(late) < 3:
            return 0.0
        inputs, rss = np.array(late, np.float64).T
        return float(np.polyfit(inputs, rss, 1)[0]) if np.ptp(inputs) else 0.0

    def row(self) -> str:
        peak = max((rss for _, rss in self.rss), default=0)
        return (
            f"| {self.target} | {self.inputs} | {self.inputs / max(self.seconds, 1e-9):.0f} "
            f"| {len(self.crashes)} | {len(self.raised)} | {len(self.slow)} | {self.slowest_s:.2f} "
            f"| {peak / 2**20:.0f} | {self.growth:+.1f} |"
        )


HEAD = (
    "| target | inputs | inputs/s | crashes | exceptions | over 1 s | slowest (s) | peak (MiB) "
    "| growth (bytes an input) |\n|" + " --- |" * 9
)


def run(target: str, inputs: int, seed: int = 0) -> Result:
    """Try a number of inputs of a target; a new process replaces one that crashes."""
    result, number, end = Result(target), seed, seed + inputs
    batch = 1000 if target in TOPICS else 50
    while number < end:
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", target, str(number), str(end), str(batch)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        started = time.monotonic()
        watch = threading.Timer(STUCK_S + 60.0, process.kill)
        watch.start()
        for line in process.stdout:
            watch.cancel()
            watch = threading.Timer(STUCK_S, process.kill)
            watch.start()
            report = json.loads(line)
            if "raised" in report:
                result.raised.append(f"{report['number']}: {report['raised']}")
                continue
            number = report["next"]
            result.inputs += report["inputs"]
            result.slowest_s = max(result.slowest_s, report["slowest"])
            result.slow += report["slow"]
            result.rss.append((result.inputs, report["rss"]))
        watch.cancel()
        code = process.wait()
        result.seconds += time.monotonic() - started
        if code and number < end:
            result.crashes.append(f"{number}…{number + batch - 1}: exit code {code}")
            number += batch
            result.rss.clear()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first input")
    parser.add_argument("--out", type=Path, help="file for the table and all findings")
    given = parser.parse_args()
    kinds = [kind for kind in KINDS if seeds(kind)]
    # Fewer of kinds that are large or beamformed, or whose reader opens the file for every value.
    slow = {"zea": 0.3, "segments": 0.2, "sent": 0.2, "verasonics": 0.1, "uff": 0.05}
    share = {kind: slow.get(kind, 1.0) for kind in kinds}
    plan = [
        (topic, given.messages * part // 10) for topic, part in zip(TOPICS, (6, 3, 1), strict=True)
    ]
    plan += [(way, given.streams) for way in WAYS]
    plan += [(kind, round(given.files * share[kind] / sum(share.values()) + 0.5)) for kind in kinds]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, NumPy {version('numpy')}, "
        f"h5py {version('h5py')} with HDF5 {h5py.version.hdf5_version}, msgpack {version('msgpack')}",
        HEAD,
    ]
    print("\n".join(lines), flush=True)
    found = []
    for target, inputs in plan:
        result = run(target, inputs, given.seed)
        lines.append(result.row())
        print(lines[-1], flush=True)
        found += [f"{target} {case}" for case in (*result.crashes, *result.raised)]
        found += [f"{target} {number}: over 1 s" for number in result.slow]
    print("\n".join(found))
    if given.out is not None:
        given.out.write_text("\n".join([*lines, "", *found]) + "\n", "utf-8")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
