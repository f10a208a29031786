"""Channel data to RF lines: point targets where they are, and a real rotating disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from channel_echoes import echoes, pulse, sample_times_s
from scipy.io import loadmat
from scipy.signal import hilbert

from rtelasto import estimate
from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming.bandpass import upsample, upsampler
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.frames.rf import RfFormat

FC, C, PITCH = 5e6, 1540.0, 0.3e-3
# Samples per period of every way in which a Vantage stores channel data.
STORED = {
    "NS200BW": ("uniform", 4.0),
    "BS67BW": ("uniform", 4.0 / 3.0),
    "BS100BW": ("quadrature", 2.0),
    "BS50BW": ("quadrature", 1.0),
}
LAST_M = 0.03


def channel_format(stored: str = "NS200BW", **others: Any) -> ChannelFormat:
    """A 64-element array that sees the first 30 mm."""
    sampling, per_period = STORED[stored]
    start_s = others.pop("start_time_s", 5e-6)
    n_samples = 2 * round(0.5 * (2.6 * LAST_M / C - start_s) * per_period * FC)
    return ChannelFormat(
        **{
            "n_acquisitions": 1,
            "n_channels": 64,
            "n_samples": n_samples,
            "sampling_freq_hz": per_period * FC,
            "center_freq_hz": FC,
            "element_pitch_m": PITCH,
            "start_time_s": start_s,
            "sampling": sampling,
        }
        | others
    )


@pytest.mark.parametrize("stored", STORED)
def test_upsampling_restores_the_echo_from_every_way_of_storing_it(stored: str) -> None:
    channels = channel_format(stored)
    made = upsampler(channels)
    rng = np.random.default_rng(1)
    # Any signal within the band that the filters are made for.
    half_band_hz = min(0.75 * channels.half_band_hz, 0.8 * FC)
    tones_hz = FC + half_band_hz * rng.uniform(-1.0, 1.0, 40)
    phases = rng.uniform(0.0, 2.0 * np.pi, 40)

    def signal(time_s: np.ndarray) -> np.ndarray:
        return np.cos(2.0 * np.pi * time_s[:, None] * tones_hz + phases).mean(axis=1)

    n_fine = made.fine_samples(channels.n_samples)
    fine = np.empty((1, n_fine + 3), np.float32)
    stored_samples = signal(sample_times_s(channels)).astype(np.float32)[None]
    upsample(stored_samples, made.table, made.group, made.first_tap, fine, 0, 1)
    truth = signal(channels.start_time_s + np.arange(n_fine) / made.sampling_freq_hz)
    inside = slice(n_fine // 8, -n_fine // 8)
    error = fine[0, 1:-2][inside] - truth[inside]
    assert error.std() < 0.01 * truth[inside].std()
    assert fine[0, 0] == fine[0, -1] == fine[0, -2] == 0.0


def middle_x_m(channels: ChannelFormat) -> float:
    """Where on the array the middle of the image lies: lines at elements that always received, or beams."""
    beams = [t.line_x_m for t in channels.transmits if isinstance(t, FocusedBeam)]
    always = slice(max(channels.first_elements), min(channels.first_elements) + channels.n_channels)
    return float(np.mean(beams or channels.element_x_m[always]))


def assert_echo_at(beamformer: Beamformer, lines: np.ndarray, x_m: float, z_m: float) -> None:
    """The line through a target holds the transmitted pulse at the target's depth, in phase."""
    grid = beamformer.format.grid
    line = int(np.argmin(np.abs(grid.lateral_m + middle_x_m(beamformer.channel_format) - x_m)))
    near = np.abs(grid.depth_m - z_m) < 1.5e-3
    expected = pulse(2.0 * (grid.depth_m - z_m) / C, FC)[near]
    measured = lines[line][near]
    assert np.corrcoef(expected, measured)[0, 1] > 0.985
    assert measured @ expected / (expected @ expected) == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("stored", STORED)
def test_a_plane_wave_puts_targets_where_they_are_in_phase(stored: str) -> None:
    channels = channel_format(stored)
    targets = [(10.5 * PITCH, 0.010), (-0.5 * PITCH, 0.018), (3.5 * PITCH, 0.027)]
    beamformer = Beamformer(channels, BeamformSettings(samples_per_wavelength=6.4))
    lines = beamformer(echoes(channels, targets))
    for x_m, z_m in targets:
        assert_echo_at(beamformer, lines, x_m, z_m)


