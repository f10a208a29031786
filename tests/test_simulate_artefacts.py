"""Scatterers, out-of-plane motion and the faults of the imaging chain."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.signal import hilbert

from rtelasto.frames.rf import RfFormat
from rtelasto_engines.simulate.acoustics import Acoustics, resolution_cell_m2
from rtelasto_engines.simulate.artefacts import Artefacts, Receiver
from rtelasto_engines.simulate.echo import EchoModel
from rtelasto_engines.simulate.motion import DisplacementField
from rtelasto_engines.simulate.scatterers import EchoTexture, Shadow, SpecularLayer, scatter
from rtelasto_engines.simulate.tissue import Inclusion, Tissue

FORMAT = RfFormat(
    n_lines=64, n_samples=1200, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.2e-3
)
MODEL = EchoModel(FORMAT, Acoustics(attenuation_db_per_cm_mhz=0.0))


def echoes(texture=None, *, seed=0, tissue=None):
    cloud = scatter(np.random.default_rng(seed), MODEL, texture or EchoTexture(), tissue=tissue)
    return MODEL.rf(cloud.moved(None))


def receiver(artefacts, frame):
    return Receiver(np.random.default_rng(5), MODEL, artefacts, float(np.mean(frame**2)))


def power_db(image):
    return 10.0 * np.log10(np.mean(np.asarray(image, float) ** 2))


@pytest.mark.parametrize("per_cell", [1.0, 4.0, 12.0])
def test_density_and_unit_speckle(per_cell):
    rng = np.random.default_rng(0)
    cloud = scatter(rng, MODEL, EchoTexture(per_cell=per_cell))
    area = 64 * 0.2e-3 * 1200 * FORMAT.axial_step_m
    inside = (np.abs(cloud.x_m) < 6.4e-3) & (cloud.z_m > 0)
    inside &= cloud.z_m < 1200 * FORMAT.axial_step_m
    expected = per_cell * area / resolution_cell_m2(FORMAT, MODEL.acoustics)
    assert inside.sum() == pytest.approx(expected, rel=0.1)
    assert MODEL.rf(cloud.moved(None)).std() == pytest.approx(1.0, rel=0.1)


def test_count_is_that_within_the_image():
    cloud = scatter(np.random.default_rng(0), MODEL, EchoTexture(count=10_000), travel_x_m=2e-3)
    inside = (np.abs(cloud.x_m) < 6.4e-3) & (cloud.z_m > 0)
    inside &= cloud.z_m < 1200 * FORMAT.axial_step_m
    assert inside.sum() == pytest.approx(10_000, rel=0.02)
    assert cloud.x_m.max() > 6.4e-3 + 2e-3


@pytest.mark.parametrize("snr_db", [5.0, 20.0])
def test_noise_has_the_power_and_band_asked_for(snr_db):
    frame = echoes()
    chain = receiver(Artefacts(echo_snr_db=snr_db, noise_slope_db_per_cm=3.0), frame)
    noise = chain.receive(np.random.default_rng(1), frame) / chain.counts_per_unit - frame
    assert power_db(frame) - power_db(noise) == pytest.approx(snr_db, abs=0.15)
    # 3 dB a centimetre over 15.4 mm between the middles of the upper and the lower third.
    slope = power_db(noise[:, 800:]) - power_db(noise[:, :400])
    assert slope == pytest.approx(3.0 * 800 * FORMAT.axial_step_m * 100, abs=0.4)
    spectrum = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).mean(axis=0)
    freq = np.fft.rfftfreq(1200, 1 / 40e6)
    in_band = np.abs(freq - 6.25e6) < 3.75e6
    assert spectrum[in_band].sum() > 0.97 * spectrum.sum()


def test_noise_differs_between_frames_and_repeats_with_the_seed():
    frame = echoes()
    chain = receiver(Artefacts(echo_snr_db=10.0), frame)
    a, b, c = (chain.receive(np.random.default_rng(seed), frame) for seed in (1, 1, 2))
    assert a.tobytes() == b.tobytes()
    left, right = (x / chain.counts_per_unit - frame for x in (a, c))
    assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.02


def test_clutter_stands_still_and_fades_with_depth():
    first, second = echoes(seed=1), echoes(seed=2)
    chain = receiver(Artefacts(clutter_db=-6.0, clutter_decay_m=4e-3), first)
    rng = np.random.default_rng(0)
    clutter = [chain.receive(rng, f) / chain.counts_per_unit - f for f in (first, second)]
    np.testing.assert_allclose(clutter[0], clutter[1], atol=1e-5)
    assert power_db(clutter[0][:, :120]) - power_db(first) == pytest.approx(-6.0, abs=0.1)
    # 10 mm further down, amplitude is e^(−10/4): −21.7 dB.
    drop = power_db(clutter[0][:, 640:760]) - power_db(clutter[0][:, 120:240])
    assert drop == pytest.approx(-20 * math.log10(math.e) * 10 / 4, abs=2.5)


def test_dead_lines_and_gain_drift():
    frame = echoes()
    chain = receiver(
        Artefacts(dead_lines=(3, 10), gain_drift_db=2.0, gain_slope_drift_db_per_cm=-1.0), frame
    )
    rng = np.random.default_rng(0)
    first, last = chain.receive(rng, frame), chain.receive(rng, frame, drift=1.0)
    assert not first[[3, 10]].any()
    assert first[4].any()
    gain_db = 20.0 * np.log10(last[4] / first[4])
    np.testing.assert_allclose(gain_db, 2.0 - 100.0 * FORMAT.grid.depth_m, atol=1e-3)


def test_quantisation_gives_whole_int16_counts():
    frame = echoes()
    counts = receiver(Artefacts(rms_counts=300.0), frame).receive(np.random.default_rng(0), frame)
    np.testing.assert_array_equal(counts, counts.astype(np.int16))
    assert counts.std() == pytest.approx(300.0, rel=0.01)
    loud = receiver(Artefacts(rms_counts=30_000.0), frame).receive(np.random.default_rng(0), frame)
    assert (loud.min(), loud.max()) == (-32768, 32767)


def test_moving_out_of_plane_decorrelates_as_a_gaussian_beam():
    # The autocorrelation of a Gaussian beam of FWHM w is exp(−2 ln2 (y/w)²).
    thickness = MODEL.acoustics.elevation_m
    rng = np.random.default_rng(4)
    cloud = scatter(rng, MODEL, EchoTexture(per_cell=8.0), travel_y_m=2 * thickness)
    start = MODEL.rf(cloud.moved(None))
    for share in (0.25, 0.5, 1.0, 2.0):
        moved = MODEL.rf(cloud.moved(None, elevation_m=share * thickness))
        assert moved.std() == pytest.approx(start.std(), rel=0.1)
        correlation = np.corrcoef(start.ravel(), moved.ravel())[0, 1]
        assert correlation == pytest.approx(math.exp(-2 * math.log(2) * share**2), abs=0.05)


def test_scatterers_follow_the_field():
    field = DisplacementField.zero(width_m=0.02, depth_m=0.03).plus_affine(
        axial_slope=-0.02, lateral_slope=0.01, lateral_offset_m=1e-4
    )
    cloud = scatter(np.random.default_rng(0), MODEL, EchoTexture())
    moved = cloud.moved(field)
    np.testing.assert_allclose(moved.z_m, 0.98 * cloud.z_m, atol=1e-12)
    np.testing.assert_allclose(moved.x_m, 1.01 * cloud.x_m + 1e-4, atol=1e-12)


def test_tissue_sets_the_echo_level():
    dark = Tissue(inclusions=(Inclusion(0.0, 12e-3, 4e-3, 4e-3, echo_gain_db=-12.0),))
    frame = echoes(EchoTexture(per_cell=10.0), tissue=dark)
    inside = frame[24:40, 500:740]  # ±1.6 mm by ±2.3 mm about the middle
    outside = frame[:, 950:1150]
    assert power_db(inside) - power_db(outside) == pytest.approx(-12.0, abs=1.0)


def test_specular_layer_is_as_bright_as_asked_and_where_it_should_be():
    layer = SpecularLayer(z_m=12e-3, slope=0.02, gain_db=26.0)
    envelope = np.abs(hilbert(echoes(EchoTexture(specular=(layer,))), axis=1))
    ridge = envelope[4:-4].argmax(axis=1) * FORMAT.axial_step_m
    np.testing.assert_allclose(ridge, 12e-3 + 0.02 * FORMAT.grid.lateral_m[4:-4], atol=0.1e-3)
    # Speckle of unit RMS has an RF RMS of 1: the ridge peaks 26 dB above it.
    assert 20 * np.log10(np.median(envelope[4:-4].max(axis=1))) == pytest.approx(26.0, abs=1.0)


def test_shadow_darkens_what_lies_below():
    shadow = Shadow(x_m=2e-3, z_m=8e-3, width_m=5e-3, loss_db=20.0)
    texture = EchoTexture(per_cell=10.0)
    bright = echoes(texture)
    shaded = echoes(dataclasses.replace(texture, shadows=(shadow,)))
    column = slice(36, 48)
    below = power_db(shaded[column, 700:]) - power_db(bright[column, 700:])
    above = power_db(shaded[column, :350]) - power_db(bright[column, :350])
    aside = power_db(shaded[:16, 700:]) - power_db(bright[:16, 700:])
    assert below == pytest.approx(-20.0, abs=0.7)
    assert above == pytest.approx(0.0, abs=0.01)
    assert aside == pytest.approx(0.0, abs=0.01)


def test_clouds_vary_the_level_by_what_is_asked():
    rng = np.random.default_rng(0)
    cloud = scatter(rng, MODEL, EchoTexture(per_cell=12.0, cloudiness_db=4.0, cloud_size_m=3e-3))
    plain = scatter(np.random.default_rng(0), MODEL, EchoTexture(per_cell=12.0))
    gain_db = 20 * np.log10(np.abs(cloud.amplitude[0] / plain.amplitude[0]))
    assert gain_db.std() == pytest.approx(4.0, rel=0.3)
