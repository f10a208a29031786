"""``rtelasto run``: the live pipeline."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtelasto.cli.terminal import notes, print_table, say, stop_on_signals
from rtelasto.errors import KeepsFailingError
from rtelasto.live.closing_report import LiveReport
from rtelasto.live.parts import parts_beside
from rtelasto.live.supervisor import Supervisor
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import losses

if TYPE_CHECKING:
    from rtelasto.live.sidecar import Sidecar

log = logging.getLogger(__name__)


def run(settings: Annotated[RunSettings, Parameter(name="*")] | None = None) -> None:
    """Live: RF frames in over ZeroMQ, strain frames out, until SIGINT or SIGTERM."""
    settings = settings or RunSettings()
    say(NOT_A_MEDICAL_DEVICE)
    parts: list[Sidecar] = []
    gone: set[str] = set()

    def look(counts: Mapping[str, int], applied_strain: float, quality: float) -> None:
        status.update(
            _line(counts, applied_strain, quality)
            if counts.get("strain.out")
            else f"waiting for RF frames from {settings.rf}"
        )
        for part in parts:
            if part.look() and part.ready:
                say(part.ready)
            elif part.name not in gone and not part.is_alive:
                gone.add(part.name)
                why = f"could not start: {part.failure}" if part.failure else "exited unexpectedly"
                log.error("the %s %s; the run goes on without it", part.name, why)

    with (
        stop_on_signals() as stop,
        notes.status("loading the engine …") as status,
        Supervisor(
            settings,
            stop,
            on_building=lambda what: status.update(what),
            on_look=look,
        ) as pipeline,
        ExitStack() as beside,
    ):
        failure = None
        if pipeline.wait_until_ready():
            assert pipeline.addresses is not None
            parts = beside.enter_context(parts_beside(settings, pipeline.addresses.strain))
            if pipeline.metrics is not None:
                say(f"metrics at {pipeline.metrics.address}")
            say(f"strain on {pipeline.addresses.strain}, engine {settings.engine}, Ctrl-C stops")
            try:
                pipeline.run()
            except KeepsFailingError as error:
                failure = error
        # Stop all parts at once, not one after another.
        for part in parts:
            part.ask_to_stop()
        pipeline.close()
        report = pipeline.report()
    print_report(report)
    for part in parts:
        print_table(part.name, part.report or {"failed": "see the messages above"})
    if failure is not None:
        raise failure


def _line(counts: Mapping[str, int], applied_strain: float, quality: float) -> str:
    lost = sum(losses(counts).values())
    return (
        f"{counts.get('received', 0)} frames in, {counts.get('strain.out', 0)} strain out, "
        f"{lost} dropped; strain {100.0 * applied_strain:+.2f} %, quality {quality:.2f}"
    )


def print_report(report: LiveReport) -> None:
    counts = report.counters
    rows: dict[str, object] = {
        "RF frames in": counts.get("received", 0),
        "strain frames out": counts.get("strain.out", 0),
        "rate": f"{report.strain_per_second:.1f} strain frames/s",
        f"latency from {report.latency_from}": report.latency,
    }
    rows |= {
        name: count for name, count in counts.items() if name not in ("received", "strain.out")
    }
    print_table("rtelasto run", rows)
