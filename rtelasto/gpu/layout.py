"""The sizes and filters that the kernels use for a recording, all taken from the CPU back-end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu import consistency, echoes, interpolation, quality, resample
from rtelasto.cpu.averaging.measurement import n_nodes
from rtelasto.cpu.stretching import block_motion, elongation, global_motion, refine, wide_search
from rtelasto.cpu.stretching.baseband import (
    FILTER_SPANS,
    Baseband,
    baseband_sampling,
    demodulator,
)
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.gpu.source import CHUNK, SPAN

# One thread block fits the motion to all correlation blocks: beyond this it would take most of the time.
MAX_BLOCKS = 16384
# Samples of a recording per sample of the engine's grid: beyond this, filters are too long for a block.
MAX_RATIO = 64.0


@dataclass(frozen=True)
class Layout:
    """Sizes and tables of one recording on one engine's grid.

    Parameters
    ----------
    rf_format
        Format of the frames.
    samples_per_wavelength
        Axial sampling that the engine requires, or None for that of the recording.
    axial_stride
        Samples of the engine's grid per row of its output.
    sample_is_float
        Whether frames are uploaded as float32; otherwise as int16.
    more_outputs
        What the network gives beside displacement and strain, by the names of the ONNX contract.
    """

    rf_format: RfFormat
    samples_per_wavelength: float | None
    axial_stride: int
    sample_is_float: bool
    more_outputs: tuple[str, ...] = ()
    integers: dict[str, int] = field(init=False, repr=False, compare=False)
    doubles: dict[str, float] = field(init=False, repr=False, compare=False)
    tables: dict[str, NDArray[np.generic]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("integers", "doubles", "tables"):
            object.__setattr__(self, name, {})
        self._lay_out_elongation()
        self._lay_out_resampling()
        self._lay_out_quality()

    @cached_property
    def grid(self) -> Grid:
        """The engine's grid."""
        return resample.engine_grid(self.rf_format, self.samples_per_wavelength)

    @cached_property
    def rows(self) -> Grid:
        """The grid of the engine's output."""
        grid = self.grid
        n_rows = -(-grid.n_depths // self.axial_stride)
        step_m = grid.axial_step_m * self.axial_stride
        return Grid(grid.n_lines, n_rows, step_m, grid.line_pitch_m, grid.start_depth_m)

    @property
    def sample_dtype(self) -> np.dtype:
        return np.dtype(np.float32 if self.sample_is_float else np.int16)

    @property
    def frame_bytes(self) -> int:
        """Size of an uploaded frame."""
        return self.rf_format.n_lines * self.rf_format.n_samples * self.sample_dtype.itemsize

    def unsupported(self) -> str:
        """Why the kernels do not support this recording; empty if they do."""
        if self.integers["n_blocks"] > MAX_BLOCKS:
            return f"frames of {self.rf_format.n_lines} × {self.rf_format.n_samples} are too large"
        smallest = min(self.integers["out_chunk"], self.integers["row_chunk"])
        if self.doubles["ratio"] > MAX_RATIO or smallest < 1:
            return (
                f"{self.rf_format.samples_per_wavelength:.0f} samples per wavelength are too many"
            )
        return ""

    def _lay_out_elongation(self) -> None:
        rf_format = self.rf_format
        n_lines = rf_format.n_lines
        cycles, decimation, n_points = baseband_sampling(rf_format)
        taps, rotor = demodulator(decimation, cycles, n_points)
        blank = np.broadcast_to(np.float32(0.0), (n_lines, n_points))
        first_sample = 0.5 * (decimation - 1)
        frame = Baseband(blank, blank, decimation, first_sample, cycles, rf_format)
        blocks = block_motion.block_grid(frame, refine.BLOCK_LINES, refine.BLOCK_POINTS)
        n_texture = n_points // 2
        space = wide_search.search_space(frame, max(n_texture, 2))
        half_width, middle, half_depth = global_motion.half_sizes(rf_format)
        self.integers.update(
            n_lines=n_lines,
            n_samples=rf_format.n_samples,
            sample_is_float=int(self.sample_is_float),
            mean_samples=echoes.mean_samples(rf_format.samples_per_wavelength),
            decimation=decimation,
            n_points=n_points,
            n_taps=FILTER_SPANS * decimation,
            n_power=n_lines * -(-n_points // CHUNK),
            n_lateral=blocks.shape[0],
            n_axial=blocks.shape[1],
            n_blocks=blocks.x.size,
            n_texture=n_texture,
            wide_lateral=space.blocks.shape[0],
            wide_axial=space.blocks.shape[1],
            axial_lags=space.axial_lags,
            tops=space.tops,
            max_slope=space.max_slope,
            lateral_lags=space.lateral_lags,
            n_tilts=len(space.tilts),
            n_hypotheses=(
                min(len(space.tilts), wide_search.N_HYPOTHESES)
                if n_texture >= wide_search.MIN_POINTS
                else 0
            ),
        )
        self.doubles.update(
            cycles_per_sample=cycles,
            first_sample=first_sample,
            half_width=half_width,
            middle=middle,
            half_depth=half_depth,
            axial_step_m=rf_format.axial_step_m,
            line_pitch_m=rf_format.line_pitch_m,
            start_depth_m=rf_format.start_depth_m,
        )
        self.tables.update(
            demodulator=taps,
            rotor=rotor,
            block_lines=blocks.lines,
            block_points=blocks.points,
            block_x=blocks.x,
            block_z=blocks.z,
            # Four of either fit, as the kernel reads them.
            refine_ridge=np.concatenate([*refine.ridges(n_lines, blocks), [0.0]]),
            wide_lines=space.blocks.lines,
            wide_points=space.points,
            wide_x=space.blocks.x,
            wide_z=space.blocks.z,
            wide_ridge=np.full(4, wide_search.PEAK_RIDGE),
            tilts=space.tilts,
        )

    def _lay_out_resampling(self) -> None:
        grid, own = self.grid, self.rf_format.grid
        ratio = grid.axial_step_m / own.axial_step_m
        # Recordings that are refused have filters so long that designing them would take minutes.
        table, polynomial = resample.axial_filters(self.rf_format, min(ratio, MAX_RATIO))
        n_taps = interpolation.POLYNOMIAL_TAPS if polynomial else table.shape[1]
        # Positions of one chunk's outputs spread by the largest strain.
        spread = ratio * (1.0 + 1.1 * elongation.LARGEST_STRAIN)
        out_chunk = min(CHUNK, int((SPAN - n_taps - 4) / spread))
        self.integers.update(
            own_grid=int(grid == own),
            polynomial=int(polynomial),
            axial_taps=n_taps,
            n_depths=grid.n_depths,
            out_chunk=out_chunk,
            n_stretched_power=2 * grid.n_lines * -(-grid.n_depths // max(out_chunk, 1)),
        )
        self.doubles.update(ratio=ratio, depth_step_m=grid.axial_step_m)
        self.tables.update(axial_table=table, lateral_table=interpolation.lateral_table())

    def _lay_out_quality(self) -> None:
        wavelength_m = self.rf_format.wavelength_m
        half_window = quality.half_window(wavelength_m / (2.0 * self.grid.axial_step_m))
        self.integers.update(
            n_rows=self.rows.n_depths,
            axial_stride=self.axial_stride,
            half_window=half_window,
            half_rows=consistency.half_rows(self.rows),
            slope_half_rows=consistency.half_rows(self.rows, consistency.SLOPE_M),
            row_chunk=min(CHUNK, (SPAN - 2 * half_window - 1) // self.axial_stride),
            n_node_lines=n_nodes(self.rows)[0],
            n_node_rows=n_nodes(self.rows)[1],
        )
        self.doubles.update(
            row_step_m=self.rows.axial_step_m,
            power_floor=quality.POWER_FLOOR * (2 * half_window + 1),
            normal_gap_m=consistency.NORMAL_WAVELENGTHS * wavelength_m,
        )
