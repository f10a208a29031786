"""Inflict every fault on a live run and report the results.

    python -m benchmarks.faults [NAME …] [--engine cnn] [--fps 20] [--long-s 3]
        [--out docs/reliability-measured.md]

Faults without special settings are tried one after the other on the same run. ``--long-s`` is the duration of
lasting faults; a subscriber is stopped for ten times as long. ``--out`` replaces the tables in that file. The
exit code is 1 if a frame is unaccounted for or a fault was not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.faults import of_host, of_link, of_network, of_scanner
from benchmarks.faults.fault import Fault, rig_of
from benchmarks.faults.rig import PUBLISHED, FaultRig
from benchmarks.faults.table import tables, write_tables
from benchmarks.faults.trial import Outcome, try_fault
from rtelasto.errors import first_line
from rtelasto.frames.rf import RfFormat

FAULTS = (*of_scanner.FAULTS, *of_link.FAULTS, *of_network.FAULTS, *of_host.FAULTS)


def try_faults(
    faults: tuple[Fault, ...], *, engine: str, fps: float, rf_format: RfFormat, long_s: float
) -> Iterator[Outcome | str]:
    """Yield the outcome of each fault, in order, or why it failed; faults without a setting share a run."""
    with ExitStack() as stack:
        shared: FaultRig | None = None
        for fault in faults:
            with ExitStack() as own:
                rig = shared if fault.setting is None else None
                if rig is None:
                    scope = stack if fault.setting is None else own
                    folder = Path(scope.enter_context(tempfile.TemporaryDirectory()))
                    usual = {"rf_format": rf_format, "fps": fps, "engine": engine}
                    rig = scope.enter_context(rig_of(fault, folder, **usual))
                if fault.setting is None:
                    shared = rig
                try:
                    yield try_fault(fault, rig, long_s)
                except (RuntimeError, TimeoutError) as error:
                    if rig is shared:
                        # The next fault must not start in an undefined state.
                        rig.close()
                        shared = None
                    yield first_line(error)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument("names", nargs="*", help="faults to try; all by default")
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--long-s", type=float, default=3.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    unknown = set(options.names) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    wanted = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    skipped = {fault.name: why for fault in wanted if (why := fault.needs())}
    tried = tuple(fault for fault in wanted if fault.name not in skipped)
    outcomes: list[Outcome] = []
    failed: dict[str, str] = {}
    trials = try_faults(
        tried,
        engine=options.engine,
        fps=options.fps,
        rf_format=PUBLISHED,
        long_s=options.long_s,
    )
    for fault, outcome in zip(tried, trials, strict=True):
        if isinstance(outcome, str):
            failed[fault.name] = f"failed: {outcome}"
            print(f"{fault.name}: {outcome}", flush=True)
            continue
        outcomes.append(outcome)
        print(
            f"{outcome.fault.name}: flows again after {outcome.flows_after_s:.2f} s; "
            + ("; ".join(outcome.complaints()) or "every frame accounted for"),
            flush=True,
        )
    others = failed | {name: f"not tried: {why}" for name, why in skipped.items()}
    if options.out is None:
        print(tables(outcomes, others))
    else:
        write_tables(options.out, outcomes, others, vars(options))
    sys.exit(bool(failed) or any(outcome.complaints() for outcome in outcomes))


if __name__ == "__main__":
    main()
