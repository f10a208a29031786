"""A separate process that sends RF frames on command, like a scanner.

    python -m rtelasto.bench.rf_sender [FORMAT]

It prints a line of JSON with the endpoint to which it is bound. For every line ``{"fps": …, "frames": …}`` on
its standard input it sends this many int16 frames at absolute deadlines and prints a report. ``FORMAT`` is an
`RfFormat` as JSON, by default 2608 × 128. It exits at the end of its standard input. The frames are kept in
memory, so that it uses little processor time during the measurement.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from time import monotonic_ns

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.offline.replay import LATE_NS
from rtelasto.transport.rf_sender import RfSender

# Back and forth over three frames, so that every pair has the same strain.
_ORDER = (0, 1, 2, 1)
_SUBSCRIBER_S = 120.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A burst of frames; ``late`` of them were sent more than 2 ms after their deadline."""

    frames: int
    late: int
    worst_lateness_ms: float
    first_ns: int
    seconds: float


def send_burst(sender: RfSender, frames: list[RfFrame], fps: float, count: int) -> Sent:
    """Send ``count`` frames, the k-th of them k / fps seconds after the first."""
    late = worst_ns = 0
    first_ns = monotonic_ns()
    for index in range(count):
        deadline_ns = first_ns + round(index * 1e9 / fps)
        while (left_ns := deadline_ns - monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        frame = frames[_ORDER[index % len(_ORDER)]]
        sender.send(frame.samples, frame.format)
        worst_ns = max(worst_ns, -left_ns)
        late += -left_ns > LATE_NS
    return Sent(count, late, worst_ns / 1e6, first_ns, (monotonic_ns() - first_ns) / 1e9)


def main() -> None:
    rf_format = RfFormat(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else None
    frames = timing_frames(rf_format)
    with RfSender("tcp://127.0.0.1:0") as sender:
        print(json.dumps({"endpoint": sender.endpoint}), flush=True)
        for line in sys.stdin:
            burst = json.loads(line)
            if not sender.wait_for_subscriber(_SUBSCRIBER_S):
                sys.exit(f"no subscriber within {_SUBSCRIBER_S:g} s")
            sent = send_burst(sender, frames, burst["fps"], burst["frames"])
            print(json.dumps(asdict(sent)), flush=True)


if __name__ == "__main__":
    main()
