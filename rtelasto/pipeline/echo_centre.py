"""Uses the centre frequency of the echo where that of the format is wrong."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable

from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.spectrum import LARGEST_CENTRE_ERROR, shallow_center_freq_hz
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame

log = logging.getLogger(__name__)

# A stream with so many formats is not that of a scanner.
_MOST_FORMATS = 64
# Beyond this factor something else than the echo was found, or the sampling frequency is wrong.
_LARGEST_FACTOR = 2.5


class EchoCentre:
    """Compares the centre frequency of every format with that of the first frame in it that has an echo.

    The phase of the echo is converted to motion with this frequency, and the quality map does not show that
    it is wrong. If the shallow echo is centred more than 15 % beside it, the frequency of the echo, to two
    digits, is used from then on, and a warning is logged once. Frames before the first echo keep their
    format.

    Attributes
    ----------
    differs : bool
        Whether any format was found to be wrong.
    """

    def __init__(self) -> None:
        self.differs = False
        self._used: dict[RfFormat, RfFormat] = {}

    def __call__(self, frame: RfFrame) -> RfFrame:
        """Return the frame in the format to use, which is another object only if its own is wrong."""
        if frame.format not in self._used:
            self._decide(frame)
        return self.known(frame)

    def known(self, frame: RfFrame) -> RfFrame:
        """Return the frame in the format to use, as far as that is decided."""
        used = self._used.get(frame.format, frame.format)
        return frame if used == frame.format else dataclasses.replace(frame, format=used)

    def look_ahead(self, frames: Iterable[RfFrame]) -> RfFormat | None:
        """Decide on the format of a recording by its first frame with an echo, and return the one to use.

        All its frames, and all parts of it that are processed apart, then have the same format. It is None
        if no frame has an echo.
        """
        for frame in frames:
            self(frame)
            if frame.format in self._used:
                return self._used[frame.format]
        return None

    def _decide(self, frame: RfFrame) -> None:
        given = frame.format
        found_hz = shallow_center_freq_hz(
            [echoes(frame.samples, given)], sampling_freq_hz=given.sampling_freq_hz
        )
        if found_hz is None:
            return
        if len(self._used) >= _MOST_FORMATS:
            self._used.clear()
        used = given
        if abs(found_hz / given.center_freq_hz - 1.0) > LARGEST_CENTRE_ERROR:
            used = _corrected(given, found_hz)
            log.warning(
                "center_freq_hz is %.2f MHz, but the shallow echo is centred at %.2f MHz%s: correct "
                "center_freq_hz, or sampling_freq_hz if that is wrong",
                given.center_freq_hz / 1e6,
                found_hz / 1e6,
                ", which is used" if used != given else "",
            )
            self.differs |= used != given
        self._used[given] = self._used[used] = used


def _corrected(given: RfFormat, found_hz: float) -> RfFormat:
    """Return the format with the frequency of the echo, or as given if that cannot be one."""
    if not 1.0 / _LARGEST_FACTOR < found_hz / given.center_freq_hz < _LARGEST_FACTOR:
        return given
    try:
        # Rounded, so that the next start has the same grid, for which plans of engines are kept.
        return dataclasses.replace(given, center_freq_hz=float(f"{found_hz:.2g}"))
    except RtelastoError:
        return given
