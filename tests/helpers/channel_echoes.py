"""Channel data of point targets, evaluated analytically at the sample times of a scanner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.channel import ChannelFormat, PlaneWave

CYCLES = 3.0  # standard deviation of the Gaussian pulse, in periods


def pulse(time_s: NDArray[np.float64], center_freq_hz: float) -> NDArray[np.float64]:
    """The echo of a target at time 0."""
    periods = time_s * center_freq_hz
    return np.exp(-0.5 * (periods / CYCLES) ** 2) * np.cos(2.0 * np.pi * periods)


def sample_times_s(channels: ChannelFormat) -> NDArray[np.float64]:
    """Return the time of each stored sample, shape (n_samples,)."""
    n = np.arange(channels.n_samples)
    if channels.sampling == "quadrature":
        pair, second = n // 2, n % 2
        periods = 2.0 * pair / channels.sampling_freq_hz
        return channels.start_time_s + periods + second / (4.0 * channels.center_freq_hz)
    return channels.start_time_s + n / channels.sampling_freq_hz


def echoes(channels: ChannelFormat, targets_m: list[tuple[float, float]]) -> NDArray[np.float32]:
    """Channel data (acquisition, channel, sample) of targets at (x, z), each of amplitude 1."""
    c, times_s = channels.sound_speed_m_s, sample_times_s(channels)
    data = np.zeros(channels.shape)
    for a, transmit in enumerate(channels.transmits):
        x_e = channels.channel_x_m(a)
        for x, z in targets_m:
            if isinstance(transmit, PlaneWave):
                way = x * np.sin(transmit.angle_rad) + z * np.cos(transmit.angle_rad)
                weight = 1.0
            else:
                # A beam two elements wide: targets beside the line have weak echoes.
                way = z
                offset = (x - transmit.line_x_m) / (2.0 * channels.element_pitch_m)
                weight = np.exp(-0.5 * offset**2)
            delay_s = transmit.origin_time_s + (way + np.hypot(x - x_e, z)) / c
            data[a] += weight * pulse(times_s - delay_s[:, None], channels.center_freq_hz)
    return data.astype(np.float32)


def pressed_tissue(
    channels: ChannelFormat, strains: list[float], n_targets: int = 400, seed: int = 0
) -> list[NDArray[np.int16]]:
    """Channel data of random targets under uniform axial strain: u = strain·z, one frame each."""
    rng = np.random.default_rng(seed)
    c = channels.sound_speed_m_s
    half_m = 0.5 * channels.element_pitch_m * channels.n_elements
    x = rng.uniform(-half_m, half_m, n_targets)
    z = rng.uniform(0.5 * c * channels.start_time_s, 0.5 * c * channels.end_time_s, n_targets)
    frames = []
    for strain in strains:
        targets = list(zip(x, z * (1.0 + strain), strict=True))
        frames.append(np.rint(2000.0 * echoes(channels, targets)).astype(np.int16))
    return frames
