"""What the summary of an archive says about a recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial

import numpy as np

from rtelasto.accuracy.recordings import alike
from rtelasto.offline.archive.recordings import Task
from rtelasto.offline.process import HandSummary, finite_median
from rtelasto.sources.strain_file import StrainFile

# Reading the images takes much longer than all other figures.
_MOST_COMPARED = 20


class State(StrEnum):
    """What became of a recording."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recording's line in the summary; figures are NaN or 0 where there are none.

    Attributes
    ----------
    recording, out, picture, report
        Paths; the last two are empty if none was drawn or written.
    state, reason
        What became of it, and why it failed.
    frames, pairs
        Numbers of RF frames and of strain frames.
    median_correlation
        Median over the pairs of their median post-warp correlation.
    poor_share
        Median over the pairs of the share of their pixels with poor correlation (below 0.7).
    press_strain, release_strain
        Median applied strain of the pairs in a press and in a release.
    pattern_stability
        Median correlation of the strain images of successive pairs (relative strain, if there is one), of
        up to 20 pairs evenly over the recording.
    losses
        Frames that made no strain, by cause: "pair.first 1, gaps 3".
    seconds, peak_memory_mib, worker
        Computing time, highest memory of the worker's process until then, and the worker's address.
    """

    recording: str
    out: str
    picture: str = ""
    report: str = ""
    state: State
    reason: str = ""
    frames: int = 0
    pairs: int = 0
    median_correlation: float = math.nan
    poor_share: float = math.nan
    press_strain: float = math.nan
    release_strain: float = math.nan
    pattern_stability: float = math.nan
    losses: str = ""
    seconds: float = math.nan
    peak_memory_mib: float = math.nan
    worker: str = ""


def failed(task: Task, reason: str, worker: str = "") -> Row:
    return Row(
        recording=str(task.recording),
        out=str(task.out),
        state=State.FAILED,
        reason=reason,
        worker=worker,
    )


def figures(strain: StrainFile) -> dict[str, float | int | str]:
    """Return the figures of a row that the strain file itself holds."""
    hand = HandSummary.of(strain.applied_strain)
    losses = {cause: n for cause, n in strain.drops.items() if n and cause != "strain_out"}
    return {
        "pairs": strain.n_frames,
        "median_correlation": finite_median(strain.quality),
        "poor_share": finite_median(strain.poor_share),
        "press_strain": hand.press_strain,
        "release_strain": hand.release_strain,
        "pattern_stability": _stability(strain),
        "losses": ", ".join(f"{cause} {count}" for cause, count in losses.items()),
    }


def _stability(strain: StrainFile) -> float:
    last = strain.n_frames - 1
    chosen = sorted({round(i) for i in np.linspace(1, last, min(last, _MOST_COMPARED))})
    name = "relative_strain" if strain.has_relative_strain else "axial_strain"
    pattern = lru_cache(maxsize=2)(partial(strain.image, name))
    values = []
    for i in chosen:
        before, after = pattern(i - 1), pattern(i)
        both = np.isfinite(before) & np.isfinite(after)
        values.append(alike(before[both], after[both]))
    return finite_median(values)
