"""Time every peer on the same pair of frames, each in a separate process, one after the other.

    python -m benchmarks.peers [NAME …] [--runs 7] [--threads N] [--json peers.json]

The time is from two int16 frames of 2608 × 128 in memory to axial strain in memory, median over the runs
after two warm-up runs. The wire, quality maps and preparation are excluded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import statistics
import time
from pathlib import Path

from benchmarks.peers import Peer, encoder_decoder, optical_flow, project, published_cnn
from rtelasto.bench.stages import timing_frames
from rtelasto.host.threads import available_cores

PEERS: dict[str, Peer] = {
    **project.PEERS,
    **optical_flow.PEERS,
    **encoder_decoder.PEERS,
    **published_cnn.PEERS,
}
_WARM_UP = 2
# Time limit of a peer; slow peers are timed over fewer runs.
_LONGEST_S = 60.0


def time_peer(name: str, runs: int, threads: int) -> list[float]:
    """Return the seconds of every timed run, in the calling process."""
    pre, post = (frame.samples for frame in timing_frames()[:2])
    work = PEERS[name].prepare(pre, post, threads)
    seconds: list[float] = []
    began = time.perf_counter()
    for _ in range(_WARM_UP + runs):
        started = time.perf_counter()
        result = work()
        took = time.perf_counter() - started
        # A peer that processed part of the frame returns the time for the whole.
        seconds.append(result if isinstance(result, float) else took)
        if time.perf_counter() - began > _LONGEST_S:
            break
    return seconds[min(_WARM_UP, len(seconds) - 1) :]


def missing(peer: Peer) -> list[str]:
    """Return the required packages that are not installed."""
    return [package for package in peer.needs if importlib.util.find_spec(package) is None]


def compare_peers(names: list[str], runs: int, threads: int) -> dict[str, dict[str, object]]:
    """Return per peer: ``about``, and ``median_ms``, ``max_ms``, ``runs``, or ``skipped`` with the reason."""
    rows: dict[str, dict[str, object]] = {}
    for name in names:
        row: dict[str, object] = {"about": PEERS[name].about}
        if lacking := missing(PEERS[name]):
            row["skipped"] = f"not installed: {', '.join(lacking)}"
        else:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds = pool.apply(time_peer, (name, runs, threads))
            row |= {
                "median_ms": 1e3 * statistics.median(seconds),
                "max_ms": 1e3 * max(seconds),
                "runs": len(seconds),
            }
        rows[name] = row
    return rows


def table(rows: dict[str, dict[str, object]]) -> str:
    """Return the rows as a Markdown table, with each time relative to that of ``cnn``."""
    own = rows.get("cnn", {}).get("median_ms")
    lines = ["| peer | ms per pair | × `cnn` | description |", "| --- | ---: | ---: | --- |"]
    for name, row in rows.items():
        if "skipped" in row:
            lines.append(f"| {name} | – | – | {row['about']}; {row['skipped']} |")
            continue
        ratio = f"{row['median_ms'] / own:.1f}" if own else "–"  # type: ignore[operator]
        lines.append(f"| {name} | {row['median_ms']:.0f} | {ratio} | {row['about']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time every peer on the same frames.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PEERS]:
        parser.error(f"no peer called {', '.join(unknown)}; there are {', '.join(PEERS)}")
    rows = compare_peers(options.names or list(PEERS), options.runs, options.threads)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")
