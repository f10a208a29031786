"""When a transmit reaches the samples of the lines, and how the elements that receive count there."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.line_format import line_positions, lines_of
from rtelasto.frames.channel import ChannelFormat, PlaneWave
from rtelasto.frames.rf import Float32Image


def arrival_s(
    channels: ChannelFormat,
    acquisition: int,
    line_x_m: NDArray[np.float64],
    depth_m: NDArray[np.float64],
) -> NDArray[np.float64]:
    """When the transmit of an acquisition reaches each sample of these lines, (n_lines, n_depths), s."""
    transmit = channels.transmits[acquisition]
    x_m = line_x_m[:, None]
    if isinstance(transmit, PlaneWave):
        way_m = x_m * math.sin(transmit.angle_rad) + depth_m * math.cos(transmit.angle_rad)
    else:
        way_m = depth_m + 0.0 * x_m
    return np.asarray(transmit.origin_time_s + way_m / channels.sound_speed_m_s)


def apodisation(
    window: Float32Image,
    f_number: float,
    distance_m: NDArray[np.float64],
    depth_m: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether an element lies in the aperture of a sample, and its weight there, 0 outside.

    ``distance_m`` is that between the line and the element, and ``window`` half of the window, from the
    middle of the aperture to its edge (`BeamformSettings.half_window`).
    """
    edge = 2.0 * f_number * distance_m / np.maximum(depth_m, 1e-9)
    inside = edge <= 1.0
    points = (np.minimum(edge, 1.0) * (window.size - 1)).astype(np.int32)
    return inside, np.where(inside, window[points], 0.0)


def inverse_weights(
    channels: ChannelFormat, settings: BeamformSettings, depth_m: NDArray[np.float64]
) -> Float32Image:
    """One over the sum of weights that each sample gets, (n_lines, n_depths); 0 where none."""
    line_x_m, window = line_positions(channels), settings.half_window()
    total = np.zeros((line_x_m.size, depth_m.size), np.float32)
    for acquisition in range(channels.n_acquisitions):
        chosen = lines_of(channels, acquisition)
        for x_m in channels.channel_x_m(acquisition):
            distance_m = np.abs(line_x_m[chosen, None] - x_m)
            total[chosen] += apodisation(window, settings.f_number, distance_m, depth_m)[1]
    return np.divide(1.0, total, out=np.zeros_like(total), where=total > 0.0)
