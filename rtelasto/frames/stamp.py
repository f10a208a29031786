"""Which frame it is and when it was acquired: one stamp that every kind of frame carries."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

MAX_COUNT = 2**63 - 1
"""The largest id, count or time in ns: what a header carries and a file keeps in 64 bits."""


@dataclass(frozen=True, slots=True)
class FrameStamp:
    """Identity and times of a frame, see docs/wire.md.

    Parameters
    ----------
    frame_id
        The scanner's acquisition count.
    acquired_ns
        When it was acquired, in ns on ``clock``.
    clock
        Which clock that is: "monotonic", "unix", "recording", "scanner" or "unknown".
    stream
        Id of the sender's run that the frame came from; "" where it did not come over the wire.
    seq
        Messages of that stream before this one.
    received_ns, decoded_ns
        This host's monotonic clock when the frame's message came and when it was read; 0 where it
        did not come over the wire.
    """

    frame_id: int = 0
    acquired_ns: int = 0
    _: KW_ONLY
    clock: str = "unknown"
    stream: str = ""
    seq: int = 0
    received_ns: int = 0
    decoded_ns: int = 0


UNSTAMPED = FrameStamp()
"""The stamp of frames that were made without one."""


class Stamped:
    """What has a `FrameStamp`, with its fields as properties."""

    __slots__ = ()

    stamp: FrameStamp

    @property
    def frame_id(self) -> int:
        """The scanner's acquisition count."""
        return self.stamp.frame_id

    @property
    def acquired_ns(self) -> int:
        """When the frame was acquired, in ns on ``clock``."""
        return self.stamp.acquired_ns

    @property
    def clock(self) -> str:
        """Which clock ``acquired_ns`` was read from."""
        return self.stamp.clock

    @property
    def stream(self) -> str:
        """Id of the sender's run that the frame came from."""
        return self.stamp.stream

    @property
    def seq(self) -> int:
        """Messages of ``stream`` before this one."""
        return self.stamp.seq

    @property
    def received_ns(self) -> int:
        """This host's monotonic clock when the frame's message came."""
        return self.stamp.received_ns

    @property
    def decoded_ns(self) -> int:
        """This host's monotonic clock when the frame's message was read."""
        return self.stamp.decoded_ns
