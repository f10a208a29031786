"""What a worker does: one recording, or a part of one, at a time, with an engine that is opened once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.errors import RtelastoError
from rtelasto.offline.archive.estimates import RecallingEstimator, recalling
from rtelasto.offline.archive.parts import Part, clear_parts, estimate_part, split
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import Row, State, figures
from rtelasto.offline.content_key import content_key
from rtelasto.offline.html_report import report_page
from rtelasto.offline.process import process_recording
from rtelasto.pipeline.estimators import Estimator
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_check import PAGE, PICTURE, STRAIN, check_outputs
from rtelasto.sinks.output_file import OutputFile, discard_leftovers
from rtelasto.sources.opening import open_recording
from rtelasto.sources.recording import Recording
from rtelasto.sources.strain_file import StrainFile
from rtelasto.telemetry.latency import LatencySummary

if TYPE_CHECKING:
    from rtelasto.gpu.estimator import GpuEstimator

# A worker with several threads still computes one recording at a time: the engine has the cores.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done with every recording.

    ``overrides`` and ``how`` are keyword arguments of `rtelasto.open_recording` and `content_key`; ``force``
    replaces existing files even if rtelasto did not write them; with ``split`` long recordings are split.
    """

    settings: EstimateSettings
    overrides: Mapping[str, Any]
    how: Mapping[str, Any]
    force: bool
    split: bool


@dataclass(frozen=True, slots=True)
class Effort:
    """What a part has cost: computing time, and the highest memory of the worker's process until then."""

    seconds: float
    peak_memory_mib: float


def process_task(task: Task, work: Work) -> Row | list[Part]:
    """Write the strain of a recording, its picture and its report, unless all exist and nothing has changed.

    A long recording is not processed: its parts are returned.

    Raises
    ------
    RtelastoError
        If the recording cannot be read, makes no pair, or its strain cannot be written.
    """
    with _opened(task, work) as (recording, started):
        key = content_key(recording, work.settings, **work.how)
        if _is_current(task, key):
            clear_parts(task.out)
            return _row(task, recording, State.UNCHANGED, started)
        task.out.parent.mkdir(parents=True, exist_ok=True)
        check_outputs(
            ("--out", task.out, STRAIN),
            ("--pictures", task.picture, PICTURE),
            ("--reports", task.report, PAGE),
            inputs=recording.files,
            force=work.force,
        )
        parts = _parts(task, recording, work, key)
        clear_parts(task.out, keep=[part.estimates for part in parts])
        if parts:
            return parts
        _process(task, recording, work, estimator_of(work.settings))
        return _row(task, recording, State.DONE, started)


def process_part(part: Part, task: Task, work: Work) -> Effort:
    """Write the estimates of a part of a recording, unless they exist.

    Raises
    ------
    RtelastoError
        If the recording cannot be read, or the estimates cannot be written.
    """
    with _opened(task, work) as (recording, started):
        estimate_part(recording, part, work.settings.policy(), _cpu_estimator(work.settings))
        return Effort(time.perf_counter() - started, _peak_memory_mib())


def join_parts(parts: Sequence[Part], efforts: Sequence[Effort], task: Task, work: Work) -> Row:
    """Write the outputs of a recording from the estimates of its parts, and remove those.

    Raises
    ------
    RtelastoError
        If the recording or the estimates cannot be read, it makes no pair, or its strain cannot be written.
    """
    with _opened(task, work) as (recording, started):
        # A worker may have died after it had removed the parts.
        if not _is_current(task, content_key(recording, work.settings, **work.how)):
            files = [part.estimates for part in parts]
            with recalling(_cpu_estimator(work.settings), files) as estimator:
                _process(task, recording, work, estimator)
        clear_parts(task.out)
        return _row(task, recording, State.DONE, started, efforts)


@contextmanager
def _opened(task: Task, work: Work) -> Iterator[tuple[Recording, float]]:
    """Yield a recording once it is this task's turn, and the time of that."""
    with _one_at_a_time:
        started = time.perf_counter()
        with open_recording(task.recording, **work.overrides) as recording:
            yield recording, started


def _parts(task: Task, recording: Recording, work: Work, key: str) -> list[Part]:
    """Return the parts of a recording that gains by being split."""
    # Accumulated motion needs direct pairs with the reference, which parts do not know.
    if not work.split or work.how.get("accumulate"):
        return []
    parts = split(recording.n_frames, task.out, key)
    # On a GPU, joining would take most of the time.
    return parts if parts and isinstance(estimator_of(work.settings), CpuEstimator) else []


def _process(task: Task, recording: Recording, work: Work, estimator: Estimator) -> None:
    discard_leftovers(*task.outputs)
    summary = process_recording(
        recording,
        task.out,
        work.settings,
        png=task.picture,
        force=work.force,
        estimator=estimator,
        **work.how,
    )
    if task.report is not None:
        with OutputFile(task.report) as temporary:
            if isinstance(estimator, RecallingEstimator):
                # The time of a pair is that of its part.
                summary = replace(summary, time_per_pair=LatencySummary.of([]))
            page = report_page(recording, task.out, work.settings, summary)
            temporary.write_text(page, encoding="utf-8")


def _row(
    task: Task, recording: Recording, state: State, started: float, parts: Sequence[Effort] = ()
) -> Row:
    """Return the line of a recording that took the time since ``started``, and that of its parts."""
    with StrainFile(task.out) as strain:
        found = figures(strain)
    own = Effort(time.perf_counter() - started, _peak_memory_mib())
    efforts = [own, *parts]
    return Row(
        recording=str(task.recording),
        out=str(task.out),
        picture=str(task.picture or ""),
        report=str(task.report or ""),
        state=state,
        frames=recording.n_frames,
        seconds=sum(effort.seconds for effort in efforts),
        peak_memory_mib=max(effort.peak_memory_mib for effort in efforts),
        worker=_address(),
        **found,  # type: ignore[arg-type]
    )


@lru_cache(maxsize=1)
def estimator_of(settings: EstimateSettings) -> CpuEstimator | GpuEstimator:
    """Return the estimator of this worker, opened once."""
    estimator = settings.open_estimator()
    estimator.warm_up()
    return estimator


def _cpu_estimator(settings: EstimateSettings) -> CpuEstimator:
    """Return an estimator for parts: those of one recording may be estimated on machines with and without a
    GPU, and have to be the same."""
    estimator = estimator_of(settings)
    on_cpu = estimator if isinstance(estimator, CpuEstimator) else estimator.fallback
    assert isinstance(on_cpu, CpuEstimator)
    return on_cpu


def _is_current(task: Task, key: str) -> bool:
    """Whether the outputs are there, and each was made from what has this key."""
    if not all(path.exists() for path in task.outputs):
        return False
    drawn = [path for path in (task.picture, task.report) if path is not None]
    try:
        with StrainFile(task.out) as strain:
            return strain.made_from == key and all(key.encode() in x.read_bytes() for x in drawn)
    except (OSError, RtelastoError):
        return False  # damaged, or another file: process_recording replaces it or says why not


def _peak_memory_mib() -> float:
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)
