"""Simulated recordings: the hand, the frames and the truth between any two of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto_engines.simulate.artefacts import Artefacts
from rtelasto_engines.simulate.hand import HandMotion, hand_path
from rtelasto_engines.simulate.motion import material_points
from rtelasto_engines.simulate.scene import L12_5_FORMAT, Scene
from rtelasto_engines.simulate.sequence import simulate_sequence

SMALL = RfFormat(
    n_lines=32,
    n_samples=600,
    sampling_freq_hz=31.25e6,
    center_freq_hz=7.8125e6,
    line_pitch_m=0.3e-3,
)


@pytest.fixture(scope="module")
def sequence():
    pytest.importorskip("skfem")
    return simulate_sequence(5, n_frames=12, frame_rate_hz=20.0, rf_format=SMALL)


def test_frames_are_those_of_a_scanner(sequence):
    frames = list(sequence.iter_frames())
    assert [f.frame_id for f in frames] == list(range(12))
    assert [f.acquired_ns for f in frames] == [50_000_000 * k for k in range(12)]
    for frame in frames:
        assert frame.samples.dtype == np.int16
        assert frame.samples.shape == (32, 600)
        assert frame.format == SMALL
    assert frames[0].samples.astype(float).std() == pytest.approx(1500.0, rel=0.02)


def test_any_order_same_bytes(sequence):
    again = simulate_sequence(5, n_frames=12, frame_rate_hz=20.0, rf_format=SMALL)
    late = again.frame(9).samples
    assert late.tobytes() == sequence.frame(9).samples.tobytes()
    assert again.frame(2).samples.tobytes() == sequence.frame(2).samples.tobytes()
    assert sequence.frame(3).samples.tobytes() != sequence.frame(2).samples.tobytes()
    json.dumps(sequence.metadata)


def test_first_frame_is_the_reference(sequence):
    truth = sequence.truth(0)
    assert not truth.axial_displacement_m.any()
    np.testing.assert_allclose(
        sequence.truth(7).axial_strain.mean(), sequence.path.strain[7], rtol=0.3
    )
    assert sequence.truth(7).grid == SMALL.grid


def test_truth_composes(sequence):
    grid = Grid(8, 10, 1e-3, 1e-3, 2e-3)
    forth = sequence.truth(8, 3, grid=grid)
    # Follow the tissue back by hand: what came from 3 to 8 returns from 8 to 3.
    x = grid.lateral_m[:, None] + forth.lateral_displacement_m
    z = grid.depth_m[None, :] + forth.axial_displacement_m
    reference = material_points(sequence.field(8), x, z)
    u, v = sequence.field(3).at(*reference)
    np.testing.assert_allclose(reference[1] + u, grid.depth_m + 0 * x, atol=2e-9)
    np.testing.assert_allclose(reference[0] + v, grid.lateral_m[:, None] + 0 * x, atol=2e-9)


def test_frames_move_as_the_truth_says(sequence):
    # Plain correlation of one window around mid-image finds the true displacement.
    pre, post = (sequence.frame(k).samples.astype(float) for k in (0, 3))
    truth = sequence.truth(3).axial_displacement_m / SMALL.axial_step_m
    window = pre[12:20, 100:140]
    lags = np.arange(-40, 41)
    scores = [
        np.corrcoef(window.ravel(), post[12:20, 100 + lag : 140 + lag].ravel())[0, 1]
        for lag in lags
    ]
    assert lags[int(np.argmax(scores))] == pytest.approx(truth[12:20, 100:140].mean(), abs=1.0)
    assert max(scores) > 0.8


def test_hand_presses_about_as_often_and_as_hard_as_asked():
    time_s = np.arange(1000) / 100.0
    hand = HandMotion(press_hz=1.2, peak_strain=0.03)
    path = hand_path(np.random.default_rng(0), hand, time_s)
    spectrum = np.abs(np.fft.rfft(path.strain - path.strain.mean()))
    assert np.fft.rfftfreq(1000, 0.01)[spectrum.argmax()] == pytest.approx(1.2, abs=0.15)
    assert -0.045 < path.strain.min() < -0.02
    assert path.strain[0] == path.slip_m[0] == path.out_of_plane_m[0] == 0.0
    # Smooth: at 100 frames/s one frame step strains the tissue by a tenth of a per cent or so.
    assert np.abs(np.diff(path.strain)).max() < 0.004


def test_motion_without_finite_elements():
    sequence = simulate_sequence(1, n_frames=5, rf_format=SMALL, motion="ideal")
    strain = sequence.truth(4).axial_strain.mean()
    assert strain == pytest.approx(sequence.path.strain[4], abs=0.3 * abs(sequence.path.strain[4]))


def test_scene_without_quantisation_gives_real_numbers():
    scene = Scene(format=SMALL, artefacts=Artefacts(echo_snr_db=20.0))
    sequence = simulate_sequence(1, n_frames=2, scene=scene, motion="ideal")
    assert sequence.frame(1).samples.dtype == np.float32


def test_default_format_is_the_probe_of_the_demo():
    assert (L12_5_FORMAT.n_lines, L12_5_FORMAT.n_samples) == (128, 2608)
    assert L12_5_FORMAT.samples_per_wavelength == 4.0
    assert L12_5_FORMAT.n_lines * L12_5_FORMAT.line_pitch_m == pytest.approx(0.038, rel=0.001)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_frames": 0}, "n_frames must be at least 1, got 0"),
        ({"frame_rate_hz": 0.0}, "frame_rate_hz must lie in"),
        ({"motion": "magic"}, "motion must be fem or ideal, got 'magic'"),
    ],
)
def test_faults_of_the_caller_are_named(options, message):
    with pytest.raises(RtelastoError, match=message):
        simulate_sequence(0, rf_format=SMALL, **options)
