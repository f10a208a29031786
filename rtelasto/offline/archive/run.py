"""Hands recordings to workers and collects what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rtelasto.errors import first_line
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import Row, failed
from rtelasto.offline.archive.worker import process_task
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_file import discard_leftovers

if TYPE_CHECKING:
    from distributed import Client, Future

ATTEMPTS = 3
"""A recording that fails this often is listed with its last reason."""
# Tasks are sent in batches of this size.
_BATCH = 1000


def process_archive(
    tasks: Sequence[Task],
    settings: EstimateSettings,
    client: Client,
    *,
    overrides: Mapping[str, Any],
    how: Mapping[str, Any],
    force: bool = False,
) -> Iterator[Row]:
    """Process recordings on the workers of a client; yield a row for each as it ends.

    A recording whose strain file was made from the same content, settings, engine and version is left as it
    is. One that fails, or whose worker dies, is tried again, on another worker if there is one. If the
    iteration is abandoned, tasks that have not begun are cancelled.

    Parameters
    ----------
    overrides
        Keyword arguments of `rtelasto.open_recording`, for all recordings.
    how
        ``show``, ``accumulate`` and ``reference`` of `rtelasto.offline.process.process_recording`.
    force
        Replace existing files even if rtelasto did not write them.
    """
    from distributed import as_completed

    if client.cluster is not None and settings.threads is None:
        # Workers of our own have a core each.
        settings = replace(settings, threads=1)
    futures = client.map(
        process_task,
        tasks,
        settings=settings,
        overrides=dict(overrides),
        how=dict(how),
        force=force,
        pure=False,
        retries=ATTEMPTS - 1,
        batch_size=_BATCH,
    )
    task_of = {future.key: task for future, task in zip(futures, tasks, strict=True)}
    completed = as_completed(futures)
    del futures  # a result is let go of as soon as it has been yielded
    try:
        for future in completed:
            yield _row(future, task_of.pop(future.key))
    finally:
        client.cancel(list(completed.futures))


def _row(future: Future, task: Task) -> Row:
    if future.status in ("cancelled", "lost"):
        return failed(task, "the scheduler is gone: start it and repeat the command")
    error = future.exception()
    if error is None:
        return future.result()
    discard_leftovers(*task.outputs)
    return failed(task, _reason(error).removeprefix(f"{task.recording}: "))


def _reason(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "its worker died each time: out of memory, or the recording crashes a library"
    return first_line(error)
