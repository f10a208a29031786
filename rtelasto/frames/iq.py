"""IQ pixels, as a scanner's own beamformer gives them, and everything else that a scanner may send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, ChannelFrame
from rtelasto.frames.rf import (
    MAX_LINES,
    MAX_SAMPLES,
    PHYSICS,
    Grid,
    RfFormat,
    RfFrame,
    check_physics,
    check_samples,
)
from rtelasto.frames.stamp import UNSTAMPED, FrameStamp, Stamped

Carrier = Literal["removed", "kept"]
CARRIERS: tuple[str, ...] = get_args(Carrier)


@dataclass(frozen=True, slots=True, kw_only=True)
class IqFormat:
    """What one frame of IQ pixels is.

    Parameters
    ----------
    n_lines, n_samples
        Size of a frame: columns of pixels (lateral) by pixels in depth.
    sampling_freq_hz
        c / (2 Δz) for pixels Δz apart in depth.
    demodulation_freq_hz
        The frequency that was brought to zero, in Hz.
    center_freq_hz
        Centre frequency of the echo, in Hz.
    line_pitch_m, start_depth_m, sound_speed_m_s
        As in `RfFormat`: the pixel grid's lateral step, its first depth, and the sound speed with
        which it was beamformed.
    carrier
        "removed" where the phase of an echo is the same in all its pixels (baseband along depth),
        "kept" where it turns with depth, so that the real part alone is RF (an analytic signal).
        On pixels half a wavelength apart the two are the same but for a constant phase.

    Raises
    ------
    RtelastoError
        If a value is not possible.
    """

    n_lines: int
    n_samples: int
    sampling_freq_hz: float
    demodulation_freq_hz: float
    center_freq_hz: float
    line_pitch_m: float
    start_depth_m: float = 0.0
    sound_speed_m_s: float = 1540.0
    carrier: Carrier = "removed"

    def __post_init__(self) -> None:
        for name, largest in (("n_lines", MAX_LINES), ("n_samples", MAX_SAMPLES)):
            if not 1 <= getattr(self, name) <= largest:
                raise RtelastoError(f"{name} must lie in 1…{largest}, got {getattr(self, name)}")
        for name in PHYSICS:
            check_physics(name, getattr(self, name))
        check_physics("center_freq_hz", self.demodulation_freq_hz, called="demodulation_freq_hz")
        if self.carrier not in CARRIERS:
            raise RtelastoError(f"carrier must be one of {', '.join(CARRIERS)}: {self.carrier!r}")
        if self.sampling_freq_hz < 0.2 * self.center_freq_hz:
            raise RtelastoError(
                f"sampling_freq_hz {self.sampling_freq_hz:g} (c / (2 Δz)) is too low for an echo at "
                f"center_freq_hz {self.center_freq_hz:g}: give pixels at most two wavelengths apart"
            )

    @property
    def grid(self) -> Grid:
        """The grid on which the pixels lie."""
        step_m = self.sound_speed_m_s / (2.0 * self.sampling_freq_hz)
        return Grid(self.n_lines, self.n_samples, step_m, self.line_pitch_m, self.start_depth_m)


@dataclass(frozen=True, slots=True, eq=False)
class IqFrame(Stamped):
    """One frame of IQ pixels, complex, shape (n_lines, n_samples), with its stamp."""

    samples: NDArray[np.generic]
    format: IqFormat
    stamp: FrameStamp = UNSTAMPED

    def __post_init__(self) -> None:
        check_samples(
            self.samples,
            {"n_lines": self.format.n_lines, "n_samples": self.format.n_samples},
            is_complex=True,
        )


ScannerFormat = RfFormat | IqFormat | ChannelFormat
ScannerFrame = RfFrame | IqFrame | ChannelFrame
"""A frame of any kind that a scanner may send."""


def scanner_frame(
    samples: NDArray[np.generic],
    scanner_format: ScannerFormat,
    stamp: FrameStamp = UNSTAMPED,
) -> ScannerFrame:
    """The frame that ``samples`` of this format are.

    Raises
    ------
    RtelastoError
        If the samples are not what the format says.
    """
    if isinstance(scanner_format, ChannelFormat):
        return ChannelFrame(samples, scanner_format, stamp)
    if isinstance(scanner_format, IqFormat):
        return IqFrame(samples, scanner_format, stamp)
    return RfFrame(samples, scanner_format, stamp)
