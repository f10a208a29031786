"""The age of a frame on this host's monotonic clock, where another clock stamped the frame.

A stamp ``s`` of the sender's clock and the arrival ``r`` of its message on ours differ by

    r − s = offset + transit,

No message arrives before it is sent, so the smallest difference so far is the best bound on the
offset. The estimate is therefore

    offset = min(r − s, previous offset + 200e-6 · (time since the previous message)):

the minimum-delay filter of one-way delay estimation (the base delay of LEDBAT, RFC 6817; NTP's clock
filter likewise trusts its sample of least delay, RFC 5905). Both forget an old minimum after a while,
because clocks drift apart; the delay of a queue that has filled up meanwhile would then become the new
"no delay". Here the minimum is not forgotten. It rises at the largest rate at which two clocks drift, as
the uncertainty of a sample grows in RFC 5905: for more than an hour, a queue that delays every frame by a
second is distinguished from drift.

Limits: the smallest transit time is part of the offset, so ages are too small by that time. If the
sender's clock stands still, or is stepped back during a pause longer than the step, its frames appear to
have waited: their ages are too large until the sender restarts. Where both clocks are the same, the offset
is 0 and nothing is estimated.
"""

from __future__ import annotations

from typing import Final

from rtelasto.frames.stamp import MAX_COUNT
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.endpoints import is_local
from rtelasto.wire.strain import StrainMessage

# Quartz keeps within 100 ppm, and two of them may drift apart.
DRIFT_PPM: Final = 200
# Clocks that run at the rate of ours, see docs/wire.md; with others, only the arrival gives an age.
_CLOCKS_WITH_RATE: Final = ("monotonic", "unix", "scanner")
# Bounds on the age of a stream's first frame from this machine; the second allows for Windows' coarser
# clock. Beyond them, the endpoint is a tunnel and the clock is another machine's.
_OLDEST_FIRST_NS: Final = 60_000_000_000
_FUTURE_NS: Final = 50_000_000
MAX_AGE_NS: Final = MAX_COUNT


class ClockOffset:
    """The offset from a sender's clock to this host's monotonic clock.

    Parameters
    ----------
    endpoint
        Where the sender is bound. On this machine, a ``monotonic`` clock is ours.
    counters
        ``clock.steps``: stamps that went back within a stream, after which the estimation restarts.

    Notes
    -----
    Constant time and memory per frame. Not for use from two threads at once.
    """

    def __init__(self, endpoint: str, counters: Counters | None = None) -> None:
        self._local = is_local(endpoint)
        self._counters = counters
        self._stream = ""
        self._clock = ""
        self._stamp_ns = 0
        self._received_ns = 0
        self._offset_ns = 0
        self.exact = False
        """Whether the stream's clock is this host's own, so that the offset is exact."""

    def observe(self, stream: str, clock: str, stamp_ns: int, received_ns: int) -> None:
        """Update the offset with a frame; call it in the order in which frames were sent.

        ``stamp_ns`` is on the sender's clock, named ``clock``; ``received_ns`` is the arrival on ours.
        """
        difference_ns = received_ns - stamp_ns
        same = stream == self._stream and clock == self._clock
        if not same or stamp_ns < self._stamp_ns:
            if same and self._counters is not None:
                self._counters.add("clock.steps")
            self._stream, self._clock = stream, clock
            self.exact = (
                self._local
                and clock == "monotonic"
                and -_FUTURE_NS <= difference_ns < _OLDEST_FIRST_NS
            )
            self._offset_ns = 0 if self.exact else difference_ns
        elif not self.exact:
            passed_ns = received_ns - self._received_ns
            risen_ns = self._offset_ns + passed_ns * DRIFT_PPM // 1_000_000
            self._offset_ns = min(difference_ns, risen_ns)
        self._stamp_ns, self._received_ns = stamp_ns, received_ns

    def here_ns(self, stream: str, stamp_ns: int) -> int | None:
        """``stamp_ns`` on this host's monotonic clock; None where the stream's clock does not allow it."""
        if stream != self._stream or self._clock not in _CLOCKS_WITH_RATE:
            return None
        return stamp_ns + self._offset_ns

    def age_ns(self, stream: str, stamp_ns: int, now_ns: int) -> int | None:
        """Time since ``stamp_ns``, as a header holds it; None where the stream's clock does not allow it."""
        here_ns = self.here_ns(stream, stamp_ns)
        return None if here_ns is None else max(0, min(now_ns - here_ns, MAX_AGE_NS))


class StrainAges:
    """The age of strain frames at their receiver.

    The pipeline reports the age of a frame at its publication. The time since then is counted from its
    ``published_ns``, on this host's clock where it is the same, else by a `ClockOffset`.
    """

    def __init__(self, endpoint: str) -> None:
        self._offset = ClockOffset(endpoint)

    def begun_ns(self, message: StrainMessage, received_ns: int) -> int:
        """When a frame began to age, on this host's monotonic clock.

        That is its acquisition or, where the scanner's clock gives no age (``age_ns`` is None), its
        arrival at the pipeline. Pass messages in the order of their arrival.
        """
        frame = message.frame
        self._offset.observe(message.stream, "monotonic", frame.published_ns, received_ns)
        published_ns = self._offset.here_ns(message.stream, frame.published_ns)
        assert published_ns is not None, "a stream that was just observed has an offset"
        aged_ns = frame.stage_ns.get("total", 0) if frame.age_ns is None else frame.age_ns
        return min(published_ns, received_ns) - aged_ns
