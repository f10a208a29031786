"""What frames say together: echo frequency, decorrelation, strain, and the pairing that suits it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.spectrum import LARGEST_CENTRE_ERROR, shallow_center_freq_hz
from rtelasto.cpu.stretching.elongation import ElongationEstimator
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import FramePair, RfFrame
from rtelasto.live.stream_check.finding import Finding
from rtelasto.pipeline.pair_policy import PairPolicy
from rtelasto.pipeline.partner_search import TRACKED_CORRELATION, Look
from rtelasto.pipeline.pipeline import image_fault
from rtelasto.pipeline.to_rf_lines import RfLines

# Frames over the whole time between which strain is followed, and neighbours looked at.
_TRACK: Final = 32
_NEIGHBOURS: Final = 12
_SPECTRA: Final = 6
# The viewer shows no strain below.
_REST: Final = 0.0005
_POLICY: Final = PairPolicy(lag=None)


def judge_motion(
    frames: Sequence[ScannerFrame], rate_hz: float
) -> tuple[dict[str, str], list[Finding]]:
    """Return what pairs of frames say, and what is wrong with them.

    Parameters
    ----------
    frames
        Of one stream and format, in acquisition order. Those that are looked at are converted to RF lines,
        once, as the pipeline does.
    rate_hz
        Acquisitions per second; NaN where it is unknown.
    """
    if len(frames) < 2:
        return {}, []
    lines = _Lines(frames)
    if lines[0] is None and lines.refused:
        return {}, [
            Finding(
                "format refused",
                "the frames cannot become RF lines (rf_lines.refused)",
                "the log line above says which value of the format is at fault",
            )
        ]
    facts, found = _spectrum(lines)
    track = np.unique(np.linspace(0, len(frames) - 1, _TRACK).round().astype(int))
    step = max(1, len(track) // _NEIGHBOURS)
    tried = (lines.look(int(k), int(k) + 1) for k in track[:-1:step])
    looks = [look for look in tried if look is not None]
    if not looks:
        return facts, found
    correlation = float(np.median([look.correlation for look in looks]))
    facts["neighbours"] = f"correlation {correlation:.2f} after the global motion, 0.2 is chance"
    if correlation < TRACKED_CORRELATION:
        found.append(
            Finding(
                "decorrelation",
                f"neighbouring frames correlate by {correlation:.2f} only",
                "move less and slower, stay in the plane, raise the frame rate; if the probe is still, the "
                "samples are noise, or lines and samples are swapped or shifted from frame to frame",
            )
        )
        return facts, found
    strain_facts, strain_found = _strain(lines, track, looks, rate_hz)
    return facts | strain_facts, found + strain_found


class _Lines:
    """Frames as RF lines, each converted once and only if it is looked at."""

    def __init__(self, frames: Sequence[ScannerFrame]) -> None:
        self._frames = frames
        self._convert = RfLines()
        self._kept: dict[int, RfFrame | None] = {}
        self._elongation = ElongationEstimator()

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, k: int) -> RfFrame | None:
        if k not in self._kept:
            lines = self._convert(self._frames[k])
            self._kept[k] = None if lines is None or image_fault(lines.samples) else lines
        return self._kept[k]

    @property
    def refused(self) -> bool:
        return bool(self._convert.counters["rf_lines.refused"])

    def id_of(self, k: int) -> int:
        return self._frames[k].frame_id

    def look(self, pre: int, post: int) -> Look | None:
        """Return what the global elongation of two frames says; None if either holds no image."""
        old, new = self[pre], self[post]
        if old is None or new is None:
            return None
        pair = FramePair(old, new, self.id_of(post) - self.id_of(pre))
        return Look.of(self._elongation(pair))


def _spectrum(lines: _Lines) -> tuple[dict[str, str], list[Finding]]:
    spread = np.unique(np.linspace(0, len(lines) - 1, _SPECTRA).round().astype(int))
    usable = [frame for k in spread if (frame := lines[int(k)]) is not None]
    if not usable:
        return {}, []
    rf_format = usable[0].format
    found_hz = shallow_center_freq_hz(
        [echoes(frame.samples, rf_format) for frame in usable],
        sampling_freq_hz=rf_format.sampling_freq_hz,
    )
    if found_hz is None:
        return {}, []
    said_hz = rf_format.center_freq_hz
    seen = f"the shallow echo is centred at {found_hz / 1e6:.2f} MHz"
    said = f"the format says {said_hz / 1e6:.2f} MHz"
    facts = {"echo": f"{seen}, {said}"}
    if abs(found_hz / said_hz - 1.0) <= LARGEST_CENTRE_ERROR:
        return facts, []
    return facts, [
        Finding(
            "wrong centre frequency",
            f"{seen}, {said}",
            "give the echo's frequency as center_freq_hz and the rate of the samples as sent as "
            "sampling_freq_hz; a wrong one of either shifts this, the second also the depths",
        )
    ]


def _strain(
    lines: _Lines,
    track: NDArray[np.int_],
    looks: Sequence[Look],
    rate_hz: float,
) -> tuple[dict[str, str], list[Finding]]:
    """Follow the strain over the time, and compare it with the target of adaptive pairing."""
    ids, positions, scenes, per_frame = [lines.id_of(int(track[0]))], [0.0], [0], []
    for pre, post in pairwise(track):
        look = lines.look(int(pre), int(post))
        apart = lines.id_of(int(post)) - lines.id_of(int(pre))
        tracked = look is not None and look.tracks
        strain = look.applied_strain if look is not None and tracked else 0.0
        ids.append(ids[-1] + apart)
        positions.append(positions[-1] + strain)
        # Positions on both sides of a pair that does not match cannot be compared.
        scenes.append(scenes[-1] + (not tracked))
        if tracked:
            per_frame.append(abs(strain) / apart)
    if not per_frame:
        # Only neighbours match: they are all that is known.
        per_frame = [abs(look.applied_strain) for look in looks]
    target = _POLICY.target_strain
    typical = float(np.median(per_frame))
    reach = _POLICY.max_lag
    if math.isfinite(rate_hz):
        reach = max(1, min(reach, round(_POLICY.max_lag_s * rate_hz)))
    within = _largest_within(np.array(ids), np.array(positions), np.array(scenes), reach)
    within = max(within, typical)
    facts = {
        "strain": f"{100 * typical:.3f} % per frame (median), up to {100 * within:.2f} % within the "
        f"{reach} frames that pairing reaches back"
    }
    if typical >= 2.0 * target:
        return facts | {"pairing": "--pair consecutive"}, [
            Finding(
                "much strain",
                f"neighbouring frames are strained by {100 * typical:.1f} % already",
                f"press slower or raise the frame rate: about {100 * target:g} % per pair is best; "
                "meanwhile --pair consecutive",
            )
        ]
    if within < _REST:
        return facts, [
            Finding(
                "at rest",
                f"no more than {100 * within:.3f} % strain within half a second",
                "press gently up and down, about once a second; without strain there is no picture of it",
            )
        ]
    if within < 0.5 * target:
        suggested = f"--target-strain {within:.4f}"
        return facts | {"pairing": f"--pair adaptive {suggested}"}, [
            Finding(
                "little strain",
                f"pairing aims for {100 * target:g} % and finds {100 * within:.2f} % within its reach",
                f"press more or faster; or {suggested}, or a longer --max-lag-s",
            )
        ]
    apart = max(1, round(target / typical)) if typical > 0.0 else reach
    away = f"about {min(apart, reach)} frames apart at this press"
    return facts | {
        "pairing": f"--pair adaptive --target-strain {target:g} (the default), {away}"
    }, []


def _largest_within(
    ids: NDArray[np.int_], positions: NDArray[np.float64], scenes: NDArray[np.int_], reach: int
) -> float:
    """Return the strain that pairing can reach from most frames: the upper quartile of the largest."""
    largest = []
    for k in range(1, len(ids)):
        near = (ids[k] - ids[:k] <= reach) & (scenes[:k] == scenes[k])
        if near.any():
            largest.append(float(np.abs(positions[k] - positions[:k][near]).max()))
    return float(np.quantile(largest, 0.75)) if largest else 0.0
