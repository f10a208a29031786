"""Uses the centre frequency of the echo where that of the format is wrong."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from typing import Protocol

import numpy as np

from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.spectrum import LARGEST_CENTRE_ERROR, shallow_center_freq_hz
from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import RfFormat, RfFrame

log = logging.getLogger(__name__)

# A stream with so many formats is not that of a scanner.
_MOST_FORMATS = 64
# Beyond this factor something else than the echo was found, interference for example.
_LARGEST_FACTOR = 2.5
# Frames of a recording that are looked at, and frames of a stream between two looks.
_FRAMES_AHEAD = 64


class RecordedFrames(Protocol):
    """The frames of a recording, all of one format, in any order."""

    @property
    def format(self) -> RfFormat: ...
    @property
    def n_frames(self) -> int: ...
    def frame(self, i: int) -> RfFrame: ...


class EchoCentre:
    """Compares the centre frequency of every format with that of the first frame in it that has an echo.

    The phase of the echo is converted to motion with this frequency, and the quality map does not show that
    it is wrong. If the shallow echo is centred more than 15 % beside it, and not beyond a factor of 2.5, the
    frequency of the echo, to two digits, is used from then on, and a warning is logged once. Frames before
    that keep their format.

    Attributes
    ----------
    decided : bool
        Whether the format of the newest frame is decided on: the next frames of it have the same grid. Also
        after 64 frames of it without an echo, so that what waits for a decision does not wait for ever.
    differs : bool
        Whether any format was replaced.
    """

    def __init__(self) -> None:
        self.decided = self.differs = False
        self._used: dict[RfFormat, RfFormat] = {}
        self._warned: set[RfFormat] = set()
        self._undecided: Counter[RfFormat] = Counter()

    def __call__(self, frame: RfFrame) -> RfFrame:
        """Return the frame in the format to use, which is another object only if its own is wrong."""
        seen = 0
        if frame.format not in self._used:
            if len(self._undecided) >= _MOST_FORMATS:
                self._used.clear()
                self._warned.clear()
                self._undecided.clear()
            # A spectrum takes some 10 ms: without an echo it is taken ever less often.
            seen = self._undecided[frame.format]
            self._undecided[frame.format] += 1
            if seen & (seen - 1) == 0 or seen % _FRAMES_AHEAD == 0:
                self._decide(frame)
        self.decided = frame.format in self._used or seen >= _FRAMES_AHEAD
        return self.known(frame)

    def warm_up(self) -> None:
        """Compile, or load, the kernels that the first frame would wait for."""
        rf_format = RfFormat(
            n_lines=1,
            n_samples=64,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=2e-4,
        )
        echoes(np.zeros((1, 64), np.int16), rf_format)

    def known(self, frame: RfFrame) -> RfFrame:
        """Return the frame in the format to use, as far as that is decided."""
        used = self._used.get(frame.format, frame.format)
        return frame if used == frame.format else dataclasses.replace(frame, format=used)

    def look_ahead(self, recording: RecordedFrames) -> RfFormat:
        """Decide on the format of a recording and return the one to use.

        The first frame with an echo decides, of up to 64 spread over the recording. Without one the format is
        used as it is. All frames, and all parts that are processed apart, then have the same format.
        """
        n_frames = recording.n_frames
        for i in range(0, n_frames, max(1, -(-n_frames // _FRAMES_AHEAD))):
            self._decide(recording.frame(i))
            if recording.format in self._used:
                break
        return self._used.setdefault(recording.format, recording.format)

    def _decide(self, frame: RfFrame) -> None:
        given = frame.format
        found_hz = shallow_center_freq_hz(
            [echoes(frame.samples, given)], sampling_freq_hz=given.sampling_freq_hz
        )
        if found_hz is None:
            return
        used: RfFormat | None = given
        if abs(found_hz / given.center_freq_hz - 1.0) > LARGEST_CENTRE_ERROR:
            used = _corrected(given, found_hz)
            if given not in self._warned:
                self._warned.add(given)
                log.warning(
                    "center_freq_hz is %.2f MHz, but the shallow echo is centred at %.2f MHz%s: correct "
                    "center_freq_hz, or sampling_freq_hz if that is wrong",
                    given.center_freq_hz / 1e6,
                    found_hz / 1e6,
                    ", which is used" if used is not None else "",
                )
        if used is not None:
            self.differs |= used != given
            self._used[given] = self._used[used] = used


def _corrected(given: RfFormat, found_hz: float) -> RfFormat | None:
    """Return the format with the frequency of the echo; None if that can hardly be an echo's."""
    if not 1.0 / _LARGEST_FACTOR < found_hz / given.center_freq_hz < _LARGEST_FACTOR:
        return None
    try:
        # Rounded, so that the next start usually has the same grid, for which plans of engines are kept.
        return dataclasses.replace(given, center_freq_hz=float(f"{found_hz:.2g}"))
    except RtelastoError:
        return None
