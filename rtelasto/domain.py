"""The types that flow through the pipeline, in field terms.

Axes: every image is indexed (line, sample) or (line, depth) with the axial direction contiguous, the
order in which MATLAB holds [samples, lines]. Lateral positions ``x`` are measured from the centre of
the image, depths ``z`` from the transducer face. Displacements are positive away from the probe and
strains negative in compression.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

Float32Image = NDArray[np.float32]

# Bounds on what a scanner can plausibly say of itself; beyond them a header is a mistake, not a probe.
MAX_LINES = 4096
MAX_SAMPLES = 65536
# The filters that resample a line are so many times longer; 250 MHz at 2 MHz is 125.
MAX_SAMPLES_PER_WAVELENGTH = 200
_LIMITS: dict[str, tuple[float, float, str]] = {
    "sampling_freq_hz": (1e5, 1e9, "Hz"),
    "center_freq_hz": (1e5, 1e8, "Hz"),
    "line_pitch_m": (1e-6, 1e-1, "m"),
    "start_depth_m": (-0.5, 0.5, "m"),
    "sound_speed_m_s": (300.0, 5000.0, "m/s"),
}


def check_physics(name: str, value: object, *, called: str = "") -> float:
    """The value as a float if a scanner can plausibly say it of ``name``, a key of `RfFormat`.

    ``called`` is how the user knows it, where that is another name.

    Raises
    ------
    RtelastoError
        If it is not a finite number within the bounds.
    """
    low, high, unit = _LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise RtelastoError(f"{called or name} must be a number in {unit}, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise RtelastoError(f"{called or name} must lie in {low:g}…{high:g} {unit}, got {number:g}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class RfFormat:
    """What an RF frame is: its size and the physics needed to read it.

    Parameters
    ----------
    n_lines, n_samples
        Size of a frame: RF lines (lateral) by samples (axial).
    sampling_freq_hz, center_freq_hz
        Axial sampling rate and centre frequency of the echo, in Hz.
    line_pitch_m
        Lateral distance between neighbouring RF lines, in m.
    start_depth_m
        Depth of the first sample, in m.
    sound_speed_m_s
        Sound speed assumed by the beamformer, in m/s.

    Raises
    ------
    RtelastoError
        If a value is not finite or outside what an ultrasound scanner can produce.
    """

    n_lines: int
    n_samples: int
    sampling_freq_hz: float
    center_freq_hz: float
    line_pitch_m: float
    start_depth_m: float = 0.0
    sound_speed_m_s: float = 1540.0

    def __post_init__(self) -> None:
        for name, largest in (("n_lines", MAX_LINES), ("n_samples", MAX_SAMPLES)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise RtelastoError(f"{name} must be a whole number, got {value!r}")
            if not 1 <= value <= largest:
                raise RtelastoError(f"{name} must lie in 1…{largest}, got {value}")
            object.__setattr__(self, name, int(value))
        for name in _LIMITS:
            object.__setattr__(self, name, check_physics(name, getattr(self, name)))
        if self.sampling_freq_hz < 2.0 * self.center_freq_hz:
            raise RtelastoError(
                f"sampling_freq_hz {self.sampling_freq_hz:g} is below twice center_freq_hz "
                f"{self.center_freq_hz:g}: RF lines need at least 2 samples per wavelength"
            )
        if self.samples_per_wavelength > MAX_SAMPLES_PER_WAVELENGTH:
            raise RtelastoError(
                f"sampling_freq_hz {self.sampling_freq_hz:g} is {self.samples_per_wavelength:.0f} "
                f"times center_freq_hz {self.center_freq_hz:g}: RF lines have at most "
                f"{MAX_SAMPLES_PER_WAVELENGTH} samples per wavelength"
            )

    @property
    def axial_step_m(self) -> float:
        """Depth between neighbouring samples, in m: c / (2 fs)."""
        return self.sound_speed_m_s / (2.0 * self.sampling_freq_hz)

    @property
    def samples_per_wavelength(self) -> float:
        """Samples per period of the centre frequency: fs / fc."""
        return self.sampling_freq_hz / self.center_freq_hz

    @property
    def grid(self) -> Grid:
        """The grid on which the samples lie."""
        return Grid(
            self.n_lines, self.n_samples, self.axial_step_m, self.line_pitch_m, self.start_depth_m
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of an image lie: (n_lines, n_depths), lateral pitch and axial step in m."""

    n_lines: int
    n_depths: int
    axial_step_m: float
    line_pitch_m: float
    start_depth_m: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return (self.n_lines, self.n_depths)

    @property
    def depth_m(self) -> NDArray[np.float64]:
        """Depth of each row of pixels, shape (n_depths,), m from the transducer face."""
        return self.start_depth_m + self.axial_step_m * np.arange(self.n_depths, dtype=np.float64)

    @property
    def lateral_m(self) -> NDArray[np.float64]:
        """Lateral position of each line, shape (n_lines,), m from the centre of the image."""
        return self.line_pitch_m * (
            np.arange(self.n_lines, dtype=np.float64) - 0.5 * (self.n_lines - 1)
        )


