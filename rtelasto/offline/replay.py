"""Replays a recording over the wire at its true frame times, as a scanner would send it.

Every frame has an absolute deadline, counted from the first: a frame that is late is sent at once
and counted, and the ones after it are on time again, so that a replay never drifts. A pause in the
recording is waited out, up to a limit.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rtelasto.closing import Closing
from rtelasto.errors import RtelastoError
from rtelasto.frames.iq import ScannerFrame
from rtelasto.transport.rf_sender import RfSender, message_of

# More than the sleep of a desktop system overshoots.
LATE_NS = 2_000_000
# Waiting on an event is coarse on Windows (16 ms), sleeping is not: sleep through the last part.
_COARSE_NS = 20_000_000
_LOOK_S = 0.1

Stamp = Literal["monotonic", "unix", "recording", "sent"]


MAX_PAUSE_S = 10.0
"""The default of the longest pause that is waited out: longer than between two presses of one examination,
shorter than a user waits before assuming that the replay hangs."""


class Replayable(Protocol):
    """The part of a recording that a replay uses, as `rtelasto.sources.open_recording` returns it.

    If it also has ``frame_ids``, int64 (n_frames,) and never falling, these are sent.
    """

    @property
    def n_frames(self) -> int: ...

    @property
    def timestamps_ns(self) -> NDArray[np.int64] | None: ...

    def as_sent(self, index: int, /) -> ScannerFrame: ...

    def header_as_sent(self, index: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The result of a replay.

    ``late`` frames were sent more than 2 ms after their deadline, at most ``worst_lateness_s`` late;
    ``unheard`` frames were sent while there was no subscriber. ``stopped`` is true if the replay was
    stopped before its end.
    """

    sent: int
    late: int
    unheard: int
    worst_lateness_s: float
    duration_s: float
    stopped: bool


def frame_times_ns(
    timestamps_ns: NDArray[np.int64] | None, n_frames: int, fps: float | None = None
) -> tuple[NDArray[np.int64], int]:
    """Compute when each frame is due, counted from the first, and how long one loop takes, in ns.

    Parameters
    ----------
    timestamps_ns
        The recording's own times, shape (n_frames,), or None.
    n_frames
        Frames in the recording.
    fps
        Frames per second that replace the recording's own times.

    Returns
    -------
    times_ns, period_ns
        Shape (n_frames,), starting at 0; and the time from the first frame to the first of the next
        loop, for which the last frame lasts as long as the median one.

    Raises
    ------
    RtelastoError
        If there are no usable times and no ``fps``, or no frames.
    """
    if n_frames < 1:
        raise RtelastoError("the recording holds no frames: nothing to replay")
    if fps is not None:
        if not (np.isfinite(fps) and 0.0 < fps <= 1e6):
            raise RtelastoError(f"fps must be a positive number of frames per second, got {fps:g}")
        times = np.round(np.arange(n_frames + 1) * (1e9 / fps)).astype(np.int64)
        return times[:-1], int(times[-1])
    if timestamps_ns is None or n_frames < 2:
        raise RtelastoError("the recording has no frame times: give fps, the frames per second")
    times = np.asarray(timestamps_ns, np.int64) - int(timestamps_ns[0])
    intervals = np.diff(times)
    if times.shape != (n_frames,) or intervals.min() <= 0:
        raise RtelastoError(
            "the recording's frame times do not increase from frame to frame: give fps, the frames "
            "per second"
        )
    return times, int(times[-1] + np.median(intervals))


def shorten_pauses(times_ns: NDArray[np.int64], max_pause_s: float) -> NDArray[np.int64]:
    """Shorten all steps between frame times to a limit.

    Parameters
    ----------
    times_ns
        When each frame is due, shape (n_frames,), rising.
    max_pause_s
        The longest step to keep; infinity keeps all.

    Returns
    -------
    ndarray
        Shape (n_frames,), from the same start.

    Raises
    ------
    RtelastoError
        If ``max_pause_s`` is not above 0.
    """
    if not max_pause_s > 0.0:
        raise RtelastoError(
            f"max_pause_s must be above 0, or inf for no limit, got {max_pause_s:g}"
        )
    if not max_pause_s * 1e9 < 2.0**62:
        return times_ns
    steps = np.minimum(np.diff(times_ns), max(1, round(max_pause_s * 1e9)))
    return np.concatenate([times_ns[:1], times_ns[0] + np.cumsum(steps)])


