"""The global elongation between two RF frames, estimated from the pair alone.

Most pairs of a live stream have moved only slightly, and refinement from rest explains them. If it leaves too
much of the image uncorrelated, the wide search proposes larger motions. Each is refined in the same way, and
the one with the best correlation over the image wins.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np

from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.stretching.baseband import Baseband, baseband
from rtelasto.cpu.stretching.global_motion import at_rest
from rtelasto.cpu.stretching.refine import Refinement, Refiner
from rtelasto.cpu.stretching.texture import Texture, texture
from rtelasto.cpu.stretching.wide_search import wide_search
from rtelasto.frames.rf import Float32Image, FramePair, RfFormat, RfFrame
from rtelasto.frames.strain import Elongation

# Refinement from rest is accepted when this fraction of the blocks has at least this correlation.
ACCEPTED_CORRELATION = 0.45
ACCEPTED_FRACTION = 0.75
# Speckle of unrelated frames correlates by 0.20 (root mean square over blocks) after the best fit; at
# 0.28, where a fifth of the echo is shared, estimates are still right.
CHANCE_CORRELATION = 0.23
# More than a hand-held press causes between two frames of a stream, with a margin.
LARGEST_STRAIN = 0.15
LARGEST_SHIFT_M = 5e-3
LARGEST_SHIFT_LINES = 12.0
# A wide motion must score this much higher than rest, or rest is kept.
MIN_GAIN = 0.02
# As many as a pairing policy considers for one frame.
_KEPT_FITS = 5


@dataclass(frozen=True, slots=True)
class ElongationFit:
    """An elongation and how well it explains the pair.

    ``correlation`` is the root mean square block correlation after warping by the elongation (0…1;
    0.20 by chance), ``searched_widely`` is true if refinement from rest was not enough.
    """

    elongation: Elongation
    correlation: float
    searched_widely: bool


@dataclass(slots=True)
class _Analysed:
    frame: RfFrame
    echoes: Float32Image
    baseband: Baseband
    texture: Texture | None = None


class ElongationEstimator:
    """Estimates elongations and keeps the analysis of recent frames.

    A frame that was ``post`` in one pair and is ``pre`` in a later one (the same RfFrame object) is not
    analysed twice. Estimates do not depend on earlier pairs. Not thread-safe.

    Parameters
    ----------
    n_cached_frames
        Number of analysed frames to keep: a fixed lag needs its lag + 1, adaptive pairing those of half a
        second. About 0.7 MB each at the published size, in addition to the samples.
    """

    def __init__(self, *, n_cached_frames: int = 24) -> None:
        self._n_cached = max(2, n_cached_frames)
        self._frames: OrderedDict[int, _Analysed] = OrderedDict()
        self._refiner: tuple[RfFormat, Refiner] | None = None
        self._fits: deque[tuple[FramePair, ElongationFit]] = deque(maxlen=_KEPT_FITS)

    def __call__(self, pair: FramePair) -> ElongationFit:
        """Return the elongation of a pair; the values of the samples never cause an exception.

        Silent frames, and frames that agree no better than by chance, give rest with a correspondingly low
        correlation. The result of a recent pair, which a pairing policy may have requested, is reused.
        """
        for known, fit in self._fits:
            if known.pre is pair.pre and known.post is pair.post:
                return fit
        fit = self._estimate(pair)
        self._fits.append((pair, fit))
        return fit

    def _estimate(self, pair: FramePair) -> ElongationFit:
        pre, post = self._analysed(pair.pre), self._analysed(pair.post)
        refine = self._refiner_for(pair.pre.format, pre.baseband)
        result = refine(pre.baseband, post.baseband, at_rest())
        silent = result.correlation.size == 0
        accepted = result.settled and result.explained(ACCEPTED_CORRELATION) >= ACCEPTED_FRACTION
        widely = not (silent or accepted)
        if widely:
            result = self._search_widely(refine, pre, post, result)
        correlation = float(np.sqrt(result.score))
        elongation = result.motion.elongation(pair.pre.format)
        if correlation < CHANCE_CORRELATION or not _is_plausible(elongation, pair.pre.format):
            elongation = Elongation()
        return ElongationFit(elongation, correlation, widely)

    def echoes(self, frame: RfFrame) -> Float32Image:
        """Return the echoes of a frame, float32 (n_lines, n_samples); read-only."""
        return self._analysed(frame).echoes

    def _search_widely(
        self, refine: Refiner, pre: _Analysed, post: _Analysed, result: Refinement
    ) -> Refinement:
        pre_texture, post_texture = self._texture(pre), self._texture(post)
        for motion in wide_search(pre.baseband, pre_texture, post_texture):
            candidate = refine(pre.baseband, post.baseband, motion)
            if candidate.score > result.score + MIN_GAIN:
                result = candidate
        return result

    def _analysed(self, frame: RfFrame) -> _Analysed:
        entry = self._frames.get(id(frame))
        if entry is not None:  # a reference to the frame prevents reuse of its id
            self._frames.move_to_end(id(frame))
            return entry
        free = echoes(frame.samples, frame.format)
        entry = _Analysed(frame, free, baseband(free, frame.format))
        self._frames[id(frame)] = entry
        while len(self._frames) > self._n_cached:
            self._frames.popitem(last=False)
        return entry

    @staticmethod
    def _texture(entry: _Analysed) -> Texture:
        if entry.texture is None:
            entry.texture = texture(entry.baseband)
        return entry.texture

    def _refiner_for(self, rf_format: RfFormat, frame: Baseband) -> Refiner:
        if self._refiner is None or self._refiner[0] != rf_format:
            self._refiner = (rf_format, Refiner(frame))
        return self._refiner[1]


def _is_plausible(elongation: Elongation, rf_format: RfFormat) -> bool:
    grid = rf_format.grid
    sides, ends = grid.lateral_m[[0, -1], None], grid.depth_m[[0, -1]]
    at_top = elongation.axial_displacement_m(sides, ends[:1])
    shift_lines = elongation.lateral_displacement_m(sides, ends) / grid.line_pitch_m
    return bool(
        np.max(np.abs(elongation.axial_strain(sides))) <= LARGEST_STRAIN
        and np.max(np.abs(at_top)) <= LARGEST_SHIFT_M
        and np.max(np.abs(shift_lines)) <= LARGEST_SHIFT_LINES
    )
