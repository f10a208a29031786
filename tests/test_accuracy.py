"""The accuracy benchmark: metrics against hand-computed numbers, regions, one run from end to end."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.special import ndtr

from rtelasto.accuracy import metrics
from rtelasto.accuracy.compare import TRUTH, Column, Comparison, Competitor, Score, compare
from rtelasto.accuracy.picture import save_comparison
from rtelasto.accuracy.summary import ratios, rival_windows, shown_columns, spread
from rtelasto.accuracy.tables import as_json, binned_table, summary_table
from rtelasto.accuracy.tissue_regions import (
    edge_profile,
    ellipse_radius,
    judged_pixels,
    strain_windows,
)
from rtelasto.accuracy.tissues import FIRST_SEED, held_out_pairs
from rtelasto.cli import main
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines.simulate.motion import DisplacementField, Truth
from rtelasto_engines.simulate.tissue import Inclusion

GRID = Grid(96, 640, 77e-6, 0.3e-3)
WAVELENGTH_M = 1540.0 / 6.25e6


def test_rmse_and_decibels_by_hand() -> None:
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.rmse(truth + np.array([3.0, -4.0, 0.0, 0.0]), truth) == pytest.approx(2.5)
    assert math.isnan(metrics.rmse(np.empty(0), np.empty(0)))
    # Mean 10, standard deviation 1: 20 dB. A constant offset is no noise.
    window = np.array([9.0, 11.0])
    assert metrics.strain_snr_db(-window) == pytest.approx(20.0)
    assert metrics.displacement_snr_db(window, np.array([0.0, 0.0])) == pytest.approx(20.0)
    assert metrics.displacement_snr_db(window, window - 5.0) == math.inf
    # 2 (10 − 4)² / (1² + 2²) = 14.4.
    inclusion = np.array([2.0, 6.0])
    assert metrics.strain_cnr_db(window, inclusion) == pytest.approx(20.0 * math.log10(14.4))


def test_bias_is_positive_where_there_is_too_much_strain_of_either_sign() -> None:
    for sign in (1.0, -1.0):
        truth = sign * np.array([0.01, 0.01])
        assert metrics.bias_percent(1.2 * truth, truth) == pytest.approx(20.0)


def test_agreement_by_hand() -> None:
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    line = metrics.agreement(2.0 * truth + 1.0, truth)
    assert (line.slope, line.intercept, line.r2) == pytest.approx((2.0, 1.0, 1.0))
    # Differences 1, 2, 3, 4: mean 2.5, standard deviation √(5/3).
    assert line.bias == pytest.approx(2.5)
    assert line.limit == pytest.approx(1.96 * math.sqrt(5.0 / 3.0))


@pytest.mark.parametrize("width_mm", [0.3, 0.8, 2.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_edge_width_of_a_gaussian_edge(width_mm: float, sign: float) -> None:
    position = np.arange(-3.0, 3.0, 0.077)
    profile = -0.5 + sign * 0.2 * ndtr((position - 0.23) / (width_mm / metrics.NORMAL_20_TO_80))
    at_80, at_20 = (
        np.interp(level, sign * (profile + 0.5) / 0.2, position) for level in (0.8, 0.2)
    )
    assert at_80 - at_20 == pytest.approx(width_mm, rel=0.01)
    assert metrics.edge_width(position, profile) == pytest.approx(width_mm, rel=0.02)
    noisy = profile + 0.01 * np.random.default_rng(0).standard_normal(position.size)
    assert metrics.edge_width(position, noisy) == pytest.approx(width_mm, rel=0.2)


def test_edge_width_of_a_ramp_is_about_three_fifths_of_it() -> None:
    position = np.arange(-3.0, 3.0, 0.077)
    assert metrics.edge_width(position, np.clip(position, -1.0, 1.0)) == pytest.approx(1.2, rel=0.1)


def test_no_edge_has_no_width() -> None:
    position = np.arange(-3.0, 3.0, 0.077)
    assert math.isnan(metrics.edge_width(position, np.zeros(position.size)))
    noise = np.random.default_rng(1).standard_normal(position.size)
    assert math.isnan(metrics.edge_width(position, noise))
    assert math.isnan(metrics.edge_width(position, np.full(position.size, np.nan)))


def still(**motion: float) -> Truth:
    depth_m = GRID.n_depths * GRID.axial_step_m
    field = DisplacementField.zero(width_m=0.03, depth_m=depth_m).plus_affine(**motion)
    return field.truth(GRID)


@pytest.mark.slow
def test_judged_pixels_stay_inside_both_frames() -> None:
    # Half a window is 60.5 samples of λ/12.8, 4.73 wavelengths of 246.4 µm: 1.165 mm.
    rows = np.flatnonzero(judged_pixels(still(), WAVELENGTH_M)[48])
    assert GRID.depth_m[rows[0]] == pytest.approx(1.165e-3, abs=GRID.axial_step_m)
    lines = np.flatnonzero(judged_pixels(still(), WAVELENGTH_M)[:, 320])
    assert (lines[0], lines[-1]) == (4, 91)
    # What moves 2 mm up from the top, or two lines to the side, has left.
    shifted = judged_pixels(
        still(axial_offset_m=-2e-3, lateral_offset_m=2 * GRID.line_pitch_m), WAVELENGTH_M
    )
    rows, lines = np.flatnonzero(shifted[48]), np.flatnonzero(shifted[:, 320])
    assert GRID.depth_m[rows[0]] == pytest.approx(3.165e-3, abs=GRID.axial_step_m)
    assert (lines[0], lines[-1]) == (4, 89)


def test_ellipse_radius_is_one_on_the_boundary() -> None:
    inclusion = Inclusion(1e-3, 20e-3, 3e-3, 6e-3, angle_rad=0.4)
    x = inclusion.x_m + 3e-3 * math.cos(0.4)
    z = inclusion.z_m + 3e-3 * math.sin(0.4)
    assert ellipse_radius(inclusion, np.array([x]), np.array([z]))[0] == pytest.approx(1.0)


def strain_with_edge(inclusion: Inclusion, sigma_m: float) -> np.ndarray:
    """−1 % outside, −0.5 % inside, blurred along the axis only: its edges are known exactly."""
    x, z = GRID.lateral_m[:, None] - inclusion.x_m, GRID.depth_m[None, :] - inclusion.z_m
    half = inclusion.semi_z_m * np.sqrt(np.maximum(1.0 - (x / inclusion.semi_x_m) ** 2, 0.0))
    inside = ndtr((z + half) / sigma_m) - ndtr((z - half) / sigma_m)
    return (-0.01 + 0.005 * inside).astype(np.float32)


@pytest.mark.parametrize("width_mm", [0.4, 1.0])
def test_edge_profile_recovers_an_axial_blur(width_mm: float) -> None:
    inclusion = Inclusion(0.7e-3, 24e-3, 7e-3, 6e-3)
    strain = strain_with_edge(inclusion, 1e-3 * width_mm / metrics.NORMAL_20_TO_80)
    judged = judged_pixels(still(), WAVELENGTH_M)
    position_m, profile = edge_profile(strain, GRID, judged, inclusion)
    # From outside to inside, from −1 % to −0.5 %, half-way at the boundary.
    assert profile[0] == pytest.approx(-0.01, rel=0.01)
    assert profile[-1] == pytest.approx(-0.005, rel=0.01)
    assert np.interp(0.0, position_m, profile) == pytest.approx(-0.0075, rel=0.01)
    assert metrics.edge_width(1e3 * position_m, profile) == pytest.approx(width_mm, rel=0.03)


def test_the_background_window_is_where_the_truth_is_uniform() -> None:
    inclusion = Inclusion(0.0, 24e-3, 5e-3, 5e-3)
    z = GRID.depth_m[None, :]
    ripple = 0.001 * np.sin(2.0 * np.pi * z / 3e-3) * (z < 38e-3)
    strain = (strain_with_edge(inclusion, 1e-4) + ripple).astype(np.float32)
    truth = Truth(np.zeros_like(strain), strain, np.zeros_like(strain), GRID)
    windows = strain_windows(truth, judged_pixels(truth, WAVELENGTH_M), inclusion)
    lines, rows = np.nonzero(windows.background)
    assert GRID.depth_m[rows.min()] > 37.5e-3
    assert np.ptp(GRID.lateral_m[lines]) == pytest.approx(6e-3, abs=GRID.line_pitch_m)
    radius = ellipse_radius(inclusion, GRID.lateral_m[:, None], GRID.depth_m[None, :])
    assert radius[windows.inclusion].max() <= 0.6
    assert windows.inclusion.sum() == np.count_nonzero(radius <= 0.6)
    assert not (windows.background & (radius < 1.4)).any()


def score(column: Column, seed: int, edge_mm: float, rmse: float, **values: float) -> Score:
    conditions = {"echo_snr_db": 20.0, "applied_strain_percent": 1.0, "center_freq_mhz": 6.25}
    values = {"displacement_rmse_samples": 0.1, "edge_width_mm": edge_mm, **values}
    return Score("published", seed, column, conditions, {**values, "strain_rmse_percent": rmse})


def test_classical_engines_are_matched_by_their_edges() -> None:
    cnn, ncc = Column("cnn"), Column("ncc", 121)
    short, long = Column("ncc", 61, own=False), Column("ncc", 241, own=False)
    comparison = Comparison()
    for seed, shift in ((1, 0.0), (2, 0.4), (3, -0.3)):
        comparison.scores += [
            score(cnn, seed, 1.0 + shift, 0.03),
            score(ncc, seed, 1.1 + shift, 0.05),
            score(short, seed, 0.8 + shift, 0.09),
            score(long, seed, 2.0 + shift, 0.02),
        ]
    assert rival_windows(comparison, "ncc", "cnn") == [short]
    shown = shown_columns(comparison)
    assert [column.label for column in shown.columns] == ["cnn", "ncc", "ncc/61"]
    assert ratios(comparison, shown, "published")["strain_rmse_percent"] == pytest.approx(1 / 3)
    # A blunt network is held against the best of all windows that are sharper, not the bluntest.
    blunt = Comparison(
        [score(cnn, s.seed, 9.0, 0.03) if s.column == cnn else s for s in comparison.scores]
    )
    for entry in blunt.select("published", long):
        entry.values["strain_rmse_percent"] = 0.06
    assert rival_windows(blunt, "ncc", "cnn") == [short, ncc, long]
    told = shown_columns(blunt)
    assert told.matched == (long,)
    assert ratios(blunt, told, "published")["strain_rmse_percent"] == pytest.approx(0.03 / 0.05)
    # With sharper edges than any window has, the least wide one stands in.
    comparison.scores = [
        score(cnn, s.seed, 0.1, 0.03) if s.column == cnn else s for s in comparison.scores
    ]
    assert rival_windows(comparison, "ncc", "cnn") == [short]


def test_failures_are_counted() -> None:
    cnn = Column("cnn")
    comparison = Comparison()
    for seed, rmse in enumerate((0.1, 0.3, 5.0, math.nan)):
        comparison.scores.append(score(cnn, seed, 1.0, 0.03, displacement_rmse_samples=rmse))
        comparison.scores.append(Score("published", seed, Column(TRUTH), {}, {}))
    figure = spread(comparison.select("published", cnn), "displacement_rmse_samples")
    assert (figure.median, figure.count) == (0.3, 3)
    document = as_json(comparison, shown_columns(comparison))
    assert document["summary"]["published"]["columns"]["cnn"]["failed"] == 2
    assert document["pairs"][-2]["displacement_rmse_samples"] is None


def test_training_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RtelastoError, match="1000000"):
        next(held_out_pairs("published", 1, first_seed=1_000_000))
    with pytest.raises(SystemExit) as stop:
        main(["bench", "accuracy", "--engines", "ncc", "--seed", "1000000"])
    assert stop.value.code == 2
    assert "1000000" in capsys.readouterr().err


@pytest.fixture(scope="module")
def measured() -> Comparison:
    """ncc on one published-style pair with every second line."""
    coarse = RfFormat(
        n_lines=64,
        n_samples=2608,
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.45e-3,
    )
    pairs = held_out_pairs("published", 1, first_seed=FIRST_SEED + 3, rf_format=coarse)
    return compare([Competitor(open_engine("ncc"), "ncc")], pairs)


@pytest.mark.slow
def test_ncc_on_a_published_pair(measured: Comparison) -> None:
    own, truth = (
        measured.select("published", column)[0].values
        for column in (Column("ncc", 121), Column(TRUTH))
    )
    assert own["displacement_rmse_samples"] < 0.15
    assert own["strain_rmse_percent"] < 0.2
    assert abs(own["inclusion_bias_percent"]) < 10.0
    assert own["correlation"] > 0.8
    assert truth["edge_width_mm"] < own["edge_width_mm"]
    assert truth["strain_snr_db"] > own["strain_snr_db"]
    assert truth["strain_cnr_db"] > own["strain_cnr_db"]
    assert truth["inclusion_bias_percent"] == 0.0


@pytest.mark.slow
def test_longer_strain_windows_are_smoother_and_blunter(measured: Comparison) -> None:
    short, long = (
        measured.select("published", Column("ncc", window, own=False))[0].values
        for window in (45, 241)
    )
    assert long["edge_width_mm"] > 1.2 * short["edge_width_mm"]
    assert long["strain_snr_db"] > short["strain_snr_db"] + 6.0
    assert long["displacement_rmse_samples"] == short["displacement_rmse_samples"]


@pytest.mark.slow
def test_what_is_told(measured: Comparison, tmp_path) -> None:  # type: ignore[no-untyped-def]
    shown = shown_columns(measured)
    assert shown.reference is None
    document = json.loads(json.dumps(as_json(measured, shown), allow_nan=False))
    assert document["summary"]["published"]["columns"]["ncc"]["failed"] == 0
    (record,) = (pair for pair in document["pairs"] if pair["column"] == "ncc")
    assert record["seed"] == FIRST_SEED + 3
    assert document["agreement"]["ncc"]["displacement_samples"]["slope"] == pytest.approx(
        1, abs=0.02
    )
    assert summary_table(measured, shown, "published").row_count == 9
    assert binned_table(measured, shown, "published").row_count == 3
    path = tmp_path / "accuracy.png"
    save_comparison(path, measured, shown)
    assert path.read_bytes().startswith(b"\x89PNG")
