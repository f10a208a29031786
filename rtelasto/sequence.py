"""Order within a stream: what is missing, repeated or late, told from ``seq`` and ``frame_id``.

``seq`` counts a sender's messages, so jumps in it are losses on the way; ``frame_id`` counts the
scanner's acquisitions, so jumps in it are missing frames whoever lost them.
"""

from __future__ import annotations

from collections import deque

from rtelasto.counters import Counters

# Steps back that network or proxy may cause; a longer one means that the sender started anew.
REORDER_WINDOW = 32


class SequenceCheck:
    """Decides for one message after another whether it is the next of its stream.

    Raises these counters: ``gaps`` (frame ids between two accepted frames of a stream that never
    came, whoever lost them), ``lost_on_wire`` (those of them that the sender did send),
    ``missed_at_join`` (messages sent before the first one seen of a stream), ``repeated``,
    ``out_of_order`` and ``restarts``. For every stream, accepted frames + gaps = last − first
    frame id + 1, as long as the sender does not number its frames anew.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._stream: str | None = None
        self._seq = -1
        self._frame_id = -1
        self._recent: deque[int] = deque(maxlen=REORDER_WINDOW)

    def accept(self, stream: str, seq: int, frame_id: int) -> bool:
        """True if the frame is newer than all before it; False if it has to be dropped."""
        if stream != self._stream or seq < self._seq - REORDER_WINDOW:
            self._start(stream, seq, frame_id)
            return True
        if seq <= self._seq:
            self._counters.add("repeated" if seq in self._recent else "out_of_order")
            self._recent.append(seq)
            return False
        self._raise("lost_on_wire", seq - self._seq - 1)
        self._seq = seq
        self._recent.append(seq)
        if frame_id == self._frame_id:
            # A scanner that hands out its newest frame on request hands some out twice.
            self._counters.add("repeated")
            return False
        if frame_id < self._frame_id:
            self._counters.add("restarts")
        else:
            self._raise("gaps", frame_id - self._frame_id - 1)
        self._frame_id = frame_id
        return True

    def _start(self, stream: str, seq: int, frame_id: int) -> None:
        if self._stream is not None:
            self._counters.add("restarts")
        self._raise("missed_at_join", seq)
        self._stream, self._seq, self._frame_id = stream, seq, frame_id
        self._recent.clear()
        self._recent.append(seq)

    def _raise(self, name: str, amount: int) -> None:
        if amount > 0:
            self._counters.add(name, amount)
