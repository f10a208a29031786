"""What a worker does: one recording at a time, with an engine that is opened once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rtelasto.errors import RtelastoError
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.archive.row import Row, State, figures
from rtelasto.offline.content_key import content_key
from rtelasto.offline.process import process_recording
from rtelasto.pipeline.estimators import Estimator
from rtelasto.settings import EstimateSettings
from rtelasto.sinks.output_file import discard_leftovers
from rtelasto.sources.opening import open_recording
from rtelasto.sources.strain_file import StrainFile

# A worker with several threads still computes one recording at a time: the engine has the cores.
_one_at_a_time = threading.Lock()


def process_task(
    task: Task,
    settings: EstimateSettings,
    overrides: Mapping[str, Any],
    how: Mapping[str, Any],
    force: bool,
) -> Row:
    """Write the strain of a recording and its picture, unless both exist and nothing has changed.

    ``overrides`` and ``how`` are keyword arguments of `rtelasto.open_recording` and `content_key`.

    Raises
    ------
    RtelastoError
        If the recording cannot be read, makes no pair, or its strain cannot be written.
    """
    with _one_at_a_time:
        started = time.perf_counter()
        with open_recording(task.recording, **overrides) as recording:
            state = State.UNCHANGED
            if not _is_current(task, content_key(recording, settings, **how)):
                state = State.DONE
                task.out.parent.mkdir(parents=True, exist_ok=True)
                discard_leftovers(*task.outputs)
                process_recording(
                    recording,
                    task.out,
                    settings,
                    png=task.picture,
                    force=force,
                    estimator=_estimator(settings),
                    **how,
                )
            n_frames = recording.n_frames
        with StrainFile(task.out) as strain:
            return Row(
                recording=str(task.recording),
                out=str(task.out),
                picture=str(task.picture or ""),
                state=state,
                frames=n_frames,
                seconds=time.perf_counter() - started,
                peak_memory_mib=_peak_memory_mib(),
                worker=_address(),
                **figures(strain),  # type: ignore[arg-type]
            )


@lru_cache(maxsize=1)
def _estimator(settings: EstimateSettings) -> Estimator:
    estimator = settings.open_estimator()
    estimator.warm_up()
    return estimator


def _is_current(task: Task, key: str) -> bool:
    """Whether the outputs are there and were made from what has this key."""
    if not all(path.exists() for path in task.outputs):
        return False
    try:
        with StrainFile(task.out) as strain:
            return strain.made_from == key
    except RtelastoError:
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
