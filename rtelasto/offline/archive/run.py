"""Hands recordings to workers and collects what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rtelasto.errors import first_line
from rtelasto.host.threads import available_cores
from rtelasto.offline.archive.parts import Part, clear_parts, worth_splitting
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import Row, failed
from rtelasto.offline.archive.worker import Work, join_parts, process_part, process_task
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

    n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
    if client.cluster is not None and settings.threads is None:
        # Workers of our own share the cores of this machine.
        settings = replace(settings, threads=max(1, available_cores() // n_workers))
    work = Work(
        settings=settings,
        overrides=dict(overrides),
        how=dict(how),
        force=force,
        split=worth_splitting(len(tasks), n_workers),
    )
    futures = client.map(process_task, tasks, work=work, retries=ATTEMPTS - 1, batch_size=_BATCH)
    task_of = {future.key: task for future, task in zip(futures, tasks, strict=True)}
    completed = as_completed(futures)
    del futures  # a result is let go of as soon as it has been yielded
    try:
        for future in completed:
            task = task_of.pop(future.key)
            outcome = _outcome(future, task)
            if isinstance(outcome, Row):
                yield outcome
            else:
                joined = _share(client, outcome, task, work)
                task_of[joined.key] = task
                completed.add(joined)
    finally:
        client.cancel(list(completed.futures))


def _share(client: Client, parts: Sequence[Part], task: Task, work: Work) -> Future:
    """Hand out the parts of a long recording; return the future of its row."""
    retries = ATTEMPTS - 1
    efforts = client.map(process_part, parts, task=task, work=work, retries=retries)
    return client.submit(join_parts, parts, efforts, task, work, retries=retries)


def _outcome(future: Future, task: Task) -> Row | list[Part]:
    if future.status in ("cancelled", "lost"):
        return failed(task, "the scheduler is gone: start it and repeat the command")
    error = future.exception()
    if error is None:
        return future.result()
    discard_leftovers(*task.outputs)
    clear_parts(task.out)
    return failed(task, _reason(error).removeprefix(f"{task.recording}: "))


def _reason(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "its worker died each time: out of memory, or the recording crashes a library"
    return first_line(error)
