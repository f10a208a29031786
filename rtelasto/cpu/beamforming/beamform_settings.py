"""How channel data are beamformed: settings that any process can read without loading what beamforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import RtelastoError

Distances = NDArray[np.float64]

WINDOW_POINTS = 512
# scipy.signal takes two seconds of processor time to import, for which the first frame of a live run would
# wait. These windows do without it: weight at a distance from the middle, 1 at the edge.
USUAL_WINDOWS: dict[str, Callable[[Distances], Distances]] = {
    "boxcar": np.ones_like,
    "hamming": lambda distance: 0.54 + 0.46 * np.cos(np.pi * distance),
    "hann": lambda distance: 0.5 + 0.5 * np.cos(np.pi * distance),
    "tukey": lambda distance: 0.5 + 0.5 * np.cos(np.pi * np.maximum(2.0 * distance - 1.0, 0.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamformSettings:
    """How channel data become RF lines.

    Parameters
    ----------
    f_number
        Depth over the width of the receive aperture, which grows with depth until it meets the
        ends of the array.
    window
        Apodisation over the aperture, a name that scipy.signal.get_window knows ("hann", "boxcar",
        "hamming"; "tukey" tapers half of it).
    samples_per_wavelength
        Of the RF lines: their sampling frequency is so many times the centre frequency.
    start_depth_m, end_depth_m
        Depth range of the lines; by default what the samples cover.
    """

    f_number: float = 1.5
    window: str = "hann"
    samples_per_wavelength: float = 4.0
    start_depth_m: float | None = None
    end_depth_m: float | None = None

    def __post_init__(self) -> None:
        if not 0.3 <= self.f_number <= 20.0:
            raise RtelastoError(f"f_number must lie in 0.3…20, got {self.f_number:g}")
        if not 2.5 <= self.samples_per_wavelength <= 32.0:
            raise RtelastoError(
                f"samples_per_wavelength must lie in 2.5…32, got {self.samples_per_wavelength:g}"
            )
        if self.window not in USUAL_WINDOWS:
            self.half_window()

    def half_window(self) -> NDArray[np.float32]:
        """Weights from the middle of the aperture to its edge, float32 (WINDOW_POINTS + 1,)."""
        usual = USUAL_WINDOWS.get(self.window)
        if usual is not None:
            return usual(np.linspace(0.0, 1.0, WINDOW_POINTS + 1)).astype(np.float32)
        from scipy.signal import get_window

        try:
            window = get_window(self.window, 2 * WINDOW_POINTS + 1, fftbins=False)
        except (ValueError, TypeError) as error:
            raise RtelastoError(
                f"window {self.window!r} is none that scipy.signal.get_window knows by name: "
                "'hann', say"
            ) from error
        return np.ascontiguousarray(window[WINDOW_POINTS:], np.float32)