def test_steered_waves_compound_to_one_image_with_less_beside_the_target() -> None:
    def beamformed(angles_deg: tuple[float, ...]) -> tuple[Beamformer, np.ndarray]:
        waves = []
        for degrees in angles_deg:
            sine = math.sin(math.radians(degrees))
            # As scanners do: time counts from the element that fires first.
            waves.append(PlaneWave(math.asin(sine), 31.5 * PITCH * abs(sine) / C))
        channels = channel_format(n_acquisitions=len(waves), transmits=tuple(waves))
        beamformer = Beamformer(channels)
        return beamformer, beamformer(echoes(channels, [(0.5 * PITCH, 0.02)]))

    one, alone = beamformed((0.0,))
    seven, compounded = beamformed((-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0))
    assert_echo_at(one, alone, 0.5 * PITCH, 0.02)
    assert_echo_at(seven, compounded, 0.5 * PITCH, 0.02)
    beside = slice(0, 24)
    assert np.abs(compounded[beside]).max() < 0.6 * np.abs(alone[beside]).max()


def test_a_walking_aperture_gives_one_line_per_beam() -> None:
    first_elements = tuple(range(0, 64, 2))
    x_m = (np.arange(96) - 47.5) * PITCH
    beams = tuple(FocusedBeam(x_m[first] + 15.5 * PITCH, 1e-6) for first in first_elements)
    channels = channel_format(
        n_acquisitions=32,
        n_channels=32,
        n_elements=96,
        transmits=beams,
        first_elements=first_elements,
    )
    beamformer = Beamformer(channels)
    assert beamformer.format.n_lines == 32
    assert beamformer.format.line_pitch_m == pytest.approx(2 * PITCH)
    target = (beams[20].line_x_m, 0.015)
    lines = beamformer(echoes(channels, [target]))
    assert_echo_at(beamformer, lines, *target)
    assert np.argmax(np.abs(lines).max(axis=1)) == 20


def test_the_aperture_grows_with_depth_as_the_f_number_says() -> None:
    # An echo that only one element received: it reaches the lines whose aperture holds that element.
    channels = channel_format(start_time_s=0.0)
    data = np.zeros(channels.shape, np.float32)
    rng = np.random.default_rng(3)
    data[0, 32] = rng.normal(size=channels.n_samples)
    beamformer = Beamformer(channels, BeamformSettings(f_number=2.0, window="boxcar"))
    lines = beamformer(data)
    depth_m = beamformer.format.grid.depth_m
    for line in (20, 28, 40):
        edge_m = 2.0 * 2.0 * abs(line - 32) * PITCH
        inside = depth_m > edge_m + 1e-9
        assert not lines[line][depth_m < edge_m - 1e-9].any()
        assert np.count_nonzero(lines[line][inside]) > 0.95 * np.count_nonzero(inside)


def test_samples_that_are_not_finite_and_times_without_samples_count_as_silence() -> None:
    channels = channel_format()
    data = echoes(channels, [(0.0, 0.02)])
    beamformer = Beamformer(channels, BeamformSettings(start_depth_m=0.0, end_depth_m=0.06))
    data[0, 5, 200:203] = 0.0
    clean = beamformer(data)
    data[0, 5, 200:203] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(beamformer(data), clean)
    # Both ways to 1.5 mm take 2 µs, before the first sample; 55 mm take 71 µs, after the last.
    depth_m = beamformer.format.grid.depth_m
    assert not clean[:, depth_m < 0.0015].any()
    assert not clean[:, depth_m > 0.055].any()


def test_int16_is_read_as_it_is() -> None:
    channels = channel_format()
    data = np.round(1000.0 * echoes(channels, [(0.0, 0.02)])).astype(np.int16)
    beamformer = Beamformer(channels)
    np.testing.assert_array_equal(beamformer(data), beamformer(data.astype(np.float32)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"f_number": 0.0}, "f_number"),
        ({"window": "no such"}, "window 'no such'"),
        ({"samples_per_wavelength": 2.0}, "samples_per_wavelength"),
    ],
)
def test_settings_that_are_not_possible_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RtelastoError, match=said):
        BeamformSettings(**wrong)


def test_what_cannot_be_beamformed_is_refused() -> None:
    with pytest.raises(RtelastoError, match="start_depth_m"):
        Beamformer(channel_format(), BeamformSettings(start_depth_m=0.03, end_depth_m=0.01))
    with pytest.raises(RtelastoError, match="rise evenly"):
        Beamformer(
            channel_format(
                n_acquisitions=3, transmits=tuple(FocusedBeam(x) for x in (0.0, 1e-3, 5e-3))
            )
        )
    with pytest.raises(RtelastoError, match="too many to beamform"):
        Beamformer(channel_format(n_channels=4096, n_samples=8000))
    with pytest.raises(RtelastoError, match="n_samples must lie in"):
        Beamformer(channel_format("BS50BW", n_samples=60000))
    with pytest.raises(RtelastoError, match="must overlap"):
        Beamformer(channel_format(n_acquisitions=2, n_elements=128, first_elements=(0, 64)))
    with pytest.raises(RtelastoError, match="samples has shape"):
        Beamformer(channel_format())(np.zeros((1, 64, 5), np.float32))


