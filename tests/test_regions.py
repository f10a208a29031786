"""Strain ratio, SNRe and CNRe of two regions of interest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtelasto import Grid, Region, RtelastoError, StrainFrame, measure_regions
from rtelasto.accuracy.region_measures import ratio_interval

GRID = Grid(n_lines=64, n_depths=200, axial_step_m=2e-4, line_pitch_m=3e-4, start_depth_m=1e-3)
LESION = Region(lateral_m=-3e-3, depth_m=20e-3, half_width_m=3e-3, half_height_m=4e-3)
BACKGROUND = Region(lateral_m=5e-3, depth_m=20e-3, half_width_m=3e-3, half_height_m=4e-3)


def frame() -> StrainFrame:
    """1 % compression, 0.4 % in the lesion, with noise of 0.1 %."""
    rng = np.random.default_rng(3)
    strain = np.full(GRID.shape, -0.01)
    strain[LESION.pixels(GRID)] = -0.004
    strain += 0.001 * rng.standard_normal(GRID.shape)
    images = strain.astype(np.float32)
    return StrainFrame(images, images, np.full(GRID.shape, 0.95, np.float32), GRID)


def test_a_region_is_its_ellipse():
    pixels = LESION.pixels(GRID)
    area_m2 = pixels.sum() * GRID.axial_step_m * GRID.line_pitch_m
    assert area_m2 == pytest.approx(math.pi * 3e-3 * 4e-3, rel=0.02)
    lines, depths = np.nonzero(pixels)
    assert GRID.lateral_m[lines].mean() == pytest.approx(-3e-3, abs=1e-4)
    assert GRID.depth_m[depths].mean() == pytest.approx(20e-3, abs=1e-4)


def test_figures_of_known_strain_and_noise():
    found = measure_regions(frame(), LESION, BACKGROUND)
    assert found.lesion_strain == pytest.approx(-0.004, rel=0.02)
    assert found.background_strain == pytest.approx(-0.01, rel=0.02)
    assert found.strain_ratio == pytest.approx(2.5, rel=0.03)
    assert found.snr_db == pytest.approx(20.0, abs=1.0)
    assert found.cnr_db == pytest.approx(20 * math.log10(2 * 0.006**2 / (2 * 0.001**2)), abs=1.0)


def test_pixels_that_cannot_be_trusted_do_not_count():
    doubtful = frame()
    worse = doubtful.axial_strain.copy()
    worse[:, 60:] = 0.5
    correlation = doubtful.correlation.copy()
    correlation[:, 60:] = 0.2
    worse[10, 50] = np.nan
    masked = doubtful.replace(axial_strain=worse, correlation=correlation)
    region = Region(lateral_m=5e-3, depth_m=13e-3, half_width_m=3e-3, half_height_m=4e-3)
    found = measure_regions(masked, LESION, region)
    assert found.background_strain == pytest.approx(-0.01, rel=0.02)
    assert math.isnan(found.lesion_strain)
    assert math.isnan(found.strain_ratio)
    assert math.isnan(found.cnr_db)


def test_the_ratio_has_an_interval_where_the_engine_knows_its_error():
    assert all(map(math.isnan, measure_regions(frame(), LESION, BACKGROUND).strain_ratio_interval))
    std = np.full(GRID.shape, 4e-4, np.float32)
    found = measure_regions(frame().replace(axial_strain_std=std), LESION, BACKGROUND)
    low, high = found.strain_ratio_interval
    assert low < found.strain_ratio < high
    unsure = measure_regions(frame().replace(axial_strain_std=6 * std), LESION, BACKGROUND)
    assert all(map(math.isnan, unsure.strain_ratio_interval))


def test_the_interval_of_a_ratio_holds_the_true_one_in_95_of_100_cases():
    rng = np.random.default_rng(5)
    above, below = rng.normal((1.0, 0.4), (0.1, 0.05), (20_000, 2)).T
    ends = np.array([ratio_interval(a, 0.1, b, 0.05) for a, b in zip(above, below, strict=True)])
    held = (ends[:, 0] <= 2.5) & (ends[:, 1] >= 2.5)
    assert held.mean() == pytest.approx(0.95, abs=0.005)
    assert ratio_interval(1.0, 0.0, 0.5, 0.0) == (2.0, 2.0)
    assert all(map(math.isnan, ratio_interval(1.0, 0.1, 0.0, 0.1)))


def test_regions_outside_the_image_or_of_no_size():
    far = Region(lateral_m=0.5, depth_m=20e-3, half_width_m=1e-3, half_height_m=1e-3)
    assert math.isnan(measure_regions(frame(), far, BACKGROUND).strain_ratio)
    with pytest.raises(RtelastoError, match="half_width_m"):
        Region(lateral_m=0.0, depth_m=0.0, half_width_m=0.0, half_height_m=1e-3)
