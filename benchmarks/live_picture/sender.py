"""The scanner of the benchmark: sends the frames of a file at a given rate, once, on demand.

    python -m benchmarks.live_picture.sender FRAMES.npy FORMAT FRAMES_PER_S

It prints its endpoint, waits for a line on its standard input, sends, and prints the time of the first frame.
"""

from __future__ import annotations

import json
import sys
import time
from time import monotonic_ns

import numpy as np

from rtelasto.frames.rf import RfFormat
from rtelasto.transport.rf_sender import RfSender

_SUBSCRIBER_S = 120.0


def main() -> None:
    # In memory, so that sending does not wait for the disk.
    frames = np.load(sys.argv[1], allow_pickle=False)
    rf_format, frames_per_s = RfFormat(**json.loads(sys.argv[2])), float(sys.argv[3])
    with RfSender("tcp://127.0.0.1:0") as sender:
        print(json.dumps({"endpoint": sender.endpoint}), flush=True)
        sys.stdin.readline()
        if not sender.wait_for_subscriber(_SUBSCRIBER_S):
            sys.exit(f"no subscriber within {_SUBSCRIBER_S:g} s")
        first_ns = monotonic_ns()
        for k, frame in enumerate(frames):
            deadline_ns = first_ns + round(k * 1e9 / frames_per_s)
            while (left_ns := deadline_ns - monotonic_ns()) > 0:
                time.sleep(left_ns / 1e9)
            # The timestamp is the deadline: delays of the sender do not change the motion.
            sender.send(frame, rf_format, frame_id=k, acquired_ns=deadline_ns)
        print(
            json.dumps({"first_ns": first_ns, "seconds": (monotonic_ns() - first_ns) / 1e9}),
            flush=True,
        )
        sys.stdin.readline()


if __name__ == "__main__":
    main()
