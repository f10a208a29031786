"""Order within a stream: detects missing, repeated and late messages by ``seq`` and ``frame_id``.

``seq`` counts a sender's messages, so jumps in it are losses in transit. ``frame_id`` counts the
scanner's acquisitions, so jumps in it are missing frames, wherever they were lost.
"""

from __future__ import annotations

from collections import deque

from rtelasto.telemetry.counters import Counters

# Steps back that a network or proxy may cause; a longer one means that the sender restarted.
REORDER_WINDOW = 32


class Position:
    """The newest accepted message: its stream, ``seq`` and ``frame_id``; −1 before the first."""

    def __init__(self) -> None:
        self._stream: str | None = None
        self._seq = -1
        self._frame_id = -1

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def frame_id(self) -> int:
        return self._frame_id

    @property
    def begun(self) -> bool:
        """Whether any message was accepted yet."""
        return self._stream is not None

    def is_in(self, stream: str) -> bool:
        """Whether the newest message belongs to ``stream``."""
        return stream == self._stream

    def move(self, stream: str, seq: int, frame_id: int) -> None:
        """Record a newer message."""
        self._stream, self._seq, self._frame_id = stream, seq, frame_id


class SequenceCheck:
    """Decides for one message after another whether it is the next of its stream.

    It counts ``gaps`` (frame ids between two accepted frames of a stream that never arrived,
    wherever they were lost), ``lost_on_wire`` (those of them that the sender did send),
    ``missed_at_join`` (messages sent before the first one seen of a stream), ``repeated``,
    ``out_of_order`` and ``restarts``. For every stream, accepted frames + gaps = last − first
    frame id + 1, as long as the sender does not renumber its frames.

    With the ``position`` of another check, it continues where that one stopped: messages sent in between
    count as missing, not as missed at joining.
    """

    def __init__(self, counters: Counters, position: Position | None = None) -> None:
        self._counters = counters
        self._at = Position() if position is None else position
        self._recent: deque[int] = deque(maxlen=REORDER_WINDOW)

    def accept(self, stream: str, seq: int, frame_id: int) -> bool:
        """Return True if the frame is newer than all before it, False if it must be dropped."""
        last_seq, last_frame_id = self._at.seq, self._at.frame_id
        if not self._at.is_in(stream) or seq < last_seq - REORDER_WINDOW:
            self._start(stream, seq, frame_id)
            return True
        if seq <= last_seq:
            self._counters.add("repeated" if seq in self._recent else "out_of_order")
            self._recent.append(seq)
            return False
        self._count("lost_on_wire", seq - last_seq - 1)
        self._at.move(stream, seq, frame_id)
        self._recent.append(seq)
        if frame_id == last_frame_id:
            # A scanner that returns its newest frame on request returns some frames twice.
            self._counters.add("repeated")
            return False
        if frame_id < last_frame_id:
            self._counters.add("restarts")
        else:
            self._count("gaps", frame_id - last_frame_id - 1)
        return True

    def _start(self, stream: str, seq: int, frame_id: int) -> None:
        if self._at.begun:
            self._counters.add("restarts")
        self._count("missed_at_join", seq)
        self._at.move(stream, seq, frame_id)
        self._recent.clear()
        self._recent.append(seq)

    def _count(self, name: str, amount: int) -> None:
        if amount > 0:
            self._counters.add(name, amount)