def echo_frequency_hz(lines: np.ndarray, rf_format: RfFormat) -> float:
    """Centroid of the power spectrum of the disk's lines."""
    power = np.square(np.abs(np.fft.rfft(lines[:, in_disk(rf_format).any(0)]))).sum(0)
    samples = np.count_nonzero(in_disk(rf_format).any(0))
    return float(power @ np.fft.rfftfreq(samples, 1.0 / rf_format.sampling_freq_hz) / power.sum())


def in_disk(rf_format: RfFormat) -> np.ndarray:
    """RF samples within 8 mm of the middle of the disk."""
    x_m, z_m = rf_format.grid.lateral_m[:, None], rf_format.grid.depth_m
    return np.hypot(x_m + 0.7e-3, z_m - 22.4e-3) < 8e-3


def phase_slope(pre: np.ndarray, post: np.ndarray, rf_format: RfFormat) -> float:
    """Axial displacement over x by least squares, dimensionless, from the phase at the centre frequency.

    The phase of conj(pre)·post, averaged along each line over the disk, is −4π f u / c (Kasai et al.,
    "Real-time two-dimensional blood flow imaging using an autocorrelation technique", IEEE Trans. Sonics
    and Ultrasonics 32(3), 1985). In a disk that turns, u does not depend on depth.
    """
    product = np.conj(hilbert(pre, axis=1)) * hilbert(post, axis=1)
    along = (product * in_disk(rf_format)).sum(1)
    seen = np.abs(along) > 0.0
    to_m = rf_format.sound_speed_m_s / (4.0 * np.pi * rf_format.center_freq_hz)
    u_m = -to_m * np.angle(along[seen])
    weights = np.sqrt(np.abs(along[seen]))
    return float(np.polyfit(rf_format.grid.lateral_m[seen], u_m, 1, w=weights)[0])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ncc", "cnn"])
def test_a_real_rotating_disk_turns_as_it_did_and_does_not_strain(
    engine: str, shared_data: Callable[[str], Path]
) -> None:
    # Rigid rotation: axial displacement grows by 60.7 1/s across x, and no strain at all. That figure is
    # the phase between frames read at the nominal 5 MHz; the echoes themselves lie about 2 % lower, which
    # a phase has to be told and a time delay does not. So the lines are held to 60.7 at the nominal
    # frequency, and the engines to what the phase says at the echoes' own.
    contents = loadmat(
        shared_data("pymust_verasonics_disk/PWI_disk.mat"),
        squeeze_me=True,
        struct_as_record=False,
    )
    param, data = contents["param"], contents["RF"].transpose(2, 1, 0)
    channels = ChannelFormat(
        n_acquisitions=1,
        n_channels=data.shape[1],
        n_samples=data.shape[2],
        sampling_freq_hz=param.fs,
        center_freq_hz=param.fc,
        element_pitch_m=param.pitch,
        start_time_s=param.t0,
        sound_speed_m_s=param.c,
    )
    beamformer = Beamformer(channels, BeamformSettings(samples_per_wavelength=6.4))
    lines = [beamformer(frame[None]) for frame in data]
    slopes, strains, spreads, phase_slopes = [], [], [], []
    echo_hz = echo_frequency_hz(lines[0], beamformer.format)
    assert echo_hz == pytest.approx(4.9e6, rel=0.01)
    for pre, post in zip(lines[:-1:3], lines[1::3], strict=False):
        strain = estimate(pre, post, beamformer.format, engine=engine)
        x_m, z_m = strain.grid.lateral_m[:, None], strain.grid.depth_m
        disk = np.hypot(x_m + 0.7e-3, z_m - 22.4e-3) < 8e-3
        u, x = strain.axial_displacement_m[disk], np.broadcast_to(x_m, disk.shape)[disk]
        slopes.append(np.polyfit(x, u, 1)[0] * param.PRF)
        strains.append(strain.axial_strain[disk].mean())
        spreads.append(strain.axial_strain[disk].std())
        phase_slopes.append(phase_slope(pre, post, beamformer.format) * param.PRF)
    # Seconds of path per radian of phase go with one over the frequency.
    nominal = np.mean(phase_slopes)
    assert nominal == pytest.approx(60.7, rel=0.03)
    assert np.mean(slopes) == pytest.approx(nominal * param.fc / echo_hz, rel=0.01)
    # The noise of one frame is 0.1 to 0.2 % strain; over the disk and the frames it averages out.
    assert np.mean(spreads) < 2e-3
    assert abs(np.mean(strains)) < 2e-4
    print(f"phase at {param.fc:g} Hz {nominal:.2f}, echo {echo_hz:g} Hz")
    print(f"{engine}: {np.mean(slopes):.2f} 1/s, {np.mean(strains):.1e} ± {np.mean(spreads):.1e}")
