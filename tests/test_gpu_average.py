"""The average over time on a GPU: its kernels, built for the host, against those of the CPU."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from host_kernels import HostGpu

from rtelasto.cpu.averaging.measurement import node_means
from rtelasto.cpu.pattern_average import PatternAverage, TissuePosition
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.pattern_average import GpuPatternAverage, OnDevice

pytestmark = pytest.mark.usefixtures("simulated_device")

GRIDS = [
    Grid(33, 251, 1e-4, 3e-4),  # odd sizes
    Grid(128, 652, 6e-5, 3e-4),
    Grid(1, 40, 1e-4, 3e-4),
    Grid(9, 5, 1e-4, 3e-4),
    Grid(2, 1, 1e-4, 3e-4),
]
APPLIED = -0.008
VARIANCE = 1.5e-7


def random_pair(rng: np.random.Generator, grid: Grid) -> StrainFrame:
    """A pair with a pattern of its own: noise on layers, wild and missing pixels, parts without echo."""
    rows = np.arange(grid.n_depths)
    layers = 1.0 + 0.95 * np.sin(rows / 9.0 + rng.normal(0.0, 0.1)) + np.zeros(grid.shape)
    strain = APPLIED * layers + rng.normal(0.0, 3e-4, grid.shape)
    correlation = rng.uniform(0.3, 1.0, grid.shape)
    correlation[rng.uniform(size=grid.shape) < 0.05] = 0.0
    correlation[grid.n_lines // 3 : grid.n_lines // 2, grid.n_depths // 4 :] = 0.0
    strain[rng.uniform(size=grid.shape) < 0.01] = np.nan
    strain[rng.uniform(size=grid.shape) < 0.01] = 1e6
    correlation[rng.uniform(size=grid.shape) < 0.01] = np.nan
    displacement_m = APPLIED * grid.depth_m + rng.normal(0.0, 1e-6, grid.shape)
    return StrainFrame(
        axial_strain=strain.astype(np.float32),
        axial_displacement_m=displacement_m.astype(np.float32),
        correlation=correlation.astype(np.float32),
        grid=grid,
        quality=0.9,
        applied_strain=APPLIED,
    )


def position(
    rng: np.random.Generator, average: Any, frame: StrainFrame, *, rows: float, lines: float
) -> TissuePosition:
    """A position some rows and lines away, not the same for all tissue."""
    grid, shape = frame.grid, average.measure(frame).motion_m.shape
    away = rows + rng.normal(0.0, 0.1 * abs(rows) + 0.2, shape)
    return TissuePosition(
        0.0, (grid.axial_step_m * away).astype(np.float32), lines * grid.line_pitch_m
    )


def assert_same_image(got: np.ndarray, wanted: np.ndarray) -> None:
    """Equal but for rounding, at the border of what is known by rare pixels."""
    assert (np.isnan(got) != np.isnan(wanted)).mean() < 1e-3
    known = np.isfinite(got) & np.isfinite(wanted)
    np.testing.assert_allclose(got[known], wanted[known], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in reverse"])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.n_lines} × {grid.n_depths}")
def test_the_average_is_that_of_the_cpu(library: ctypes.CDLL, grid: Grid, reverse: bool) -> None:
    library.set_reverse(int(reverse))
    rng = np.random.default_rng(3)
    cpu, gpu = PatternAverage(grid), GpuPatternAverage(grid, lambda strain: None)
    places = [(0.0, 0.0), (0.7, 0.3), (-2.4, -1.0), (9.0, 1.6), (-40.0, 0.004), (0.0, 90.0)]
    for k, (rows, lines) in enumerate(places * 2):
        frame = random_pair(rng, grid)
        if k % 4 == 3:  # contradicts the average
            frame = frame.replace(axial_strain=np.ascontiguousarray(frame.axial_strain[:, ::-1]))
        at = position(rng, cpu, frame, rows=rows, lines=lines)
        tried = [
            average.try_pair(average.measure(frame), at, 0.97, VARIANCE) for average in (cpu, gpu)
        ]
        np.testing.assert_allclose(tried[1], tried[0], rtol=2e-4)
        for average in (cpu, gpu):
            average.accept()
        here = position(rng, cpu, frame, rows=0.5 * rows, lines=0.7 * lines)
        for got, wanted in zip(gpu.read(here, VARIANCE), cpu.read(here, VARIANCE), strict=True):
            assert_same_image(got, wanted)
        if k == 7:
            there = position(rng, cpu, frame, rows=1.5, lines=1.6)
            cpu.move_to(there)
            gpu.move_to(there)
    cpu.clear()
    gpu.clear()
    assert np.isnan(gpu.read(here, VARIANCE)[0]).all()


def test_images_on_the_device_are_not_uploaded() -> None:
    grid = GRIDS[0]
    frame = random_pair(np.random.default_rng(4), grid)
    there = OnDevice(frame.axial_strain.copy(), frame.correlation.copy(), node_means(frame))
    gpu = GpuPatternAverage(grid, lambda strain: there if strain is frame else None)
    blank = frame.replace(axial_strain=np.full(grid.shape, np.nan, np.float32))
    at = position(np.random.default_rng(5), gpu, frame, rows=0.0, lines=0.0)
    for average in (gpu, PatternAverage(grid)):
        average.try_pair(average.measure(frame), at, 1.0, VARIANCE)
        average.accept()
    first = gpu.read(at, VARIANCE)[0]
    assert_same_image(first, average.read(at, VARIANCE)[0])
    # The frame's images are nowhere on the device: these are uploaded, and contain nothing.
    gpu.try_pair(gpu.measure(blank), at, 1.0, VARIANCE)
    gpu.accept()
    np.testing.assert_array_equal(gpu.read(at, VARIANCE)[0], first)


@pytest.mark.parametrize("shape", [(33, 251), (1, 4), (8, 16), (9, 17)])
def test_means_at_nodes_are_those_of_the_cpu(library: ctypes.CDLL, shape: tuple[int, int]) -> None:
    size = RfFormat(
        n_lines=shape[0],
        n_samples=4 * shape[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.3e-3,
    )
    gpu = HostGpu(library, Layout(size, 6.4, 4, False))
    frame = random_pair(np.random.default_rng(6), gpu.layout.rows)
    gpu["strain"][:], gpu["post_warp_correlation"][:] = frame.axial_strain, frame.correlation
    gpu["displacement_m"][:] = frame.axial_displacement_m
    gpu.launch(
        "node_means",
        tuple(gpu.layout.integers[f"n_node_{n}"] for n in ("rows", "lines")),
        threads=128,
    )
    images, _ = gpu.output()
    np.testing.assert_allclose(images["node_means"], node_means(frame), rtol=1e-5)
