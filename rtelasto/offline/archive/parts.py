"""A long recording in parts, so that several workers share it, and their joining, which makes no difference.

Which frames pair depends on all pairs before, and so does the average over time. Both are cheap. What takes
the time depends on two frames alone (`rtelasto.offline.archive.estimates`). So a part is a run of frames
whose estimates go into a file, and joining processes the whole recording again, as if it had never been
split, with these estimates. A pair that no part chose is estimated then: the result is always that of the
whole.

A part begins with the frames before it that its first frame can pair with, and pairs them, too: by then its
choices are nearly always those of the whole recording.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtelasto.cpu.estimator import CpuEstimator
from rtelasto.offline.archive.estimates import keeping
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.pipeline import Pipeline
from rtelasto.sinks.output_file import discard_leftovers
from rtelasto.sources.recording import Recording
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.sequence import SequenceCheck

PART_FRAMES = 250
"""The least number of frames of a part; a recording of twice as many is split."""

ENOUGH_RECORDINGS = 4
"""With this many for each worker, long ones are not split."""


@dataclass(frozen=True, slots=True)
class Part:
    """Frames ``first`` to ``stop - 1`` of a recording, and the file of their estimates."""

    first: int
    stop: int
    estimates: Path


def worth_splitting(n_recordings: int, n_workers: int) -> bool:
    """Whether splitting long recordings gains time: where all workers are busy anyway, it only costs."""
    if n_workers == 0:  # a cluster that will have some
        return True
    return n_workers > 1 and n_recordings < ENOUGH_RECORDINGS * n_workers


def split(n_frames: int, out: Path, key: str) -> list[Part]:
    """Return the parts of a recording, of about the same length; none if it is short.

    Parameters
    ----------
    n_frames
        Of the recording.
    out
        Its strain file, beside which the parts lie.
    key
        Of what the strain depends on (`rtelasto.offline.content_key`): only parts of this key are used.
    """
    n_parts = n_frames // PART_FRAMES
    if n_parts < 2:
        return []
    bounds = [n_frames * k // n_parts for k in range(n_parts + 1)]
    return [
        Part(first, stop, _folder(out) / f"{key}-{first}.npz") for first, stop in pairwise(bounds)
    ]


def estimate_part(
    recording: Recording, part: Part, policy: PairPolicy, estimator: CpuEstimator
) -> None:
    """Write the estimates of a part, unless they are there.

    Raises
    ------
    RtelastoError
        If the recording cannot be read, or the file cannot be written.
    """
    if part.estimates.exists():
        return
    part.estimates.parent.mkdir(parents=True, exist_ok=True)
    discard_leftovers(part.estimates)
    with keeping(estimator, part.estimates) as keeper:
        counters = Counters()
        pipeline = Pipeline(keeper, policy, counters, drop_copies=True)
        pipeline.look_ahead(recording)
        sequence = SequenceCheck(counters)
        for i in range(_reach(recording, part.first, policy), part.stop):
            frame = recording.frame(i)
            if sequence.accept(frame.stream, i, frame.frame_id):
                pipeline.process(frame)


def _reach(recording: Recording, first: int, policy: PairPolicy) -> int:
    """Return the index of the earliest frame that may pair with frame ``first``."""
    earliest = max(0, first - policy.history)
    times_ns = recording.timestamps_ns
    if policy.lag is not None or times_ns is None:
        return earliest
    since_ns = times_ns[first] - round(1e9 * policy.max_lag_s)
    return max(earliest, int(np.searchsorted(times_ns, since_ns)))


def clear_parts(out: Path, *, keep: Iterable[Path] = ()) -> None:
    """Remove the estimates of an output's parts, finished or not, but not the files in ``keep``."""
    kept = set(keep)
    with contextlib.suppress(OSError):
        for path in _folder(out).iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)
        _folder(out).rmdir()  # fails if any was kept


def whole_parts(out: Path) -> list[Path]:
    """Return the files of estimates that were finished for an output."""
    return sorted(_folder(out).glob("*.npz"))


def _folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")
