"""A separate process that sends RF frames until it is killed or its standard input ends.

    python sender_process.py ENDPOINT

It prints the endpoint to which it is bound, then sends a frame of 4 lines by 512 samples every 5 ms.
"""

import sys
import threading

import numpy as np

from rtelasto.frames.rf import RfFormat
from rtelasto.transport.rf_sender import RfSender


def main(endpoint: str) -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    rf_format = RfFormat(
        n_lines=4, n_samples=512, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=3e-4
    )
    samples = np.random.default_rng(0).integers(-1000, 1000, (4, 512)).astype(np.int16)
    with RfSender(endpoint) as sender:
        print(sender.endpoint, flush=True)
        while not ended.wait(0.005):
            sender.send(samples, rf_format)


if __name__ == "__main__":
    main(sys.argv[1])
