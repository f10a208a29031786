"""Uses the centre frequency of the echo where that of the format is wrong."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterable

from rtelasto.cpu.spectrum import LARGEST_CENTRE_ERROR, shallow_center_freq_hz
from rtelasto.frames.iq import ScannerFrame
from rtelasto.frames.rf import RfFormat, RfFrame

log = logging.getLogger(__name__)

# A stream with so many formats is not that of a scanner.
_MOST_FORMATS = 64
# A recording may begin before the probe touches the skin.
_FIRST_FRAMES = 16


class EchoCentre:
    """Compares the centre frequency of every format with that of the first frame in it that has an echo.

    The phase of the echo is converted to motion with this frequency, and the quality map does not show that
    it is wrong. If the shallow echo is centred more than 15 % beside it, the frequency of the echo is used
    from then on, and a warning is logged once. Frames before the first echo keep their format.

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
        used = self._used.get(frame.format)
        if used is None:
            used = self._decide(frame)
        return frame if used == frame.format else dataclasses.replace(frame, format=used)

    def look_ahead(self, frames: Iterable[ScannerFrame]) -> None:
        """Decide on the format of a recording by its first frame with an echo, among the first 16.

        All its frames, and all parts of it that are processed apart, then have the same format.
        """
        for frame in itertools.islice(frames, _FIRST_FRAMES):
            if not isinstance(frame, RfFrame):
                return
            self(frame)
            if frame.format in self._used:
                return

    def _decide(self, frame: RfFrame) -> RfFormat:
        given = frame.format
        found_hz = shallow_center_freq_hz([frame.samples], sampling_freq_hz=given.sampling_freq_hz)
        if found_hz is None:
            return given
        if len(self._used) >= _MOST_FORMATS:
            self._used.clear()
        used = given
        if abs(found_hz / given.center_freq_hz - 1.0) > LARGEST_CENTRE_ERROR:
            used = dataclasses.replace(given, center_freq_hz=found_hz)
            self.differs = True
            log.warning(
                "center_freq_hz is %.2f MHz, but the shallow echo is centred at %.2f MHz, which is used: "
                "correct center_freq_hz, or sampling_freq_hz if that is wrong",
                given.center_freq_hz / 1e6,
                found_hz / 1e6,
            )
        self._used[given] = self._used[used] = used
        return used
