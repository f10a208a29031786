"""Warns once for every format whose centre frequency is not that of the echo."""

from __future__ import annotations

import logging

from rtelasto.cpu.spectrum import LARGEST_CENTRE_ERROR, shallow_center_freq_hz
from rtelasto.frames.rf import RfFormat, RfFrame

log = logging.getLogger(__name__)


class CentreCheck:
    """Compares the centre frequency of every new format with that of the first frame in it.

    The phase of the echo is converted to motion with the given frequency, and the quality map does not show
    that it is wrong.
    """

    def __init__(self) -> None:
        self._format: RfFormat | None = None

    def __call__(self, frame: RfFrame) -> None:
        """Take the next frame; log a warning if its format is new and contradicts the echo."""
        if frame.format == self._format:
            return
        self._format = frame.format
        found_hz = shallow_center_freq_hz(
            [frame.samples], sampling_freq_hz=frame.format.sampling_freq_hz
        )
        said_hz = frame.format.center_freq_hz
        if found_hz is not None and abs(found_hz / said_hz - 1.0) > LARGEST_CENTRE_ERROR:
            log.warning(
                "center_freq_hz is %.2f MHz, but the shallow echo is centred at %.2f MHz: strain will be "
                "wrong by some percent or entirely; give the echo's frequency",
                said_hz / 1e6,
                found_hz / 1e6,
            )
