"""Collects the frames of a stream for some seconds and then says what the stream is and what is wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import fields
from typing import Final

from rtelasto.frames.iq import ScannerFormat, ScannerFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.live.stream_check.counted import judge_connection, judge_order
from rtelasto.live.stream_check.finding import Finding, StreamReport
from rtelasto.live.stream_check.motion import judge_motion
from rtelasto.live.stream_check.samples import judge_samples
from rtelasto.live.stream_check.times import acquisition_rate_hz, judge_times
from rtelasto.pipeline.recent_frames import MAX_BYTES
from rtelasto.telemetry.counters import Counters

# A minute of a thousand frames per second; frames beyond are counted, and not looked at.
_MOST_STAMPS: Final = 60_000
_KINDS: Final = {"RfFormat": "RF lines", "IqFormat": "IQ pixels", "ChannelFormat": "channel data"}


class StreamCheck:
    """Judges a stream from its frames and from the counters of their receiver.

    `add` is called with each frame, as from the receiving thread: it keeps the newest frames of the newest
    format, up to ``max_bytes``, and the stamps of all. `report` is called when receiving has ended.

    Parameters
    ----------
    endpoint
        Where the frames come from.
    counters
        Those of the receiver; by default new ones, to give to it.
    max_bytes
        Largest size of the samples that are kept, in bytes.
    """

    def __init__(
        self, endpoint: str, counters: Counters | None = None, *, max_bytes: int = MAX_BYTES
    ) -> None:
        self.endpoint = endpoint
        self.counters = Counters() if counters is None else counters
        self._max_bytes = max_bytes
        self._stamps: deque[FrameStamp] = deque(maxlen=_MOST_STAMPS)
        self._frames: deque[ScannerFrame] = deque()
        self._size = 0
        self._changes: list[str] = []
        self._n_changes = 0

    def add(self, frame: ScannerFrame) -> None:
        """Keep a frame that is newer than those before it."""
        if self._frames:
            last = self._frames[-1]
            if frame.format != last.format:
                self._n_changes += 1
                self._changes = _differences(last.format, frame.format)
            if (
                frame.format != last.format
                or frame.stream != last.stream
                or frame.frame_id <= last.frame_id
            ):
                self._frames.clear()
                self._size = 0
        self._stamps.append(frame.stamp)
        self._frames.append(frame)
        self._size += frame.samples.nbytes
        while self._size > self._max_bytes and len(self._frames) > 2:
            self._size -= self._frames.popleft().samples.nbytes

    def report(self) -> StreamReport:
        """Return what the stream is, and what is wrong with it."""
        counts = self.counters.snapshot()
        stamps, frames = list(self._stamps), list(self._frames)
        facts = {"received": f"{counts.get('received', 0)} frames"}
        if frames:
            facts["format"] = _describe(frames[-1].format)
        time_facts, time_findings = judge_times(self.endpoint, stamps)
        sample_facts, sample_findings = judge_samples(frames)
        motion_facts, motion_findings = judge_motion(frames, acquisition_rate_hz(stamps))
        return StreamReport(
            facts | time_facts | sample_facts | motion_facts,
            (
                *judge_connection(self.endpoint, counts),
                *judge_order(counts),
                *self._format_changes(),
                *sample_findings,
                *motion_findings,
                *time_findings,
            ),
        )

    def _format_changes(self) -> list[Finding]:
        if not self._n_changes:
            return []
        times = "once" if self._n_changes == 1 else f"{self._n_changes} times"
        return [
            Finding(
                "format changes",
                f"the format changed {times}, the last time in {', '.join(self._changes)}",
                "do not change depth, lines or frequency while pressing: each change begins pairing and "
                "the average anew (pair.reset.format)",
            )
        ]


def _describe(scanner_format: ScannerFormat) -> str:
    name = type(scanner_format).__name__
    values = (
        f"{field.name} {value:g}"
        for field in fields(scanner_format)
        if isinstance(value := getattr(scanner_format, field.name), (int, float))
    )
    return f"{_KINDS.get(name, name)}: {', '.join(values)}"


def _differences(old: ScannerFormat, new: ScannerFormat) -> list[str]:
    if type(old) is not type(new):
        return ["kind"]
    names = (field.name for field in fields(old))
    return [name for name in names if getattr(old, name) != getattr(new, name)]
