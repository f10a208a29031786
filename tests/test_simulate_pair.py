"""Simulated pairs: truth against the frames, options, determinism."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto_engines.simulate.acoustics import Acoustics
from rtelasto_engines.simulate.artefacts import Artefacts
from rtelasto_engines.simulate.fem import solve
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.pair import render_pair, simulate_pair
from rtelasto_engines.simulate.scatterers import EchoTexture
from rtelasto_engines.simulate.scene import PUBLISHED_FORMAT, Scene, random_rigid
from rtelasto_engines.simulate.tissue import published_tissue

SMALL = RfFormat(
    n_lines=32, n_samples=800, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.225e-3
)


def warped(pair):
    """The post-compression frame read at (x + v, z + u): what the truth says equals pre."""
    f = pair.format
    lines = np.arange(f.n_lines)[:, None] + pair.lateral_displacement_m / f.line_pitch_m
    samples = np.arange(f.n_samples)[None, :] + pair.axial_displacement_m / f.axial_step_m
    return map_coordinates(pair.post, [lines, samples], order=5, mode="constant", prefilter=True)


def test_post_read_at_the_true_points_is_pre():
    field = DisplacementField.zero(width_m=0.012, depth_m=0.02).plus_affine(
        axial_offset_m=30e-6,
        axial_slope=-0.01,
        axial_tilt=0.002,
        lateral_offset_m=0.5e-3,
        lateral_slope=0.008,
    )
    scene = Scene(format=SMALL, acoustics=Acoustics(attenuation_db_per_cm_mhz=0.0))
    pair = render_pair(np.random.default_rng(0), scene, field)
    inner = np.s_[4:-4, 60:-60]
    match = np.corrcoef(pair.pre[inner].ravel(), warped(pair)[inner].ravel())[0, 1]
    unmoved = np.corrcoef(pair.pre[inner].ravel(), pair.post[inner].ravel())[0, 1]
    assert match > 0.98
    assert unmoved < 0.3
    # No other shift fits better: the parabola through three trial shifts peaks at zero.
    shifts = np.array([-0.5, 0.0, 0.5])
    scores = []
    for shift in shifts:
        trial = warped_by(pair, shift)
        scores.append(np.corrcoef(pair.pre[inner].ravel(), trial[inner].ravel())[0, 1])
    peak = 0.5 * 0.5 * (scores[0] - scores[2]) / (scores[0] - 2 * scores[1] + scores[2])
    assert abs(peak) < 0.01


def warped_by(pair, shift):
    truth = dataclasses.replace(
        pair.truth,
        axial_displacement_m=pair.truth.axial_displacement_m + shift * pair.format.axial_step_m,
    )
    return warped(dataclasses.replace(pair, truth=truth))


def test_truth_is_in_the_probes_frame():
    pytest.importorskip("skfem")
    pair = simulate_pair(3, "published", applied_strain=-0.01)
    u = pair.axial_displacement_m
    assert u.dtype == np.float32
    assert u.shape == (128, 2608)
    np.testing.assert_allclose(u[:, 0], 0.0, atol=1e-9)
    assert (u[:, 10:] < 0).all()
    assert u[:, -1].mean() == pytest.approx(-0.01 * 0.05, rel=0.01)
    assert pair.axial_strain.mean() == pytest.approx(-0.01, rel=0.01)
    slope = np.diff(u.astype(float), axis=1) / pair.format.axial_step_m
    np.testing.assert_allclose(slope.mean(), pair.axial_strain.mean(), rtol=1e-3)
    # Squeezed tissue bulges to both sides.
    assert pair.lateral_displacement_m[0].mean() < 0 < pair.lateral_displacement_m[-1].mean()


def test_published_kind_is_the_published_setup():
    pytest.importorskip("skfem")
    pair = simulate_pair(1)
    f = pair.format
    assert (f.n_lines, f.n_samples) == (128, 2608)
    assert (f.sampling_freq_hz, f.center_freq_hz) == (40e6, 6.25e6)
    assert pair.metadata["texture"]["count"] == 10_000
    assert pair.metadata["tissue"]["background_kpa"] == 25.0
    assert -0.02 <= pair.metadata["applied_strain"] <= -0.003
    assert 15.0 <= pair.metadata["artefacts"]["echo_snr_db"] <= 40.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["published", "random", "ideal"])
def test_same_seed_same_bytes(kind):
    if kind != "ideal":
        pytest.importorskip("skfem")
    a, b = (simulate_pair(11, kind, rf_format=SMALL) for _ in range(2))
    for name in ("pre", "post", "axial_displacement_m", "axial_strain", "lateral_displacement_m"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
    assert a.metadata == b.metadata
    other = simulate_pair(12, kind, rf_format=SMALL)
    assert other.pre.tobytes() != a.pre.tobytes()
    assert json.loads(json.dumps(a.metadata))["kind"] == kind


@pytest.mark.parametrize("seed", range(12))
def test_random_pairs_are_finite_and_hold_what_was_asked(seed):
    pair = simulate_pair(
        seed, "ideal", rf_format=SMALL, applied_strain=-0.03, echo_snr_db=33.0, rigid_share=0.0
    )
    for image in (pair.pre, pair.post, pair.axial_strain):
        assert np.isfinite(image).all()
        assert image.dtype == np.float32
    assert pair.metadata["artefacts"]["echo_snr_db"] == 33.0
    assert pair.metadata["applied_strain"] == -0.03
    assert pair.format == SMALL
    assert pair.axial_strain.mean() == pytest.approx(-0.03, rel=0.25)


def test_rigid_motion_reaches_four_lines_and_no_further():
    still = DisplacementField.zero(width_m=0.008, depth_m=0.016)
    fields = [
        random_rigid(np.random.default_rng(seed), still, SMALL, share=1.0) for seed in range(60)
    ]
    lines = [field.at(0.0, 0.0)[1] / SMALL.line_pitch_m for field in fields]
    assert 3.5 < np.abs(lines).max() <= 4.0
    wavelengths = [field.at(0.0, 0.0)[0] / (1540.0 / 6.25e6) for field in fields]
    assert 0.9 < np.abs(wavelengths).max() <= 1.0
    assert all(
        not random_rigid(np.random.default_rng(s), still, SMALL, share=0.0).axial_m.any()
        for s in range(3)
    )


def test_strided_truth_is_every_nth_sample():
    full = simulate_pair(4, "ideal", rf_format=SMALL)
    sparse = simulate_pair(4, "ideal", rf_format=SMALL, truth_stride=3)
    assert sparse.truth.grid.n_depths == 267
    np.testing.assert_allclose(sparse.axial_displacement_m, full.axial_displacement_m[:, ::3])
    np.testing.assert_allclose(sparse.truth.grid.depth_m, full.truth.grid.depth_m[::3])
    assert sparse.pre.tobytes() == full.pre.tobytes()


def test_one_solution_serves_many_pairs():
    pytest.importorskip("skfem")
    motion = solve(published_tissue(np.random.default_rng(0)), element_m=1.5e-3)
    weak = simulate_pair(1, motion=motion, applied_strain=-0.005, truth_stride=16)
    strong = simulate_pair(2, motion=motion, applied_strain=-0.01, truth_stride=16)
    np.testing.assert_allclose(strong.axial_strain, 2.0 * weak.axial_strain, rtol=1e-4, atol=1e-8)
    assert weak.metadata["tissue"] == strong.metadata["tissue"]


def test_given_scene_and_field_are_used():
    scene = Scene(
        format=SMALL, texture=EchoTexture(per_cell=2.0), artefacts=Artefacts(rms_counts=100.0)
    )
    field = DisplacementField.zero(width_m=0.012, depth_m=0.02).plus_affine(axial_offset_m=1e-5)
    pair = simulate_pair(0, "random", scene=scene, field=field, out_of_plane_m=0.0)
    np.testing.assert_allclose(pair.axial_displacement_m, 1e-5, rtol=1e-6)
    np.testing.assert_array_equal(pair.pre, np.rint(pair.pre))
    assert pair.format is SMALL


def test_faults_of_the_caller_are_named():
    with pytest.raises(RtelastoError, match="kind must be published, random or ideal, got 'x'"):
        simulate_pair(0, "x")  # type: ignore[arg-type]
    with pytest.raises(RtelastoError, match="truth_stride must be at least 1, got 0"):
        simulate_pair(0, "ideal", rf_format=SMALL, truth_stride=0)


def test_published_format_fits_the_tissue():
    assert PUBLISHED_FORMAT.n_lines * PUBLISHED_FORMAT.line_pitch_m < 0.03
    assert PUBLISHED_FORMAT.grid.depth_m[-1] == pytest.approx(0.05, rel=0.01)
