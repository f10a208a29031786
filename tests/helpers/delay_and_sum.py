"""Delay and sum as its formula says, at every RF sample, from RF restored at 32 samples a period: the oracle
of the beamformer that sums in baseband."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.apertures import arrival_s, inverse_weights
from rtelasto.cpu.beamforming.bandpass import upsample, upsampler
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.line_format import line_format, line_positions, lines_of
from rtelasto.frames.channel import ChannelFormat


def delay_and_sum(
    channels: ChannelFormat, settings: BeamformSettings, samples: NDArray[np.generic]
) -> NDArray[np.float64]:
    """RF lines (n_lines, n_samples) of channel data (acquisition, channel, sample)."""
    made, window = upsampler(channels), settings.half_window()
    z_m, c = line_format(channels, settings).grid.depth_m, channels.sound_speed_m_s
    all_lines = line_positions(channels)
    fine = np.empty((channels.n_channels, made.fine_samples(channels.n_samples) + 3), np.float32)
    lines = np.zeros((all_lines.size, z_m.size))
    for a in range(channels.n_acquisitions):
        upsample(samples[a], made.table, made.group, made.first_tap, fine, 0, channels.n_channels)
        chosen = lines_of(channels, a)
        x_m = all_lines[chosen, None]
        sent_s = arrival_s(channels, a, all_lines[chosen], z_m) - channels.start_time_s
        for x_e, received in zip(channels.channel_x_m(a), fine, strict=True):
            # A zero stands before the first fine sample.
            place = 1.0 + made.sampling_freq_hz * (sent_s + np.hypot(x_m - x_e, z_m) / c)
            value = np.interp(place, np.arange(received.size), received)
            edge = 2.0 * settings.f_number * np.abs(x_m - x_e) / np.maximum(z_m, 1e-9)
            points = (np.minimum(edge, 1.0) * (window.size - 1)).astype(int)
            lines[chosen] += np.where(edge <= 1.0, window[points], 0.0) * value
    return lines * inverse_weights(channels, settings, z_m)
