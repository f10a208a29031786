"""One pair in, one strain frame out, on the CPU: stretch → engine → add back → quality."""

from __future__ import annotations

import time

import numpy as np

from rtelasto.cpu.field_of_view import clear_outside, outside_view, poor_share, summarise
from rtelasto.cpu.measured_average import MeasuredAverage
from rtelasto.cpu.pattern_average import PatternAverage
from rtelasto.cpu.staged_engine import StagedEngine
from rtelasto.cpu.stretch import Stretch
from rtelasto.cpu.stretching.elongation import ElongationFit
from rtelasto.cpu.total_motion import total_motion
from rtelasto.frames.rf import FramePair, Grid, RfFormat, RfFrame
from rtelasto.frames.strain import StrainEngine, StrainFrame


class CpuEstimator:
    """Runs the stages between pairing and publishing, and times each of them.

    Parameters
    ----------
    engine
        Estimates the residual motion of a stretched pair; its ``samples_per_wavelength`` sets the grid.
    """

    device = "cpu"

    def __init__(self, engine: StrainEngine) -> None:
        self.engine = engine
        self._stretch = Stretch(engine.samples_per_wavelength)

    def warm_up(self) -> None:
        """Run all stages once on noise, so that the first real frame does not wait for compilation."""
        rf_format = RfFormat(
            n_lines=16,
            n_samples=1024,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
        )
        noise = np.random.default_rng(0).integers(-1000, 1000, (2, 16, 1024)).astype(np.int16)
        self(FramePair(RfFrame(noise[0], rf_format), RfFrame(noise[1], rf_format)))

    def look(self, pair: FramePair) -> ElongationFit:
        """Estimate the global motion of a pair; a later :meth:`__call__` on the same pair reuses it."""
        return self._stretch.estimator(pair)

    def __call__(self, pair: FramePair) -> StrainFrame:
        """Estimate strain, displacement and correlation of a pair, and what else the engine gives.

        The strain frame contains both frame ids, the ``acquired_ns`` and ``stream`` of the post-compression
        frame, and in ``stage_ns`` the times of ``stretch``, ``engine`` and ``quality``.
        """
        started = time.perf_counter_ns()
        stretched = self._stretch(pair)
        after_stretch = time.perf_counter_ns()
        residual = self.engine.estimate(stretched)
        after_engine = time.perf_counter_ns()
        motion, matched, correlation = total_motion(
            stretched, residual, pair.pre.format.wavelength_m
        )
        outside = outside_view(pair.pre, residual.grid)
        clear_outside(outside, correlation, matched)
        quality, applied_strain = summarise(correlation, motion.axial_strain, outside)
        poor = poor_share(correlation, outside)
        after_quality = time.perf_counter_ns()
        return StrainFrame(
            axial_strain=motion.axial_strain,
            axial_displacement_m=motion.axial_displacement_m,
            correlation=correlation,
            grid=residual.grid,
            frame_ids=(pair.pre.frame_id, pair.post.frame_id),
            acquired_ns=pair.post.acquired_ns,
            stream=pair.post.stream,
            clock=pair.post.clock,
            engine=self.engine.name,
            quality=quality,
            applied_strain=applied_strain,
            poor_share=poor,
            stage_ns={
                "stretch": after_stretch - started,
                "engine": after_engine - after_stretch,
                "quality": after_quality - after_engine,
            },
            lateral_displacement_m=motion.lateral_displacement_m,
            lateral_strain=motion.lateral_strain,
            axial_strain_std=motion.axial_strain_std,
            elongation=stretched.elongation,
            post_warp_correlation=matched,
            measured=residual.measured,
        )

    def average(self, grid: Grid) -> PatternAverage | MeasuredAverage:
        """Return an empty average over frames of a grid: of measurements, if the engine has two stages."""
        if isinstance(self.engine, StagedEngine):
            return MeasuredAverage(grid, self.engine)
        return PatternAverage(grid)