class Replayer(Closing):
    """A sender that replays a recording.

    Parameters
    ----------
    recording
        Open recording; stays open.
    endpoint
        Endpoint to bind; port 0 takes a free port, which `endpoint` then holds.
    speed
        2 replays twice as fast.
    loop
        Number of times to replay it; True repeats without end. Frame ids and times continue over the loops.
    fps
        Frames per second instead of the recording's own times.
    max_pause_s
        The longest pause between two frames, by the recording's own times, to wait out; longer ones are
        shortened to it.
    stamp
        Source of ``acquired_ns``: the time of sending on the "monotonic" clock (so that a receiver on this
        machine can compute the latency) or on the "unix" clock, or the time in the "recording",
        independent of ``speed``. With "sent", messages that `rtelasto record` kept are sent byte for byte as
        they came, with the stream, counts, times and clock of their sender; once only.
    wait_s
        How long to wait for a first subscriber before starting without one.
    send_hwm
        Frames kept for a subscriber that does not keep up.
    keys
        Key folder (`rtelasto.transport.keys`); without one ``endpoint`` must be on this machine.

    Attributes
    ----------
    pauses_ns
        Durations of the pauses between frames of the recording that exceed `MAX_PAUSE_S` or are shortened.

    Raises
    ------
    RtelastoError
        If a parameter is out of range, frame times are missing, ``endpoint`` cannot be bound, or "sent" is
        asked of a recording that does not hold messages or is opened with other values than theirs.
    """

    def __init__(
        self,
        recording: Replayable,
        endpoint: str = "tcp://127.0.0.1:5555",
        *,
        speed: float = 1.0,
        loop: bool | int = False,
        fps: float | None = None,
        max_pause_s: float = MAX_PAUSE_S,
        stamp: Stamp = "monotonic",
        wait_s: float = 5.0,
        send_hwm: int = 16,
        keys: Path | None = None,
    ) -> None:
        if not (np.isfinite(speed) and 0.0 < speed <= 1e6):
            raise RtelastoError(f"speed must be a positive number, got {speed:g}")
        self._loops = None if loop is True else max(int(loop), 1)
        if stamp == "sent":
            if self._loops != 1:
                raise RtelastoError(
                    "stamp sent replays once: the same messages again would count as repeated"
                )
            message_of(recording.header_as_sent(0), recording.as_sent(0))
        self._recording = recording
        self._times_ns, self._period_ns = frame_times_ns(
            recording.timestamps_ns, recording.n_frames, fps
        )
        if fps is not None:
            max_pause_s = np.inf
        # Include the first frame of the next loop, which a pause may precede as well.
        due_ns = shorten_pauses(np.append(self._times_ns, self._period_ns), max_pause_s)
        self._due_ns, self._due_period_ns = due_ns[:-1], int(due_ns[-1])
        steps = np.diff(self._times_ns)
        limit_ns = 1e9 * min(max_pause_s, MAX_PAUSE_S)
        self.pauses_ns = steps[steps > limit_ns] if fps is None else steps[:0]
        ids = getattr(recording, "frame_ids", None)
        self._ids: NDArray[np.int64] = np.arange(recording.n_frames) if ids is None else ids
        self._speed = speed
        self._stamp = stamp
        self._wait_s = wait_s
        clock = "recording" if stamp == "sent" else stamp
        self._sender = RfSender(endpoint, clock=clock, send_hwm=send_hwm, keys=keys)
        self.endpoint = self._sender.endpoint
        self.stream = self._sender.stream

    @property
    def total_frames(self) -> int | None:
        """Number of frames to send, None if without end."""
        return None if self._loops is None else self._loops * self._recording.n_frames

    def run(
        self,
        stop: threading.Event | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> ReplayReport:
        """Replay until the end, or until ``stop`` is set; call it once for each Replayer.

        ``progress`` is called after every frame with the frames sent and `total_frames`.
        """
        stop = threading.Event() if stop is None else stop
        self._wait_for_subscriber(stop)
        sent = late = worst_ns = 0
        start_ns = 0
        header: bytes | None = None
        for loop, index in self._frames():
            frame = self._recording.as_sent(index)
            if self._stamp == "sent":
                header = self._recording.header_as_sent(index)
            start_ns = start_ns or monotonic_ns()
            due_ns = loop * self._due_period_ns + int(self._due_ns[index])
            deadline_ns = start_ns + round(due_ns / self._speed)
            if not _wait_until(deadline_ns, stop):
                break
            lateness_ns = monotonic_ns() - deadline_ns
            if header is not None:
                self._sender.send_again(header, frame)
            else:
                self._sender.send(
                    frame.samples,
                    frame.format,
                    frame_id=loop * self._ids_period + int(self._ids[index]),
                    acquired_ns=self._recorded_ns(loop, index)
                    if self._stamp == "recording"
                    else None,
                )
            sent += 1
            late += lateness_ns > LATE_NS
            worst_ns = max(worst_ns, lateness_ns)
            if progress is not None:
                progress(sent, self.total_frames)
        return ReplayReport(
            sent=sent,
            late=late,
            unheard=self._sender.counters["unheard"],
            worst_lateness_s=worst_ns / 1e9,
            duration_s=(monotonic_ns() - start_ns) / 1e9 if start_ns else 0.0,
            stopped=stop.is_set() and sent != self.total_frames,
        )

    @property
    def sent(self) -> int:
        """Number of frames sent so far."""
        return self._sender.counters["sent"]

    def close(self) -> None:
        """Send what is left and unbind. May be called twice."""
        self._sender.close()

    def _frames(self) -> Iterator[tuple[int, int]]:
        """Yield the loop and index of each frame to send."""
        loops = itertools.count() if self._loops is None else range(self._loops)
        for loop in loops:
            for index in range(self._recording.n_frames):
                yield loop, index

    @property
    def _ids_period(self) -> int:
        return int(self._ids[-1] - self._ids[0]) + 1

    def _recorded_ns(self, loop: int, index: int) -> int:
        timestamps_ns = self._recording.timestamps_ns
        first_ns = 0 if timestamps_ns is None else int(timestamps_ns[0])
        return first_ns + loop * self._period_ns + int(self._times_ns[index])

    def _wait_for_subscriber(self, stop: threading.Event) -> None:
        give_up_ns = monotonic_ns() + round(self._wait_s * 1e9)
        while not stop.is_set() and monotonic_ns() < give_up_ns:
            if self._sender.wait_for_subscriber(min(_LOOK_S, self._wait_s)):
                return


def _wait_until(deadline_ns: int, stop: threading.Event) -> bool:
    """Wait for the deadline; return False as soon as ``stop`` is set."""
    while (left_ns := deadline_ns - monotonic_ns()) > 0:
        if left_ns > _COARSE_NS:
            if stop.wait((left_ns - _COARSE_NS) / 1e9):
                return False
        else:
            time.sleep(left_ns / 1e9)
    return not stop.is_set()
