"""``rtelasto run``: the live pipeline."""

from __future__ import annotations

import gc
import logging
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.beside import parts_beside
from rtelasto.cli.terminal import notes, print_table, stop_on_signals
from rtelasto.counters import is_loss
from rtelasto.domain import StrainFrame
from rtelasto.live import LiveReport, LiveRun
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.settings import RunSettings


def run(settings: Annotated[RunSettings, Parameter(name="*")] | None = None) -> None:
    """Live: RF frames in over ZeroMQ, strain frames out, until SIGINT or SIGTERM."""
    settings = settings or RunSettings()
    notes.print(NOT_A_MEDICAL_DEVICE)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with (
        stop_on_signals() as stop,
        notes.status("loading the engine …") as status,
        LiveRun(
            settings,
            on_strain=lambda strain: status.update(_line(strain)),
            on_build=lambda done, phase: status.update(
                f"compiling for the GPU, {100 * done:.0f} %: {phase}"
            ),
        ) as live,
        parts_beside(settings, live.strain_endpoint) as parts,
    ):
        for part in parts:
            notes.print(part.ready)
        if live.metrics is not None:
            notes.print(f"metrics at {live.metrics.address}")
        status.update(f"waiting for RF frames from {settings.rf}")
        notes.print(f"strain on {live.strain_endpoint}, engine {settings.engine}, Ctrl-C stops")
        report = live.run(stop)
        # All of it stops at once, not one after the other.
        for part in parts:
            part.ask_to_stop()
        live.close()
    print_report(report)
    for part in parts:
        print_table(part.name, part.report or {"failed": "see the messages above"})
    # Taking compiled code apart object by object costs a third of a second of processor time at exit; the
    # operating system takes it back at once.
    gc.freeze()


def _line(strain: StrainFrame) -> str:
    lost = sum(count for name, count in strain.drops.items() if is_loss(name))
    return (
        f"{strain.drops.get('received', 0)} frames in, {strain.drops.get('strain.out', 0)} strain out, "
        f"{lost} dropped; strain {100.0 * strain.applied_strain:+.2f} %, "
        f"quality {strain.quality:.2f}"
    )


def print_report(report: LiveReport) -> None:
    counts = report.counters
    rows: dict[str, object] = {
        "RF frames in": counts.get("received", 0),
        "strain frames out": counts.get("strain.out", 0),
        "rate": f"{counts.get('strain.out', 0) / report.seconds:.1f} strain frames/s",
        f"latency from {report.latency_from}": report.latency,
    }
    rows |= {
        name: count for name, count in counts.items() if name not in ("received", "strain.out")
    }
    print_table("rtelasto run", rows)
