"""Scores engines on real recordings, which have no truth: correlation, uniformity and consistency.

None of the three figures alone shows that an engine is right. Post-warp correlation saturates on good pairs
and may reward a wrong displacement on bad ones, uniform strain may be blurred, and consistent strain may be
consistently wrong. Read them together, and with the edge widths on simulated tissue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.ndimage import uniform_filter

from rtelasto.accuracy import metrics
from rtelasto.accuracy.compare import Column, Competitor
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, Grid, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.host.names import printable_name
from rtelasto.sources import open_recording

Mask = NDArray[np.bool_]

WINDOW_M = 5e-3
N_WINDOWS = 5
LEAST_CORRELATION = 0.9
FIGURES = {
    "correlation": ("post-warp correlation", 4),
    "strain_snr_db": ("SNRe in uniform windows, dB", 1),
    "consistency": ("strain of neighbouring pairs, correlation", 3),
}


@dataclass(frozen=True, slots=True)
class RecordingScore:
    """The figures of one column on one pair of a recording.

    ``correlation`` is the median of the quality map over the recorded pixels, ``strain_snr_db`` the
    median of SNRe over the uniform windows, and ``consistency`` the correlation of the strain image
    with that of the previous pair, over recorded pixels; NaN for the first pair.
    """

    recording: str
    pair: int
    column: Column
    values: dict[str, float]


def score_recording(
    path: Path,
    competitors: Sequence[Competitor],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[RecordingScore]:
    """Run every competitor on every pair of neighbouring frames of a recording.

    Two frames are not neighbours if their frame ids show that others between them are missing.

    The SNRe windows, 5 × 5 mm, are the same for all engines. Of the windows that tile the recorded part and
    in which the correlation of every engine is above 0.9, these are the five where the strain, averaged over
    engines and pairs, is most uniform (least σ / |mean|). No single engine decides what is uniform.

    Raises
    ------
    RtelastoError
        If the recording cannot be read or has no two neighbouring frames.
    """
    with open_recording(path) as recording:
        frames = list(recording)
    if len(frames) < 2:
        raise RtelastoError(f"{path}: {len(frames)} frame makes no pair, at least 2 are needed")
    pairs = [
        FramePair(pre, post) for pre, post in pairwise(frames) if post.frame_id == pre.frame_id + 1
    ]
    if not pairs:
        raise RtelastoError(f"{path}: by their frame ids, no two frames are neighbours")
    found: list[list[tuple[Column, StrainFrame]]] = []
    for done, pair in enumerate(pairs, 1):
        found.append([result for competitor in competitors for result in competitor.strains(pair)])
        if progress is not None:
            progress(done)
    # Windows are sets of pixels: an engine with another output grid than the first one is excluded, and the
    # table shows dashes for it.
    own = [[f for column, f in results if column.own] for results in found]
    grid = own[0][0].grid
    on_grid = [[f for f in of_pair if f.grid == grid] for of_pair in own]
    recorded = recorded_pixels(frames[0], grid)
    windows = uniform_windows(on_grid, recorded)
    scores: list[RecordingScore] = []
    before: dict[Column, StrainFrame] = {}
    for index, results in enumerate(found):
        for column, frame in results:
            if frame.grid != grid:
                continue
            previous = before.get(column)
            values = {
                "correlation": float(np.median(frame.correlation[recorded])),
                "strain_snr_db": _median_snr_db(frame, windows),
                "consistency": float("nan")
                if previous is None
                else alike(previous.axial_strain[recorded], frame.axial_strain[recorded]),
            }
            before[column] = frame
            scores.append(RecordingScore(printable_name(path.name), index, column, values))
    return scores


def recorded_pixels(frame: RfFrame, grid: Grid) -> Mask:
    """Return the pixels of a grid around which the frame has echoes, and which are not at its border."""
    energy = uniform_filter(np.square(frame.samples.astype(np.float32)), (1, 9), mode="constant")
    source = frame.format.grid
    rows = np.rint((grid.depth_m - source.start_depth_m) / source.axial_step_m).astype(int)
    mask = energy[:, np.clip(rows, 0, source.n_depths - 1)] > 0.0
    border = max(1, round(1.2e-3 / grid.axial_step_m))
    # The last rows of a frame may be empty: the border is measured from the end of the echoes.
    deep = uniform_filter(mask.astype(np.float32), (1, 2 * border + 1), mode="constant")
    mask &= deep > 0.999
    mask[:4] = mask[-4:] = False
    return mask


def uniform_windows(frames: Sequence[Sequence[StrainFrame]], recorded: Mask) -> list[Mask]:
    """Return the windows of `score_recording`, from the frames (pair, engine) of one grid."""
    grid = frames[0][0].grid
    worst = np.min([f.correlation for of_pair in frames for f in of_pair], axis=0)
    # The applied strain differs between pairs, so each pair is scaled by its own strain.
    level = [
        max(float(np.median([abs(f.applied_strain) for f in of_pair])), 1e-5) for of_pair in frames
    ]
    strain = np.mean(
        [
            np.mean([f.axial_strain for f in of_pair], axis=0) / unit
            for of_pair, unit in zip(frames, level, strict=True)
        ],
        axis=0,
    )
    ranked = []
    for window in _tiles(grid):
        if recorded[window].all() and np.median(worst[window]) > LEAST_CORRELATION:
            values = strain[window]
            ranked.append((float(values.std() / max(abs(values.mean()), 1e-9)), window))
    ranked.sort(key=lambda entry: entry[0])
    windows = []
    for _, window in ranked[:N_WINDOWS]:
        mask = np.zeros(grid.shape, bool)
        mask[window] = True
        windows.append(mask)
    return windows


def _tiles(grid: Grid) -> Iterator[tuple[slice, slice]]:
    lines = max(2, round(WINDOW_M / grid.line_pitch_m))
    rows = max(2, round(WINDOW_M / grid.axial_step_m))
    for line in range(0, grid.n_lines - lines + 1, lines):
        for row in range(0, grid.n_depths - rows + 1, rows):
            yield slice(line, line + lines), slice(row, row + rows)


def _median_snr_db(frame: StrainFrame, windows: list[Mask]) -> float:
    if not windows:
        return float("nan")
    return float(np.median([metrics.strain_snr_db(frame.axial_strain[w]) for w in windows]))


def alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the correlation of two sets of pixels, NaN if one of them is uniform."""
    if a.size < 2 or a.std() == 0.0 or b.std() == 0.0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def recording_table(scores: Sequence[RecordingScore], columns: Sequence[Column]) -> Table:
    """Return medians over the pairs of each recording, and on how many pairs the first column leads."""
    recordings = list(dict.fromkeys(score.recording for score in scores))
    table = Table(
        title="recordings: medians over consecutive pairs",
        title_justify="left",
        box=None,
        padding=(0, 1),
    )
    table.add_column("")
    for column in columns:
        table.add_column(column.label, justify="right")
    for recording in recordings:
        table.add_row(recording)
        for figure, (label, digits) in FIGURES.items():
            cells = []
            for column in columns:
                values = [
                    s.values[figure]
                    for s in scores
                    if s.recording == recording and s.column == column
                ]
                values = [v for v in values if np.isfinite(v)]
                cells.append(f"{np.median(values):.{digits}f}" if values else "–")
            table.add_row(f"  {label}", *cells)
    return table


def lowest_lead(scores: Sequence[RecordingScore], reference: str, figure: str) -> float:
    """Return the least difference, over the pairs, of the reference's figure and the best other one."""
    leads = []
    for key in dict.fromkeys((s.recording, s.pair) for s in scores):
        ours = [
            s.values[figure]
            for s in scores
            if (s.recording, s.pair) == key and s.column.label == reference
        ]
        others = [
            s.values[figure]
            for s in scores
            if (s.recording, s.pair) == key and s.column.own and s.column.label != reference
        ]
        if ours and others:
            leads.append(ours[0] - max(others))
    return min(leads, default=float("nan"))
