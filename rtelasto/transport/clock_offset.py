"""How old a frame is, by this host's monotonic clock, when the clock that stamped it is another.

A stamp ``s`` of the sender's clock and the arrival ``r`` of its message on ours differ by

    r − s = offset + transit,

and as no message arrives before it is sent, the smallest difference so far is the best bound on the
offset. Estimated is therefore

    offset = min(r − s, previous offset + 200e-6 · (time since the previous message)):

the minimum-delay filter of one-way delay estimation (the base delay of LEDBAT, RFC 6817; NTP's clock
filter likewise trusts its sample of least delay, RFC 5905). Both forget an old minimum after a while,
because clocks drift apart; and with it the window of a queue that has filled up would become the new
"no delay". Here the minimum is not forgotten but rises at the largest rate at which two clocks drift, as
the uncertainty of a sample grows in RFC 5905: a queue that delays every frame by a second is told from
drift for more than an hour.

What cannot be told: the least transit that ever was belongs to the offset, so ages are too small by it. A
sender's clock that stands still, or is stepped back during a pause longer than the step, looks like
frames that wait: they are called older than they are, until the sender starts anew. Where both clocks
are one, the offset is 0 and nothing is estimated.
"""

from __future__ import annotations

from typing import Final

from rtelasto.telemetry.counters import Counters
from rtelasto.transport.endpoints import is_local
from rtelasto.wire.strain import StrainMessage

# Quartz keeps within 100 ppm, and two of them may drift apart.
DRIFT_PPM: Final = 200
# Clocks whose nanoseconds pass as ours do, see docs/wire.md; of others only arrivals tell the age.
_CLOCKS_WITH_RATE: Final = ("monotonic", "unix", "scanner")
# A stream's first frame from this machine cannot be older, nor from the future by more than Windows'
# coarser clock; else a tunnel ends here and the clock is another machine's.
_OLDEST_FIRST_NS: Final = 60_000_000_000
_FUTURE_NS: Final = 50_000_000
MAX_AGE_NS: Final = 2**63 - 1


class ClockOffset:
    """The offset from a sender's clock to this host's monotonic clock.

    Parameters
    ----------
    endpoint
        Where the sender is bound: on this machine a ``monotonic`` clock is ours.
    counters
        ``clock.steps``: stamps that went back within a stream, after which estimation starts anew.

    Notes
    -----
    Constant time and memory a frame. Not for use from two threads at once.
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
        """Whether the stream's clock is this host's own, so that the offset is no estimate."""

    def observe(self, stream: str, clock: str, stamp_ns: int, received_ns: int) -> None:
        """Take notice of a frame, in the order in which they were sent.

        ``stamp_ns`` is the sender's clock named ``clock``, ``received_ns`` ours when it came.
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
        """``stamp_ns`` on this host's monotonic clock; None where the stream's clock cannot tell."""
        if stream != self._stream or self._clock not in _CLOCKS_WITH_RATE:
            return None
        return stamp_ns + self._offset_ns

    def age_ns(self, stream: str, stamp_ns: int, now_ns: int) -> int | None:
        """Time since ``stamp_ns``, as a header holds it; None where the stream's clock cannot tell."""
        here_ns = self.here_ns(stream, stamp_ns)
        return None if here_ns is None else max(0, min(now_ns - here_ns, MAX_AGE_NS))


class StrainAges:
    """How old strain frames are at whoever receives them.

    The pipeline says the age at which it published a frame; what passed since is counted from its
    ``published_ns``, by this host's clock where it is the same, else by a `ClockOffset`.
    """

    def __init__(self, endpoint: str) -> None:
        self._offset = ClockOffset(endpoint)

    def begun_ns(self, message: StrainMessage, received_ns: int) -> int:
        """When a frame began to age, on this host's monotonic clock.

        That is its acquisition; where the scanner's clock could not tell it (``age_ns`` is None), its
        arrival at the pipeline. Messages in the order in which they came.
        """
        frame = message.frame
        self._offset.observe(message.stream, "monotonic", frame.published_ns, received_ns)
        published_ns = self._offset.here_ns(message.stream, frame.published_ns)
        assert published_ns is not None, "a stream that was just observed has an offset"
        aged_ns = frame.stage_ns.get("total", 0) if frame.age_ns is None else frame.age_ns
        return min(published_ns, received_ns) - aged_ns