def check_samples(samples: NDArray[np.generic], *, is_complex: bool = False, **sizes: int) -> None:
    """Raise RtelastoError unless samples have the sizes that their format says, by name and in order,
    and are real, or complex, numbers."""
    expected = tuple(sizes.values())
    if samples.shape != expected:
        raise RtelastoError(
            f"samples has shape {samples.shape}, the format says ({', '.join(sizes)}) = {expected}"
        )
    if samples.dtype.kind not in ("c" if is_complex else "iuf"):
        kind = "complex" if is_complex else "real"
        raise RtelastoError(f"samples must be {kind} numbers, got dtype {samples.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class RfFrame:
    """One frame of RF lines.

    ``samples`` has shape (n_lines, n_samples), C order, any real dtype. ``frame_id`` is the scanner's
    acquisition count, ``acquired_ns`` the scanner's clock, ``clock`` which clock that is
    (docs/wire.md), ``stream`` the run of the sender it came from;
    ``received_ns`` and ``decoded_ns`` are this host's monotonic clock when its message came and when it
    was read (0 where a frame did not come over the wire).
    """

    samples: NDArray[np.generic]
    format: RfFormat
    frame_id: int = 0
    acquired_ns: int = 0
    received_ns: int = 0
    stream: str = ""
    decoded_ns: int = 0
    clock: str = "unknown"

    def __post_init__(self) -> None:
        check_samples(self.samples, n_lines=self.format.n_lines, n_samples=self.format.n_samples)


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A pre- and a post-compression frame of one format, ``lag`` acquisitions apart."""

    pre: RfFrame
    post: RfFrame
    lag: int = 1

    def __post_init__(self) -> None:
        if self.pre.format != self.post.format:
            raise RtelastoError("pre and post differ in format: pair frames of one recording")


@dataclass(frozen=True, slots=True)
class Elongation:
    """The global part of the motion between two frames, linear in depth and across the lines.

    Axial displacement u(x, z) = axial_offset_m + axial_tilt·x + (axial_slope + axial_slope_tilt_per_m·x)·z,
    lateral displacement v(x) = lateral_offset_m + lateral_slope·x, so that
    pre(x, z) = post(x + v, z + u), with x from the image centre and z from the transducer face, in m.
    """

    axial_offset_m: float = 0.0
    axial_tilt: float = 0.0
    axial_slope: float = 0.0
    axial_slope_tilt_per_m: float = 0.0
    lateral_offset_m: float = 0.0
    lateral_slope: float = 0.0

    def axial_displacement_m(
        self, lateral_m: NDArray[np.floating], depth_m: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """u(x, z) for broadcastable x and z, in m."""
        return (
            self.axial_offset_m
            + self.axial_tilt * lateral_m
            + self.axial_strain(lateral_m) * depth_m
        )

    def axial_strain(self, lateral_m: NDArray[np.floating]) -> NDArray[np.floating]:
        """∂u/∂z at x, dimensionless; it does not depend on depth."""
        return self.axial_slope + self.axial_slope_tilt_per_m * lateral_m

    def lateral_displacement_m(self, lateral_m: NDArray[np.floating]) -> NDArray[np.floating]:
        """v(x), in m."""
        return self.lateral_offset_m + self.lateral_slope * lateral_m


@dataclass(frozen=True, slots=True, eq=False)
class StretchedPair:
    """A pair on the engine's grid, the post-compression frame warped by the global elongation.

    ``pre`` and ``post`` are float32 (n_lines, n_depths) of ``grid``, free of offset and hum, 0 where
    nothing was recorded, scaled together so that their joint RMS is 1. What is left between them is the
    residual r: pre(z) = post(z + r(z)).
    ``samples_per_wavelength`` is that of the grid.
    """

    pre: Float32Image
    post: Float32Image
    grid: Grid
    elongation: Elongation
    samples_per_wavelength: float


@dataclass(frozen=True, slots=True, eq=False)
class ResidualMotion:
    """What an engine returns: the motion left in a stretched pair, on the engine's output grid.

    ``axial_displacement_m`` and ``axial_strain`` are float32 (n_lines, n_depths) of ``grid``.
    """

    axial_displacement_m: Float32Image
    axial_strain: Float32Image
    grid: Grid


class ReadOnlyCounts(dict[str, int]):
    """Numbers by name that cannot be changed; otherwise a dict, for all that copies, sends or prints one.

    Raises
    ------
    TypeError
        On every attempt to change it.
    """

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the counts of a strain frame are read-only: use StrainFrame.replace")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[ReadOnlyCounts], tuple[dict[str, int]]]:
        return type(self), (dict(self),)


@dataclass(frozen=True, slots=True, eq=False)
class StrainFrame:
    """Axial strain and displacement of one pair.

    All images are float32 (n_lines, n_depths) of ``grid``: ``axial_strain`` = ∂u/∂z (dimensionless,
    compression negative), ``axial_displacement_m`` = u at pre-compression points, positive away from
    the probe, with pre(z) = post(z + u), and ``correlation`` (0…1), the correlation of the two frames
    after warping by u. ``quality`` is the median of ``correlation`` and ``applied_strain`` the median
    of ``axial_strain``, over every pixel that is a number and lies in the field of view. Dead lines lie
    in it: their correlation is 0 and counts, so that quality falls to 0 when half of the lines are dead.
    Where the pre-compression frame is NaN is outside; correlation is 0 there and does not count.

    ``stage_ns`` holds the time spent in each stage, ``drops`` the counters of everything lost so far, by
    cause; both are read-only copies of what they are made from. ``clock`` names the clock of
    ``acquired_ns``. ``age_ns`` is the time from acquisition
    to publishing, None where the scanner's clock cannot tell it, and ``stale`` says that it was published
    too old to be called live. ``bmode``, where it was asked for, is the brightness of the pre-compression
    frame at the same pixels, uint8 in steps of 0.25 dB over 60 dB.
    """

    axial_strain: Float32Image
    axial_displacement_m: Float32Image
    correlation: Float32Image
    grid: Grid
    frame_ids: tuple[int, int] = (0, 0)
    acquired_ns: int = 0
    published_ns: int = 0
    age_ns: int | None = None
    stale: bool = False
    stream: str = ""
    clock: str = "unknown"
    engine: str = ""
    quality: float = math.nan
    applied_strain: float = math.nan
    stage_ns: Mapping[str, int] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    bmode: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        for name in ("stage_ns", "drops"):
            object.__setattr__(self, name, ReadOnlyCounts(getattr(self, name)))

    def replace(self, **changes: object) -> StrainFrame:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
