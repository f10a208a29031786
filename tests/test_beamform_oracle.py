"""Delay and sum in baseband gives what delay and sum at every RF sample gives, for every geometry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from channel_echoes import echoes, sample_times_s
from delay_and_sum import delay_and_sum

from rtelasto.cpu.beamform import Beamformer
from rtelasto.cpu.beamforming import delay_tables
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave

FC, PITCH = 7.8125e6, 0.2e-3
# Samples per period of every way in which a Vantage stores channel data.
STORED = {
    "NS200BW": ("uniform", 4.0),
    "BS67BW": ("uniform", 4.0 / 3.0),
    "BS100BW": ("quadrature", 2.0),
    "BS50BW": ("quadrature", 1.0),
}
# RF samples at either end of a line where what lies beyond the channel data is missing.
ENDS = 64


def plane_waves(*angles_deg: float) -> dict[str, Any]:
    waves = tuple(PlaneWave(math.radians(angle), 1.1e-6) for angle in angles_deg)
    return {"n_acquisitions": len(waves), "transmits": waves}


def walking_aperture(offset: float, stretch: float = 1.0) -> dict[str, Any]:
    """Beams in the middle of 16 elements, moved by a part of the pitch."""
    firsts = tuple(range(0, 24, 3))
    lines = (np.array(firsts) - 12.0 + offset) * stretch * PITCH
    return {
        "n_acquisitions": len(firsts),
        "n_channels": 16,
        "n_elements": 40,
        "first_elements": firsts,
        "transmits": tuple(FocusedBeam(float(x), 0.7e-6) for x in lines),
    }


def channel_format(stored: str = "NS200BW", **others: Any) -> ChannelFormat:
    sampling, per_period = STORED[stored]
    return ChannelFormat(
        **{
            "n_channels": 32,
            "n_samples": 2 * round(90 * per_period),
            "sampling_freq_hz": per_period * FC,
            "center_freq_hz": FC,
            "element_pitch_m": PITCH,
            "start_time_s": 5e-6,
            "sampling": sampling,
        }
        | others
    )


def random_data(channels: ChannelFormat, part_of_band: float = 0.5) -> np.ndarray:
    """Noise that fills part of the band of the samples, other on every channel."""
    rng = np.random.default_rng(11)
    half_band_hz = min(part_of_band * channels.half_band_hz, 0.5 * channels.center_freq_hz)
    tones_hz = channels.center_freq_hz + half_band_hz * rng.uniform(-1.0, 1.0, 60)
    angles = 2.0 * np.pi * sample_times_s(channels)[:, None] * tones_hz
    size = (*channels.shape[:2], tones_hz.size)
    cosines, sines = rng.normal(size=size), rng.normal(size=size)
    return (cosines @ np.cos(angles).T + sines @ np.sin(angles).T).astype(np.float32)


def relative_error(channels: ChannelFormat, settings: BeamformSettings, data: np.ndarray) -> float:
    """RMS of the difference over that of the oracle, away from the ends of the lines."""
    expected = delay_and_sum(channels, settings, data)
    lines = Beamformer(channels, settings)(data)
    assert lines.shape == expected.shape
    inside = slice(ENDS, -ENDS)
    difference = (lines - expected)[:, inside]
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected[:, inside] ** 2)))


GEOMETRIES = {
    "one plane wave": plane_waves(0.0),
    "three plane waves": plane_waves(-10.0, 0.0, 10.0),
    "uneven steep angles": plane_waves(-3.0, 31.0),
    "plane waves on parts of the array": plane_waves(-5.0, 5.0)
    | {"n_elements": 37, "first_elements": (5, 0)},
    "an odd number of channels": plane_waves(4.0) | {"n_channels": 27},
    "an odd pitch": plane_waves(0.0, 7.0) | {"element_pitch_m": 0.2713e-3},
    "beams at elements": walking_aperture(0.5),
    "beams between elements": walking_aperture(0.0),
    "beams anywhere": walking_aperture(0.313, 1.037),
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_geometry_gives_the_lines_of_delay_and_sum(geometry: str) -> None:
    channels = channel_format(**GEOMETRIES[geometry])
    error = relative_error(channels, BeamformSettings(), random_data(channels))
    assert error < 0.01


@pytest.mark.parametrize("stored", STORED)
def test_every_way_of_storing_samples_gives_the_lines_of_delay_and_sum(stored: str) -> None:
    channels = channel_format(stored, **plane_waves(-8.0, 0.0, 8.0))
    error = relative_error(channels, BeamformSettings(), random_data(channels))
    assert error < 0.01


@pytest.mark.parametrize(
    "changes",
    [
        {"f_number": 0.3},
        {"f_number": 0.5},
        {"f_number": 1.0},
        {"f_number": 6.0},
        {"window": "boxcar"},
        {"window": "hamming"},
        {"window": "tukey"},
        {"samples_per_wavelength": 2.5},
        {"samples_per_wavelength": 5.3},
        {"samples_per_wavelength": 6.4},
        {"samples_per_wavelength": 16.0},
        {"start_depth_m": 6.1e-3, "end_depth_m": 11.3e-3},
    ],
    ids=lambda changes: " ".join(f"{name} {value}" for name, value in changes.items()),
)
def test_every_setting_gives_the_lines_of_delay_and_sum(changes: dict[str, Any]) -> None:
    channels = channel_format(**plane_waves(-6.0, 6.0))
    error = relative_error(channels, BeamformSettings(**changes), random_data(channels))
    assert error < 0.01


def test_point_targets_look_as_delay_and_sum_shows_them() -> None:
    channels = channel_format(**plane_waves(-10.0, 0.0, 10.0))
    targets = [(0.3e-3, 6.2e-3), (-2.05e-3, 9.1e-3), (1.7e-3, 11.3e-3)]
    data = echoes(channels, targets)
    expected = delay_and_sum(channels, BeamformSettings(), data)
    difference = Beamformer(channels)(data) - expected
    assert np.abs(difference).max() < 0.01 * np.abs(expected).max()


def test_tables_that_are_too_large_to_keep_give_the_same_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channels = channel_format(**GEOMETRIES["beams anywhere"])
    data = random_data(channels)
    kept = Beamformer(channels)(data)
    monkeypatch.setattr(delay_tables, "_MAX_BYTES", 0)
    np.testing.assert_allclose(Beamformer(channels)(data), kept, atol=1e-5 * np.abs(kept).max())


def test_a_frame_leaves_nothing_behind_for_the_next() -> None:
    channels = channel_format(**plane_waves(-6.0, 6.0))
    data = random_data(channels)
    beamformer = Beamformer(channels)
    first = beamformer(data)
    beamformer(1e3 * data[..., ::-1])
    np.testing.assert_array_equal(beamformer(data), first)


def test_more_lines_and_channels_than_any_scanner_has_are_refused() -> None:
    with pytest.raises(RtelastoError, match="4096 channels of 64 samples"):
        Beamformer(channel_format(n_acquisitions=1, n_channels=4096, n_samples=64))
