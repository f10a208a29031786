"""A separate process that creates and replays a recording.

    python replay_process.py N_FRAMES FPS

It prints the endpoint to which it is bound, replays once there is a subscriber, and prints the report.
"""

import sys

import numpy as np

from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.offline.replay import Replayer


class Ramp:
    """All samples of frame i are i."""

    format = RfFormat(
        n_lines=128, n_samples=260, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    )
    timestamps_ns = None

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames

    def as_sent(self, index: int) -> RfFrame:
        return RfFrame(np.full((128, 260), index, np.int16), self.format)


def main(n_frames: int, fps: float) -> None:
    with Replayer(
        Ramp(n_frames), "tcp://127.0.0.1:0", fps=fps, wait_s=20.0, send_hwm=1000
    ) as replayer:
        print(replayer.endpoint, flush=True)
        report = replayer.run()
    print(report.sent, report.unheard, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
