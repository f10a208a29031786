"""The RF lines that a format of channel data becomes, whatever sums them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.frames.rf import RfFormat

_IRREGULAR = 0.05


def line_positions(channels: ChannelFormat) -> NDArray[np.float64]:
    """Where the RF lines lie on the array, shape (n_lines,), m, rising evenly.

    Raises
    ------
    RtelastoError
        If no element received in all plane waves, or focused beams do not lie evenly.
    """
    if isinstance(channels.transmits[0], PlaneWave):
        first = max(channels.first_elements)
        last = min(channels.first_elements) + channels.n_channels
        if first >= last:
            raise RtelastoError(
                "first_elements of plane waves must overlap: no element received in all acquisitions"
            )
        return channels.element_x_m[first:last]
    lines = np.array([t.line_x_m for t in channels.transmits if isinstance(t, FocusedBeam)])
    steps = np.diff(lines)
    if steps.size and not (steps.min() > 0.0 and np.ptp(steps) <= _IRREGULAR * steps.mean()):
        raise RtelastoError(
            "line_x_m of the focused beams must rise evenly: send them in order from left to right"
        )
    return lines


def lines_of(channels: ChannelFormat, acquisition: int) -> slice:
    """Which lines an acquisition adds to: all for a plane wave, its own for a focused beam."""
    if isinstance(channels.transmits[acquisition], FocusedBeam):
        return slice(acquisition, acquisition + 1)
    return slice(None)


def line_format(channels: ChannelFormat, settings: BeamformSettings) -> RfFormat:
    """What the RF lines are: size, depth range and sampling.

    Raises
    ------
    RtelastoError
        If the samples cover no depth or more than fits an `RfFormat`, and as `line_positions`.
    """
    c = channels.sound_speed_m_s
    sampling_freq_hz = settings.samples_per_wavelength * channels.center_freq_hz
    step_m = c / (2.0 * sampling_freq_hz)
    origin_s = [transmit.origin_time_s for transmit in channels.transmits]
    covered = (
        max(0.0, 0.5 * c * (channels.start_time_s - min(origin_s))),
        0.5 * c * (channels.end_time_s - max(origin_s)),
    )
    start_m = covered[0] if settings.start_depth_m is None else settings.start_depth_m
    end_m = covered[1] if settings.end_depth_m is None else settings.end_depth_m
    lines = line_positions(channels)
    if not 0.0 <= start_m < end_m:
        raise RtelastoError(
            f"the lines would reach from {1e3 * start_m:.2f} to {1e3 * end_m:.2f} mm: give "
            "start_depth_m and end_depth_m, or mend start_time_s"
        )
    pitch_m = channels.element_pitch_m if lines.size == 1 else float(lines[1] - lines[0])
    return RfFormat(
        n_lines=lines.size,
        n_samples=1 + math.floor((end_m - start_m) / step_m + 1e-6),
        sampling_freq_hz=sampling_freq_hz,
        center_freq_hz=channels.center_freq_hz,
        line_pitch_m=pitch_m,
        start_depth_m=start_m,
        sound_speed_m_s=c,
    )


def too_many(channels: ChannelFormat) -> RtelastoError:
    """The error for channel data of which a beamformer cannot hold the tables or the dense samples."""
    return RtelastoError(
        f"{channels.n_channels} channels of {channels.n_samples} samples at "
        f"sampling_freq_hz {channels.sampling_freq_hz:g} are too many to beamform"
    )
