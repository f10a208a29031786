"""RF frames: their format, their grid, and pairs of them.

Axes: every image is indexed (line, sample) or (line, depth) with the axial direction contiguous, the
order in which MATLAB holds [samples, lines]. Lateral positions ``x`` are measured from the centre of
the image, depths ``z`` from the transducer face. Displacements are positive away from the probe and
strains negative in compression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.stamp import UNSTAMPED, FrameStamp, Stamped

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
PHYSICS = tuple(_LIMITS)
"""The values of `RfFormat` that are not sizes: what a header, a file or a user says of RF lines."""


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
        for name in PHYSICS:
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
    def wavelength_m(self) -> float:
        """Wavelength of the centre frequency in tissue, in m: c / fc."""
        return self.sound_speed_m_s / self.center_freq_hz

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


def check_shape(samples: NDArray[np.generic], sizes: Mapping[str, int]) -> None:
    """Raise RtelastoError unless samples have the sizes that their format says, by name and in order."""
    expected = tuple(sizes.values())
    if samples.shape != expected:
        raise RtelastoError(
            f"samples has shape {samples.shape}, the format says ({', '.join(sizes)}) = {expected}"
        )


def check_samples(
    samples: NDArray[np.generic], sizes: Mapping[str, int], *, is_complex: bool = False
) -> None:
    """Raise RtelastoError unless samples have the sizes that their format says (`check_shape`), and are
    real, or complex, numbers."""
    check_shape(samples, sizes)
    if samples.dtype.kind not in ("c" if is_complex else "iuf"):
        kind = "complex" if is_complex else "real"
        raise RtelastoError(f"samples must be {kind} numbers, got dtype {samples.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class RfFrame(Stamped):
    """One frame of RF lines.

    ``samples`` has shape (n_lines, n_samples), C order, any real dtype. ``stamp`` says
    which frame it is and when it was acquired; its fields can be read from the frame, too
    (``frame.frame_id``).

    Raises
    ------
    RtelastoError
        If the samples are not what the format says.
    """

    samples: NDArray[np.generic]
    format: RfFormat
    stamp: FrameStamp = UNSTAMPED

    def __post_init__(self) -> None:
        check_samples(
            self.samples, {"n_lines": self.format.n_lines, "n_samples": self.format.n_samples}
        )


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A pre- and a post-compression frame of one format, ``lag`` acquisitions apart."""

    pre: RfFrame
    post: RfFrame
    lag: int = 1

    def __post_init__(self) -> None:
        if self.pre.format != self.post.format:
            raise RtelastoError("pre and post differ in format: pair frames of one recording")
