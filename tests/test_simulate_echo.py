"""Echo model: pulse, beam, sub-sample motion, speckle."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.signal import hilbert

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat
from rtelasto_engines.simulate.acoustics import (
    OVERSAMPLING,
    Acoustics,
    beam_at,
    pulse_tables,
    resolution_cell_m2,
)
from rtelasto_engines.simulate.echo import EchoModel, Scatterers

FORMAT = RfFormat(
    n_lines=32, n_samples=1600, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.2e-3
)
PLAIN = Acoustics(attenuation_db_per_cm_mhz=0.0)
STEP_M = FORMAT.axial_step_m


def points(x_m, z_m, amplitude=None) -> Scatterers:
    x, z = np.atleast_1d(x_m).astype(float), np.atleast_1d(z_m).astype(float)
    x, z = np.broadcast_arrays(x, z)
    return Scatterers(x.copy(), z.copy(), np.ones(x.shape) if amplitude is None else amplitude)


def random_points(rng, n, rf_format=FORMAT) -> Scatterers:
    half = 0.5 * rf_format.n_lines * rf_format.line_pitch_m + 1.5e-3
    depth = rf_format.n_samples * rf_format.axial_step_m + 1e-3
    return Scatterers(
        rng.uniform(-half, half, n), rng.uniform(-1e-3, depth, n), rng.standard_normal(n)
    )


def envelope(rf):
    return np.abs(hilbert(rf, axis=-1))


def spectral_shift(a, b):
    """Delay of b against a in samples, from the phase of the cross-spectrum, weighted by power."""
    fa, fb = np.fft.rfft(a, axis=1), np.fft.rfft(b, axis=1)
    omega = 2.0 * np.pi * np.arange(fa.shape[1]) / a.shape[1]
    power = np.abs(fa) ** 2
    return -(power * omega * np.angle(np.conj(fa) * fb)).sum() / (power * omega**2).sum()


@pytest.mark.parametrize("samples_per_wavelength", [4.0, 6.4, 8.0])
def test_linear_table_error_is_below_the_stated_one(samples_per_wavelength):
    rf_format = dataclasses.replace(FORMAT, center_freq_hz=40e6 / samples_per_wavelength)
    model = EchoModel(rf_format, PLAIN)
    tables, middle = pulse_tables(rf_format, PLAIN, np.zeros(1))
    x = rf_format.grid.lateral_m[16]
    at = 800 + (np.arange(9) + 0.5) / (9 * OVERSAMPLING)
    # Exact delays of the band-limited pulse, in the frequency domain.
    spectrum = np.fft.rfft(np.pad(tables[0, 0], (0, 128 - tables.shape[2])).astype(float))
    omega = 2.0 * np.pi * np.arange(65) / 128
    peak = np.abs(tables[0]).max()
    for z in at:
        line = model.rf(points(x, z * STEP_M))[16]
        exact = np.fft.irfft(spectrum * np.exp(-1j * omega * (z - 800)), 128)
        got = line[800 - middle : 800 - middle + 128]
        scale = np.sqrt((got**2).sum() / (exact**2).sum())
        assert np.abs(got - scale * exact).max() < 5e-4 * scale * peak


@pytest.mark.parametrize("shift", [0.37, -1.62, 12.085])
def test_rigid_shift_is_exact(shift):
    rng = np.random.default_rng(1)
    scatterers = random_points(rng, 4000)
    inner = (scatterers.z_m > 2e-3) & (scatterers.z_m < 29e-3)
    scatterers = Scatterers(
        scatterers.x_m[inner], scatterers.z_m[inner], rng.standard_normal(4000)[inner]
    )
    # A focus far away and constant receive beam: the beam is the same at both depths.
    model = EchoModel(FORMAT, dataclasses.replace(PLAIN, focus_m=10.0, aperture_m=1.0))
    before = model.rf(scatterers)
    after = model.rf(
        Scatterers(scatterers.x_m, scatterers.z_m + shift * STEP_M, scatterers.amplitude)
    )
    whole = round(shift)
    assert whole + spectral_shift(before, np.roll(after, -whole, axis=1)) == pytest.approx(
        shift, abs=5e-4
    )


def test_lateral_width_is_that_of_the_beam():
    rf_format = dataclasses.replace(FORMAT, line_pitch_m=0.05e-3)
    model = EchoModel(rf_format, PLAIN)
    for depth in (8e-3, 15e-3, 25e-3):
        profile = envelope(model.rf(points(rf_format.grid.lateral_m[16], depth))).max(axis=1)
        x = rf_format.grid.lateral_m
        # Gaussian: its width from the second moment of the logarithm, by a parabola.
        good = profile > 0.3 * profile.max()
        curve = np.polyfit(x[good] - x[16], np.log(profile[good]), 2)[0]
        width = 2.0 * math.sqrt(math.log(2.0) / -curve)
        assert width == pytest.approx(beam_at(0.0, depth, rf_format, PLAIN).fwhm_m, rel=0.02)


def test_beam_at_the_focus_has_the_textbook_width():
    # One-way −6 dB width of a uniform aperture is 1.206 λF; two Gaussians multiply.
    wavelength = 1540.0 / 6.25e6
    beam = beam_at(0.0, PLAIN.focus_m, FORMAT, PLAIN)
    transmit, receive = 1.206 * wavelength * 2.5, 1.206 * wavelength * 1.5
    expected = 1.0 / math.sqrt(1.0 / transmit**2 + 1.0 / receive**2)
    assert float(beam.fwhm_m) == pytest.approx(expected, rel=1e-9)
    assert float(beam.curvature_per_m) == 0.0


def test_wavefront_bends_away_on_either_side_of_the_focus():
    rf_format = dataclasses.replace(FORMAT, n_samples=2600)
    acoustics = dataclasses.replace(PLAIN, transmit_f_number=1.5, focus_m=20e-3)
    model = EchoModel(rf_format, acoustics)
    x = rf_format.grid.lateral_m
    for depth, sign in ((12e-3, -1), (20e-3, 0), (30e-3, 1)):
        rf = model.rf(points(x[16], depth))
        late = np.array([spectral_shift(rf[16:17], rf[k : k + 1]) for k in (14, 18)])
        curvature = float(beam_at(0.0, depth, rf_format, acoustics).curvature_per_m)
        np.testing.assert_allclose(late, curvature * (2 * 0.2e-3) ** 2 / STEP_M, atol=2e-3)
        assert np.sign(curvature) == sign
    # Far past the focus the wave is a circle about it: a path x²/2R longer on one way.
    far = beam_at(0.0, 10.0, rf_format, acoustics)
    assert float(far.curvature_per_m) == pytest.approx(0.25 / (10.0 - 20e-3), rel=1e-4)


def test_cut_aperture_widens_the_beam_and_slants_the_echo_at_the_ends():
    acoustics = dataclasses.replace(PLAIN, array_width_m=32 * 0.2e-3)
    middle, end = (beam_at(x, 20e-3, FORMAT, acoustics) for x in (0.0, 3.1e-3))
    assert end.fwhm_m > middle.fwhm_m
    # At the very end half of the aperture is gone and its centre lies a quarter of it inwards: a
    # scatterer further out is later by x·(A/4)/z on one way.
    last = beam_at(3.2e-3, 3e-3, FORMAT, acoustics)
    assert float(last.slant) == pytest.approx(0.5 * (3e-3 / 1.5 / 4) / 3e-3)
    x = FORMAT.grid.lateral_m[-1]
    rf = EchoModel(FORMAT, acoustics).rf(points(x, 15e-3))
    assert spectral_shift(rf[-1:], rf[-2:-1]) > 0.05  # seen from further in, the point lies outside


def test_pedestal_is_as_high_and_as_wide_as_asked():
    acoustics = dataclasses.replace(PLAIN, pedestal_db=-20.0)
    rf_format = dataclasses.replace(FORMAT, n_lines=64)
    x = rf_format.grid.lateral_m
    profile = envelope(EchoModel(rf_format, acoustics).rf(points(x[32], 15e-3))).max(axis=1)
    decay = float(beam_at(0.0, 15e-3, rf_format, acoustics).decay_per_m2)
    main = np.exp(-decay * (x - x[32]) ** 2)
    expected = (main + 0.1 * main ** (1 / 9)) / 1.1
    seen = expected > 3e-3
    np.testing.assert_allclose(profile[seen] / profile[32], expected[seen], rtol=0.03)


def test_attenuation_lowers_the_frequency_as_for_a_gaussian_spectrum():
    acoustics = Acoustics(attenuation_db_per_cm_mhz=0.5, fractional_bandwidth=0.4)
    model = EchoModel(FORMAT, acoustics)
    freq_mhz = np.fft.rfftfreq(1600, 1 / 40.0)

    def centre(depth):
        power = np.abs(np.fft.rfft(model.rf(points(FORMAT.grid.lateral_m[16], depth))[16])) ** 2
        return (freq_mhz * power).sum() / power.sum()

    sigma_mhz = 0.4 * 6.25 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
    neper_per_mhz = 0.5 * 2 * 2.5 / 8.686
    assert centre(5e-3) - centre(25e-3) == pytest.approx(
        sigma_mhz**2 * neper_per_mhz * (20 / 25), abs=0.02
    )


def test_bandwidth_and_phase_of_the_pulse():
    rf_format = dataclasses.replace(FORMAT, sampling_freq_hz=80e6)
    for phase in (0.0, math.pi / 2):
        acoustics = dataclasses.replace(PLAIN, pulse_phase_rad=phase, fractional_bandwidth=0.5)
        tables, middle = pulse_tables(rf_format, acoustics, np.zeros(1))
        pulse = tables[0, 0].astype(float)
        spectrum = np.abs(np.fft.rfft(pulse, 8192))
        freq = np.fft.rfftfreq(8192, 1 / 80e6)
        band = freq[spectrum > 0.5 * spectrum.max()]
        assert np.ptp(band) == pytest.approx(0.5 * 6.25e6, rel=0.03)
        assert band.mean() == pytest.approx(6.25e6, rel=0.01)
        assert (pulse**2).sum() == pytest.approx(1.0, rel=0.01)
        peak = np.abs(pulse).max()
        assert pulse[middle] == pytest.approx(math.cos(phase) * peak, abs=0.02 * peak)


def test_skewed_pulse_keeps_its_spectrum():
    plain, centre = pulse_tables(FORMAT, PLAIN, np.zeros(1))
    acoustics = dataclasses.replace(PLAIN, pulse_skew=1.0)
    skewed, middle = pulse_tables(FORMAT, acoustics, np.zeros(1))
    a, b = (np.abs(np.fft.rfft(t[0, 0], 256)) for t in (plain, skewed))
    np.testing.assert_allclose(a, b, atol=0.03 * a.max())
    pulse = skewed[0, 0, : 2 * middle + 1]
    assert np.abs(pulse - pulse[::-1]).max() > 0.1 * np.abs(pulse).max()
    straight = plain[0, 0, : 2 * centre + 1]
    np.testing.assert_allclose(straight, straight[::-1], atol=1e-6)


def test_dense_scatterers_make_fully_developed_speckle():
    # Rayleigh envelope: mean over standard deviation is √(π/(4 − π)) = 1.913.
    rf_format = dataclasses.replace(FORMAT, n_lines=128)
    rng = np.random.default_rng(3)
    model = EchoModel(rf_format, PLAIN)
    ratios = []
    for per_cell in (1.0, 60.0):
        area = 128 * 0.2e-3 * 1600 * STEP_M
        n = round(per_cell * area / resolution_cell_m2(rf_format, PLAIN))
        image = envelope(model.rf(random_points(rng, n, rf_format)))[:, 100:1500]
        ratios.append(image.mean() / image.std())
    assert ratios[1] == pytest.approx(1.913, abs=0.08)
    assert ratios[0] < 1.6


def test_scatterers_off_the_image_and_none_at_all():
    model = EchoModel(FORMAT, PLAIN)
    assert not model.rf(points(np.empty(0), np.empty(0))).any()
    assert not model.rf(points([10.0, 0.0, 0.0], [0.01, -0.02, 0.5])).any()
    half_out = model.rf(points(0.0, [0.0, 1600 * STEP_M]))
    assert half_out[:, :20].any()
    assert half_out[:, -20:].any()


def test_impossible_acoustics_are_refused():
    with pytest.raises(RtelastoError, match="focus_m must be a positive number, got 0"):
        Acoustics(focus_m=0.0)
    with pytest.raises(RtelastoError, match="fractional_bandwidth must not exceed"):
        Acoustics(fractional_bandwidth=2.0)
