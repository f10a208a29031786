"""The gates' figures, of an engine that knows the truth and of ones that are wrong in a known way."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import processes
import pytest

pytest.importorskip("skfem", reason="the simulator's tissues need the extra 'sim'")

from rtelasto.accuracy.gates import GROUPS, chosen
from rtelasto.accuracy.gates.images import (
    FORMAT,
    SAMPLE_M,
    Estimate,
    Estimator,
    disc_contrast,
    edge_band_error,
    inconsistency,
    noise_strain,
    simulated,
    slip_integral,
    transfer,
    turn_bias,
    warped,
)
from rtelasto.accuracy.gates.lateral_correlation import LateralCorrelation
from rtelasto.accuracy.gates.tissue_rows import noisy_pairs
from rtelasto.cpu.stretch import Stretch
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import FramePair, Grid, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.pipeline.engines import open_engine
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.sliding import layered_field, sinusoidal_strain, with_slip

WIDTH_M = FORMAT.n_lines * FORMAT.line_pitch_m + 4e-3
DEPTH_M = 1.02 * FORMAT.n_samples * FORMAT.axial_step_m
GRID = Grid(FORMAT.n_lines, 652, 4.0 * FORMAT.axial_step_m, FORMAT.line_pitch_m)


def even(strain: float = -0.005) -> DisplacementField:
    return layered_field(np.full(64, strain), width_m=WIDTH_M, depth_m=DEPTH_M)


def oracle(field: DisplacementField, scale: float = 1.0) -> Callable[[FramePair], Estimate]:
    """Says the truth, its strain's deviation from the mean times ``scale``."""
    truth = field.truth(GRID)
    mean = truth.axial_strain.mean()

    def estimate(pair: FramePair) -> Estimate:
        return Estimate(
            truth.axial_displacement_m,
            (mean + scale * (truth.axial_strain - mean)).astype(np.float32),
            GRID,
            truth.lateral_displacement_m,
            None,
            None,
            np.ones(GRID.shape, np.float32),
            Stretch(6.4)(pair),
            np.zeros(GRID.shape, np.float32),
        )

    return estimate


@pytest.mark.parametrize("scale", [1.0, 0.3, -0.5])
def test_transfer_is_the_share_of_the_layers_that_is_shown(scale: float) -> None:
    strain = sinusoidal_strain(depth_m=DEPTH_M, mean=-0.005, amplitude=0.5, period_m=4e-3)
    field = layered_field(strain, width_m=WIDTH_M, depth_m=DEPTH_M)
    found = transfer(oracle(field, scale), 4e-3, "focused")  # type: ignore[arg-type]
    assert found == pytest.approx(scale, abs=0.03)


def test_the_slip_integral_is_one_for_the_truth_and_nothing_for_an_erased_slip() -> None:
    field = with_slip(
        even(), z_m=0.5 * DEPTH_M, slant_rad=0.0, axial_jump_m=5 * SAMPLE_M, edge_m=8e-4
    )
    assert slip_integral(oracle(field), 5, "focused") == pytest.approx(1.0, abs=0.1)  # type: ignore[arg-type]
    assert slip_integral(oracle(even()), 5, "focused") == pytest.approx(0.0, abs=0.02)  # type: ignore[arg-type]


def test_consistency_is_nothing_for_the_truth_and_a_slip_s_jump_where_strain_misses_it() -> None:
    pair = FramePair(
        *(RfFrame(np.ones((64, 2608), np.int16), FORMAT, FrameStamp(k)) for k in range(2))
    )
    truth = oracle(even())(pair)
    assert inconsistency(truth) < 0.02
    u = truth.axial_displacement_m.copy()
    u[:, 200:] += 4.0 * SAMPLE_M
    torn = dataclasses.replace(truth, axial_displacement_m=u)
    assert 3.0 < inconsistency(torn) < 5.0


@pytest.mark.slow
def test_the_classical_engine_passes_through_every_single_pair() -> None:
    estimator = Estimator(open_engine("ncc"))
    strain, shown = noise_strain(estimator)
    assert strain < 0.05
    assert shown < 0.01
    strain, shown = edge_band_error(estimator)
    assert 0.0 < strain < 0.01
    assert shown == 0.0
    assert 0.2 < disc_contrast(estimator, stiffness_ratio=4.0, snr_db=30.0) < 1.3


def test_a_frame_warped_by_a_known_motion_is_tracked_by_it() -> None:
    frame = RfFrame(simulated(even(0.0), "focused").pre, FORMAT, FrameStamp(0))
    estimate = Estimator(open_engine("ncc"))(warped(frame, even(-0.004)))
    assert np.median(estimate.axial_strain) == pytest.approx(-0.004, abs=1e-4)


@pytest.mark.parametrize("degrees", [1.0, -2.0])
def test_a_turn_of_the_probe_leaves_the_strain_as_it_is(degrees: float) -> None:
    assert abs(turn_bias(Estimator(open_engine("ncc")), np.deg2rad(degrees))) < 5e-5


def test_plain_correlation_finds_a_sideways_motion() -> None:
    field = even(-0.003).plus_affine(lateral_slope=0.02)
    pair = simulated(field, "focused", snr_db=40.0)
    frames = FramePair(
        RfFrame(pair.pre, pair.format, FrameStamp(0)),
        RfFrame(pair.post, pair.format, FrameStamp(1)),
    )
    estimate = Estimator(open_engine("ncc"))(frames)
    v, strain = LateralCorrelation()(frames, estimate)
    truth = pair.field.truth(estimate.grid)
    error = (v - truth.lateral_displacement_m)[10:-10, 40:-40]
    assert np.median(np.abs(error)) < 0.1 * FORMAT.line_pitch_m
    assert np.median(strain[16:-16, 40:-40]) == pytest.approx(0.02, abs=0.004)


@pytest.mark.slow
def test_noisy_pairs_are_held_out_and_alternate_between_noise_and_decorrelation() -> None:
    first, second = noisy_pairs(2)
    assert first.seed >= 9_000_000
    assert 15.0 <= first.conditions["echo_snr_db"] <= 20.0
    assert first.simulated.metadata["replaced_share"] == 0.0
    assert 0.05 <= second.simulated.metadata["replaced_share"] <= 0.10


@pytest.mark.slow
def test_the_table_names_every_engine_and_limit_and_the_file_holds_the_same(
    tmp_path: Path,
) -> None:
    file = tmp_path / "gates.json"
    done = processes.finish(
        "bench", "accuracy", "--gates", "time,faults", "--engines", "cnn,ncc", "--json-file", file
    )
    out = done.stdout
    assert "engine time over the first network's" in out
    assert "≤ 0.55" in out
    assert "pure noise: strain sd, %" in out
    written = json.loads(file.read_text())["gates"]
    noise = next(row for row in written if row["row"].startswith("pure noise"))
    assert set(noise["values"]) == {"cnn", "ncc"}


def test_groups_that_do_not_exist_and_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RtelastoError, match=r"gates must be all or some of time, .*, got 'layer'"):
        chosen("slip,layer")
    assert chosen("slip, faults") == ["slip", "faults"]
    assert chosen("all") == list(GROUPS)
    done = processes.finish("bench", "accuracy", "--gates", "slip", "--png", tmp_path / "a.png")
    assert done.returncode == 2
    assert "png draws no gates" in done.stderr
