"""Figures of engines on recordings, and tissues by the second simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rtelasto import estimate
from rtelasto.accuracy.compare import Column, Competitor
from rtelasto.accuracy.recordings import (
    lowest_lead,
    recorded_pixels,
    recording_table,
    score_recording,
    uniform_windows,
)
from rtelasto.cli import main
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.pipeline.engines import open_engine

GRID = Grid(60, 200, 0.1e-3, 0.25e-3)


def strain_frame(strain: np.ndarray, correlation: np.ndarray) -> StrainFrame:
    return StrainFrame(
        axial_strain=strain.astype(np.float32),
        axial_displacement_m=np.zeros(GRID.shape, np.float32),
        correlation=correlation.astype(np.float32),
        grid=GRID,
        applied_strain=float(np.median(strain)),
    )


def test_uniform_windows_avoid_edges_and_what_one_engine_could_not_track() -> None:
    strain = np.full(GRID.shape, -0.01)
    strain[:, 100:] += np.linspace(0.0, 0.02, 100)
    good = np.full(GRID.shape, 0.95)
    lost = good.copy()
    lost[:20] = 0.3
    windows = uniform_windows(
        [[strain_frame(strain, good), strain_frame(strain, lost)]], np.ones(GRID.shape, bool)
    )
    best = windows[0]
    assert best.sum() == 20 * 50
    assert not best[:20].any()
    assert not best[:, 100:].any()


def test_rows_without_echoes_and_borders_are_not_judged() -> None:
    rf_format = RfFormat(
        n_lines=32, n_samples=1000, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=2e-4
    )
    samples = np.random.default_rng(0).standard_normal((32, 1000)).astype(np.float32)
    samples[:, 900:] = 0.0
    grid = Grid(32, 250, 4 * rf_format.axial_step_m, 2e-4)
    mask = recorded_pixels(RfFrame(samples, rf_format), grid)
    assert mask[10, 100]
    assert not mask[:, 900 // 4 + 1 :].any()
    assert not mask[:4].any()
    rows = np.flatnonzero(mask[10])
    border = 1.2e-3 / grid.axial_step_m
    assert rows[0] == pytest.approx(border, abs=1)
    assert rows[-1] == pytest.approx(900 / 4 - border, abs=2)


@pytest.mark.slow
def test_a_recording_is_scored_pair_by_pair(
    shared_data: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data("deepuse_forearm/rf0304_86.mhd")
    competitors = [Competitor(open_engine(name), name) for name in ("ncc", "am")]
    scores = score_recording(path, competitors)
    own = [s for s in scores if s.column == Column("ncc", 121)]
    assert [s.pair for s in own] == [0, 1, 2, 3, 4]
    assert all(0.9 < s.values["correlation"] < 1.0 for s in own)
    assert np.isnan(own[0].values["consistency"])
    assert all(0.5 < s.values["consistency"] < 1.0 for s in own[1:])
    short, long = (
        np.median(
            [
                s.values["strain_snr_db"]
                for s in scores
                if s.column == Column("ncc", window, own=False)
            ]
        )
        for window in (45, 241)
    )
    assert long > short + 3.0
    table = recording_table(scores, [Column("ncc", 121), Column("am", 91)])
    assert table.row_count == 4
    leads = [
        a.values["correlation"] - b.values["correlation"]
        for a, b in zip(own, (s for s in scores if s.column == Column("am", 91)), strict=True)
    ]
    assert lowest_lead(scores, "ncc", "correlation") == pytest.approx(min(leads))


@pytest.mark.slow
def test_recordings_alone_can_be_scored(
    shared_data: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data("deepuse_forearm/rf0304_86.mhd")
    out = tmp_path / "accuracy.json"
    main(
        [
            *("bench", "accuracy", "--engines", "ncc", "--published", "0", "--random", "0"),
            *("--recordings", str(path), "--json-file", str(out)),
        ]
    )
    printed = capsys.readouterr().out
    assert "rf0304_86.mhd" in printed
    recorded = json.loads(out.read_text())["recordings"]
    assert {r["pair"] for r in recorded} == {0, 1, 2, 3, 4}


def test_one_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(
        path,
        rf=np.ones((1, 8, 64), np.float32),
        sampling_freq_hz=40e6,
        center_freq_hz=6e6,
        line_pitch_m=2e-4,
    )
    with pytest.raises(RtelastoError, match="at least 2"):
        score_recording(path, [Competitor(open_engine("ncc"), "ncc")])


@pytest.mark.slow
def test_the_second_simulator_puts_echoes_where_its_truth_is() -> None:
    pytest.importorskip("pymust", reason="the second simulator needs the extra 'channel'")
    from scipy.signal import hilbert

    from rtelasto_engines.simulate.channel import ChannelModel, simulate_channel_pair

    model = ChannelModel(n_elements=32)
    x_m, z_m = 0.6e-3, 14e-3
    lines = model.lines(model.channel_data(*(np.array([v]) for v in (x_m, z_m, 1.0))))
    line, sample = np.unravel_index(np.argmax(np.abs(hilbert(lines, axis=1))), lines.shape)
    assert model.format.grid.depth_m[sample] == pytest.approx(z_m, abs=0.05e-3)
    assert model.format.grid.lateral_m[line] == pytest.approx(x_m, abs=0.2e-3)

    pair = simulate_channel_pair(4, truth_stride=8, n_elements=24)

    found = estimate(pair.pre, pair.post, pair.format, engine="ncc")
    true = pair.field.truth(found.grid).axial_displacement_m
    middle = np.s_[4:-4, 40:-40]
    error = (found.axial_displacement_m - true)[middle]
    assert np.median(np.abs(error)) < 0.2 * pair.format.axial_step_m
