"""Channel data: what the elements of a linear array received, before any beamforming.

Axes: x runs along the array from its middle, z away from its face. Time runs from the scanner's
time zero; a transmit says when its wavefront passes its own origin on that clock, so that scanners
that count from the first firing element and those that count from the middle one both fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import MAX_LINES, MAX_SAMPLES, check_physics, check_samples
from rtelasto.frames.stamp import UNSTAMPED, FrameStamp, Stamped

MAX_ACQUISITIONS = 1024
MAX_ANGLE_RAD = math.radians(60.0)
Sampling = Literal["uniform", "quadrature"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)
# Transmit delays quantised by a scanner (4 ns on a Vantage) may miss an exact plane by this much.
_DELAY_TOLERANCE_S = 20e-9


@dataclass(frozen=True, slots=True)
class PlaneWave:
    """A plane wave.

    Parameters
    ----------
    angle_rad
        Steering angle, positive towards positive x.
    origin_time_s
        When the wavefront passes the middle of the array (x = 0, z = 0).
    """

    angle_rad: float = 0.0
    origin_time_s: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.angle_rad) <= MAX_ANGLE_RAD:
            raise RtelastoError(
                f"angle_rad must lie in ±{MAX_ANGLE_RAD:.3f}, got {self.angle_rad:g}"
            )
        _check_time("origin_time_s", self.origin_time_s)

    @classmethod
    def from_delays(
        cls, delays_s: ArrayLike, element_x_m: ArrayLike, *, sound_speed_m_s: float
    ) -> PlaneWave:
        """The plane wave that firing the elements at ``element_x_m`` at these times makes.

        An element at x fires at origin_time_s + x sin(angle)/c: a straight line in x.

        Raises
        ------
        RtelastoError
            If the delays are not those of a plane wave.
        """
        delays = np.asarray(delays_s, np.float64)
        x_m = np.asarray(element_x_m, np.float64)
        if delays.shape != x_m.shape or delays.ndim != 1 or delays.size < 2:
            raise RtelastoError(
                f"delays_s of shape {delays.shape} must give one delay for each of the "
                f"{x_m.size} elements"
            )
        slope, offset = np.polyfit(x_m, delays, 1)
        miss_s = np.abs(delays - offset - slope * x_m).max()
        sine = slope * sound_speed_m_s
        if not (miss_s <= _DELAY_TOLERANCE_S and abs(sine) < 1.0):
            raise RtelastoError(
                f"delays_s are not those of a plane wave: they miss a straight line by "
                f"{1e9 * miss_s:.0f} ns"
            )
        return cls(math.asin(sine), float(offset))


@dataclass(frozen=True, slots=True)
class FocusedBeam:
    """A beam straight down along one line, as a walking aperture sends them.

    Parameters
    ----------
    line_x_m
        Where the line lies.
    origin_time_s
        When the element in the middle of the transmit aperture fires: on the line the focused
        wavefront then arrives at depth z at origin_time_s + z/c, before and behind the focus.
    """

    line_x_m: float
    origin_time_s: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.line_x_m) <= 1.0:
            raise RtelastoError(f"line_x_m must lie in ±1 m, got {self.line_x_m:g}")
        _check_time("origin_time_s", self.origin_time_s)


Transmit = PlaneWave | FocusedBeam


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFormat:
    """What one frame of channel data is.

    Parameters
    ----------
    n_acquisitions, n_channels, n_samples
        Size of a frame: transmits, channels that receive at once, samples in time.
    sampling_freq_hz
        Samples stored per second. It may be below twice the centre frequency: see `half_band_hz`.
    center_freq_hz
        Centre frequency of the echo, in Hz.
    element_pitch_m
        Distance of neighbouring elements, in m.
    n_elements
        Elements of the array; by default as many as channels. Element e lies at
        x = element_pitch_m·(e − (n_elements − 1)/2).
    start_time_s
        Time of the first sample.
    sound_speed_m_s
        Sound speed to beamform with, in m/s.
    transmits
        One for each acquisition: all plane waves, or all focused beams on evenly spaced lines.
    first_elements
        For each acquisition the element on channel 0; channel k is the k-th element from there.
        By default 0.
    sampling
        "uniform", or "quadrature" where two samples a quarter of a period apart (I and −Q) are
        taken every 2 / sampling_freq_hz.

    Raises
    ------
    RtelastoError
        If a value is not possible or the parts do not fit each other.
    """

    n_acquisitions: int
    n_channels: int
    n_samples: int
    sampling_freq_hz: float
    center_freq_hz: float
    element_pitch_m: float
    n_elements: int = 0
    start_time_s: float = 0.0
    sound_speed_m_s: float = 1540.0
    transmits: tuple[Transmit, ...] = ()
    first_elements: tuple[int, ...] = ()
    sampling: Sampling = "uniform"

    def __post_init__(self) -> None:
        for name, largest in (
            ("n_acquisitions", MAX_ACQUISITIONS),
            ("n_channels", MAX_LINES),
            ("n_samples", MAX_SAMPLES),
        ):
            if not 1 <= getattr(self, name) <= largest:
                raise RtelastoError(f"{name} must lie in 1…{largest}, got {getattr(self, name)}")
        check_physics("sampling_freq_hz", self.sampling_freq_hz)
        check_physics("center_freq_hz", self.center_freq_hz)
        check_physics("line_pitch_m", self.element_pitch_m, called="element_pitch_m")
        check_physics("sound_speed_m_s", self.sound_speed_m_s)
        _check_time("start_time_s", self.start_time_s)
        if self.sampling not in SAMPLINGS:
            raise RtelastoError(f"sampling must be one of {', '.join(SAMPLINGS)}: {self.sampling}")
        object.__setattr__(self, "n_elements", self.n_elements or self.n_channels)
        object.__setattr__(
            self, "transmits", tuple(self.transmits) or (PlaneWave(),) * self.n_acquisitions
        )
        object.__setattr__(
            self, "first_elements", tuple(self.first_elements) or (0,) * self.n_acquisitions
        )
        self._check_transmits()
        if self.half_band_hz < 0.05 * self.center_freq_hz:
            raise RtelastoError(
                f"sampling_freq_hz {self.sampling_freq_hz:g} folds the echo at center_freq_hz "
                f"{self.center_freq_hz:g} onto itself: a centre frequency near a multiple of half "
                "the sampling frequency cannot be distinguished from its mirror image"
            )

    def _check_transmits(self) -> None:
        for name in ("transmits", "first_elements"):
            if len(getattr(self, name)) != self.n_acquisitions:
                raise RtelastoError(
                    f"{name} must have one entry for each of the {self.n_acquisitions} "
                    f"acquisitions, got {len(getattr(self, name))}"
                )
        if not self.n_channels <= self.n_elements <= MAX_LINES:
            raise RtelastoError(
                f"n_elements must lie in {self.n_channels} (n_channels)…{MAX_LINES}, "
                f"got {self.n_elements}"
            )
        last = self.n_elements - self.n_channels
        for first in self.first_elements:
            if not 0 <= first <= last:
                raise RtelastoError(f"first_elements must lie in 0…{last}, got {first}")
        if len({type(transmit) for transmit in self.transmits}) > 1:
            raise RtelastoError("transmits must be all plane waves or all focused beams")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.n_acquisitions, self.n_channels, self.n_samples)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of `shape` by name, in order."""
        names = ("n_acquisitions", "n_channels", "n_samples")
        return dict(zip(names, self.shape, strict=True))

    @property
    def plane(self) -> bool:
        """Whether the transmits are plane waves; else they are focused beams."""
        return isinstance(self.transmits[0], PlaneWave)

    @property
    def aims(self) -> list[float]:
        """The steering angle of each plane wave in rad, or the line of each focused beam in m."""
        return [t.angle_rad if isinstance(t, PlaneWave) else t.line_x_m for t in self.transmits]

    @property
    def element_x_m(self) -> NDArray[np.float64]:
        """Positions of all elements, shape (n_elements,), m from the middle of the array."""
        elements = np.arange(self.n_elements, dtype=np.float64)
        return self.element_pitch_m * (elements - 0.5 * (self.n_elements - 1))

    def channel_x_m(self, acquisition: int) -> NDArray[np.float64]:
        """Positions of the elements that an acquisition received with, shape (n_channels,), m."""
        first = self.first_elements[acquisition]
        return self.element_x_m[first : first + self.n_channels]

    @property
    def half_band_hz(self) -> float:
        """How far from the centre frequency the samples tell frequencies apart.

        Uniform samples do so within one Nyquist zone, k·fs/2 to (k + 1)·fs/2; pairs of samples a
        quarter of a period apart within half their rate on either side (second-order sampling).
        R. G. Vaughan, N. L. Scott, D. R. White, "The theory of bandpass sampling", IEEE Trans.
        Signal Processing 39(9), 1991.
        """
        half_rate = 0.5 * self.sampling_freq_hz
        if self.sampling == "quadrature":
            return min(0.5 * half_rate, self.center_freq_hz)
        within = self.center_freq_hz % half_rate
        return min(within, half_rate - within)

    @property
    def end_time_s(self) -> float:
        """Time of the last sample."""
        return self.start_time_s + (self.n_samples - 1) / self.sampling_freq_hz


@dataclass(frozen=True, slots=True, eq=False)
class ChannelFrame(Stamped):
    """One frame of channel data, any real dtype, shape (acquisition, channel, sample),
    with its stamp."""

    samples: NDArray[np.generic]
    format: ChannelFormat
    stamp: FrameStamp = UNSTAMPED

    def __post_init__(self) -> None:
        check_samples(self.samples, self.format.sizes)


def _check_time(name: str, value: float) -> None:
    if not abs(value) <= 1e-2:
        raise RtelastoError(f"{name} must lie within ±10 ms, got {value!r} s")
