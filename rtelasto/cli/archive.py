"""The part of ``rtelasto process`` that is for several recordings: workers, progress, summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rtelasto.cli.recording import RecordingFlags
from rtelasto.cli.terminal import console, notes
from rtelasto.errors import ExitCode, RtelastoError
from rtelasto.gpu.probe import visible_gpus
from rtelasto.host.names import printable_name
from rtelasto.offline.archive.cluster import connect, describe
from rtelasto.offline.archive.parts import clear_parts, whole_parts
from rtelasto.offline.archive.recordings import find_recordings
from rtelasto.offline.archive.row import Row, State
from rtelasto.offline.archive.run import process_archive
from rtelasto.offline.archive.summary import PAGE, counts, write_summary
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_file import discard_leftovers


@dataclass(frozen=True, kw_only=True)
class ArchiveFlags:
    """Several recordings (docs/archive.md).

    Parameters
    ----------
    scheduler
        Address of a Dask scheduler whose workers process the recordings, e.g. tcp://10.0.0.5:8786.
    workers
        Workers to start on this machine without --scheduler; by default one a core, or one a GPU.
    memory_mib
        Memory of those workers together; by default what is free.
    pictures
        Also draw a picture of each recording, for the summary's page.
    reports
        Also write a report of each recording, to which that page links (as rtelasto report writes it).
    """

    scheduler: str | None = None
    workers: int | None = None
    memory_mib: int | None = None
    pictures: bool = True
    reports: bool = False


def process_all(
    paths: Sequence[Path],
    out: Path,
    settings: EstimateSettings,
    recording: RecordingFlags,
    flags: ArchiveFlags,
    *,
    force: bool,
    **how: object,
) -> None:
    """Process recordings into a folder; exit with code 1 if any failed.

    ``how`` are the other arguments of `rtelasto.offline.process.process_recording`.
    """
    tasks = find_recordings(paths, out, pictures=flags.pictures, reports=flags.reports)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RtelastoError(f"--out {out}: the folder cannot be made: {error.strerror}") from error
    rows: list[Row] = []
    gpus = _gpus(settings) if flags.scheduler is None else []
    try:
        with (
            connect(
                flags.scheduler, workers=flags.workers, memory_mib=flags.memory_mib, gpus=gpus
            ) as client,
            _bar() as bar,
        ):
            notes.print(f"recordings: {len(tasks)}; {describe(client)}", soft_wrap=True)
            shown = bar.add_task("recordings", total=len(tasks))
            for row in process_archive(
                tasks, settings, client, overrides=asdict(recording), how=how, force=force
            ):
                rows.append(row)
                if row.state is State.FAILED:
                    reason = printable_name(f"{row.recording}: {row.reason}")
                    notes.print(reason, soft_wrap=True)
                bar.update(shown, advance=1)
    finally:
        # Workers of a scheduler finish what they have begun; our own have just been ended.
        if flags.scheduler is None:
            discard_leftovers(*(path for task in tasks for path in task.outputs))
            for task in tasks:
                clear_parts(task.out, keep=whole_parts(task.out))
    write_summary(out, rows)
    console.print(f"{counts(rows)}; summary in {printable_name(out / PAGE)}", soft_wrap=True)
    if any(row.state is State.FAILED for row in rows):
        sys.exit(ExitCode.SOME_FAILED)


def _gpus(settings: EstimateSettings) -> list[str]:
    """Return the GPUs of this machine, if the engine runs on them."""
    from rtelasto.pipeline.devices import choose

    return visible_gpus() if choose(settings.engine, settings.device).device == "gpu" else []


class _Rate(ProgressColumn):
    """Recordings in an hour."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{3600.0 * task.speed:.0f} an hour")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
    )
