"""Channel data to RF lines: delay and sum on the CPU.

Every pixel sums what each element received when the echo from there came back: the transmit's
arrival at the pixel plus the way to the element. The lines hold the real RF itself, not its envelope,
on the carrier of the echo, so that they are what the pipeline pairs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtelasto.cpu.beamforming.bandpass import upsample, upsampler
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.line_threads import over_lines
from rtelasto.cpu.resample import FASTMATH, readable
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.frames.rf import Float32Image, RfFormat
from rtelasto.host.compiled import kernel

_IRREGULAR = 0.05
# 512 MiB of restored RF: far above any scanner's, far below what a wrong header could ask for.
_MAX_FINE_SAMPLES = 1 << 27


class Beamformer:
    """Delay and sum for one format of channel data: plane waves, their angles compounded, or the
    focused lines of a walking aperture.

    Parameters
    ----------
    channel_format
        What the channel data are.
    settings
        Aperture, apodisation and grid.

    Attributes
    ----------
    format : RfFormat
        What the RF lines are. Plane waves give a line at every element that received in all
        acquisitions; focused beams one line each. Lateral positions of an `RfFormat` count from the
        middle of its image.

    Raises
    ------
    RtelastoError
        If the samples cover no depth or more than fits an `RfFormat`, are too many, or if focused
        beams do not lie evenly.
    """

    def __init__(
        self, channel_format: ChannelFormat, settings: BeamformSettings | None = None
    ) -> None:
        self.channel_format = channel_format
        self.settings = settings or BeamformSettings()
        self._upsampler = upsampler(channel_format)
        self._window = self.settings.half_window()
        self._line_x_m = _line_positions(channel_format)
        self.format = self._rf_format()
        z_m = self.format.grid.depth_m
        self._depth_m = z_m.astype(np.float32)
        n_fine = self._upsampler.fine_samples(channel_format.n_samples)
        if n_fine * channel_format.n_channels > _MAX_FINE_SAMPLES:
            raise RtelastoError(
                f"{channel_format.n_channels} channels of {channel_format.n_samples} samples at "
                f"sampling_freq_hz {channel_format.sampling_freq_hz:g} are too many to beamform"
            )
        self._fine = np.empty((channel_format.n_channels, n_fine + 3), np.float32)
        self._gain = self._inverse_weights()

    def _rf_format(self) -> RfFormat:
        channels, settings = self.channel_format, self.settings
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
        if not 0.0 <= start_m < end_m:
            raise RtelastoError(
                f"the lines would reach from {1e3 * start_m:.2f} to {1e3 * end_m:.2f} mm: give "
                "start_depth_m and end_depth_m, or mend start_time_s"
            )
        lines = self._line_x_m
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

    def __call__(self, samples: NDArray[np.generic]) -> Float32Image:
        """Beamform one frame.

        Parameters
        ----------
        samples
            Channel data (n_acquisitions, n_channels, n_samples), any real dtype; samples that are
            not finite count as 0.

        Returns
        -------
        lines : float32 (n_lines, n_samples) of ``format``
            In the units of the channel data: a weighted mean over the elements of the aperture and
            over the acquisitions of a plane-wave frame.
        """
        channels = self.channel_format
        if samples.shape != channels.shape:
            raise RtelastoError(
                f"samples has shape {samples.shape}, the format says "
                f"(n_acquisitions, n_channels, n_samples) = {channels.shape}"
            )
        lines = np.zeros((self.format.n_lines, self.format.n_samples), np.float32)
        for acquisition in range(channels.n_acquisitions):
            self._add(readable(samples[acquisition]), acquisition, lines)
        lines *= self._gain
        return lines

    def _add(self, samples: NDArray[np.generic], acquisition: int, lines: Float32Image) -> None:
        """Add one acquisition to the lines that it bears on."""
        channels, made = self.channel_format, self._upsampler
        over_lines(
            upsample,
            channels.n_channels,
            samples,
            made.table,
            made.group,
            made.first_tap,
            self._fine,
        )
        self._sum(acquisition, self._lines_of(acquisition), lines)

    def _sum(self, acquisition: int, chosen: slice, lines: Float32Image) -> None:
        """Add what the fine samples of an acquisition say of these lines."""
        channels, made = self.channel_format, self._upsampler
        line_x_m = self._line_x_m[chosen]
        # Fine samples from the zero that stands before the first one, hence the 1.
        rate = made.sampling_freq_hz
        sent = (self._arrival_s(acquisition, line_x_m) - channels.start_time_s) * rate + 1.0
        over_lines(
            _delay_and_sum,
            line_x_m.size,
            self._fine,
            channels.channel_x_m(acquisition).astype(np.float32),
            line_x_m.astype(np.float32),
            self._depth_m,
            sent.astype(np.float32),
            np.float32(rate / channels.sound_speed_m_s),
            np.float32(self.settings.f_number),
            self._window,
            lines[chosen],
        )

    def _lines_of(self, acquisition: int) -> slice:
        if isinstance(self.channel_format.transmits[acquisition], FocusedBeam):
            return slice(acquisition, acquisition + 1)
        return slice(None)

    def _arrival_s(self, acquisition: int, line_x_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """When the transmit reaches each pixel of these lines, (lines, n_samples), s."""
        transmit = self.channel_format.transmits[acquisition]
        c = self.channel_format.sound_speed_m_s
        x_m, z_m = line_x_m[:, None], self.format.grid.depth_m
        if isinstance(transmit, PlaneWave):
            way_m = x_m * math.sin(transmit.angle_rad) + z_m * math.cos(transmit.angle_rad)
        else:
            way_m = z_m + 0.0 * x_m
        return np.asarray(transmit.origin_time_s + way_m / c)

    def _inverse_weights(self) -> Float32Image:
        """One over the sum of weights that each pixel gets, (n_lines, n_samples); 0 where none."""
        total = np.zeros((self.format.n_lines, self.format.n_samples), np.float32)
        for acquisition in range(self.channel_format.n_acquisitions):
            chosen = self._lines_of(acquisition)
            _sum_weights(
                self.channel_format.channel_x_m(acquisition).astype(np.float32),
                self._line_x_m[chosen].astype(np.float32),
                self._depth_m,
                np.float32(self.settings.f_number),
                self._window,
                total[chosen],
            )
        return np.divide(1.0, total, out=np.zeros_like(total), where=total > 0.0)


def _line_positions(channels: ChannelFormat) -> NDArray[np.float64]:
    """Where the RF lines lie on the array, shape (n_lines,), m, rising evenly."""
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


@kernel(fastmath=FASTMATH)
def _delay_and_sum(  # type: ignore[no-untyped-def]
    fine, channel_x, line_x, depth, sent, rate_over_c, f_number, window, lines, begin, end
):
    last = np.float32(fine.shape[1] - 2)
    points = np.float32(window.size - 1)
    step = depth[1] - depth[0] if depth.size > 1 else np.float32(1.0)
    # Channel by channel, so that its samples stay in the cache while all lines read them.
    for e in range(channel_x.size):
        received = fine[e]
        for i in range(begin, end):
            dx = line_x[i] - channel_x[e]
            reach = np.float32(2.0) * f_number * abs(dx)
            first = max(0, int(np.ceil((reach - depth[0]) / step)))
            line, arrival = lines[i], sent[i]
            for j in range(first, depth.size):
                z = depth[j]
                t = arrival[j] + rate_over_c * np.sqrt(dx * dx + z * z)
                t = min(max(t, np.float32(0.0)), last)
                n = int(t)
                value = received[n] + (t - np.float32(n)) * (received[n + 1] - received[n])
                edge = min(reach / max(z, np.float32(1e-9)), np.float32(1.0))
                line[j] += window[int(edge * points)] * value


@kernel(fastmath=FASTMATH)
def _sum_weights(channel_x, line_x, depth, f_number, window, total):  # type: ignore[no-untyped-def]
    points = np.float32(window.size - 1)
    step = depth[1] - depth[0] if depth.size > 1 else np.float32(1.0)
    for e in range(channel_x.size):
        for i in range(line_x.size):
            reach = np.float32(2.0) * f_number * abs(line_x[i] - channel_x[e])
            first = max(0, int(np.ceil((reach - depth[0]) / step)))
            for j in range(first, depth.size):
                edge = min(reach / max(depth[j], np.float32(1e-9)), np.float32(1.0))
                total[i, j] += window[int(edge * points)]
