"""Warns once for every format whose centre frequency is not that of the echo."""

from __future__ import annotations

import logging

from rtelasto.cpu.spectrum import LARGEST_CENTRE_ERROR, shallow_center_freq_hz
from rtelasto.frames.rf import RfFormat, RfFrame

log = logging.getLogger(__name__)


# A stream with so many formats is not that of a scanner.
_MOST_FORMATS = 64


class CentreCheck:
    """Compares the centre frequency of every format with that of the first frame in it that has an echo.

    The phase of the echo is converted to motion with the given frequency, and the quality map does not show
    that it is wrong.
    """

    def __init__(self) -> None:
        self._checked: set[RfFormat] = set()

    def __call__(self, frame: RfFrame) -> None:
        """Take the next frame; log a warning if its format was not checked yet and contradicts the echo."""
        if frame.format in self._checked:
            return
        found_hz = shallow_center_freq_hz(
            [frame.samples], sampling_freq_hz=frame.format.sampling_freq_hz
        )
        if found_hz is None:
            return
        if len(self._checked) >= _MOST_FORMATS:
            self._checked.clear()
        self._checked.add(frame.format)
        said_hz = frame.format.center_freq_hz
        if abs(found_hz / said_hz - 1.0) > LARGEST_CENTRE_ERROR:
            log.warning(
                "center_freq_hz is %.2f MHz, but the shallow echo is centred at %.2f MHz: strain will be "
                "wrong by some percent or entirely; give the echo's frequency",
                said_hz / 1e6,
                found_hz / 1e6,
            )
