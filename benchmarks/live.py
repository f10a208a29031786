"""A live run for a while: is every frame accounted for, is memory flat, does it stop cleanly?

python -m benchmarks.live --fps 20 --seconds 60

``rtelasto replay`` and ``rtelasto run`` in processes of their own on loopback, a subscriber in this one,
2608 × 128 int16 frames. Timed: from the sender's send call to the strain frame's publishing, on one
monotonic clock, all frames but the first (which waits for compilation). Memory: resident size of the
``run`` process, sampled once a second after the first tenth of the run.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from rtelasto.receive import StrainReceiver
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.timing import timing_frames

RF, STRAIN = "tcp://127.0.0.1:5755", "tcp://127.0.0.1:5756"


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rtelasto", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def closing_table(output: str) -> dict[str, str]:
    return dict(re.findall(r"^ *(\S(?:.*?\S)?) {2,}(\S.*?) *$", output, re.MULTILINE))


def watch(pid: int, stop: threading.Event, sizes: list[int]) -> None:
    process = psutil.Process(pid)
    while not stop.wait(1.0):
        sizes.append(process.memory_info().rss)


def live(options: argparse.Namespace) -> dict[str, object]:
    frames = timing_frames()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "press.h5"
        with RecordingWriter(recording, frames[0].format, frame_rate_hz=options.fps) as writer:
            for frame in frames:
                writer.write(frame)
        repeat = max(1, round(options.fps * options.seconds / len(frames)))
        stop, sizes, latencies_ms = threading.Event(), [], []
        arrived = 0
        with StrainReceiver(STRAIN, policy="every") as receiver:
            run = command("run", "--rf", RF, "--strain", STRAIN, "--engine", options.engine)
            replay = command(
                *("replay", str(recording), "--rf", RF, "--wait-s", "120"),
                *("--fps", str(options.fps), "--repeat", str(repeat)),
            )
            watcher = threading.Thread(target=watch, args=(run.pid, stop, sizes))
            watcher.start()
            while replay.poll() is None or arrived == 0:
                message = receiver.get(1.0)
                if message is not None:
                    arrived += 1
                    latency_ns = message.frame.published_ns - message.frame.acquired_ns
                    latencies_ms.append(latency_ns / 1e6)
            while receiver.get(1.0) is not None:
                arrived += 1
            stop.set()
            watcher.join()
            started = time.monotonic()
            run.send_signal(signal.SIGTERM)
            output = run.communicate(timeout=60)[0]
            stop_s = time.monotonic() - started
            sent = closing_table(replay.communicate()[0])
    counts = {name: int(value) for name, value in closing_table(output).items() if value.isdigit()}
    steady = np.array(sizes[len(sizes) // 10 :]) / 2**20
    slope = np.polyfit(np.arange(steady.size), steady, 1)[0] if steady.size > 2 else float("nan")
    p50, p99 = np.percentile(latencies_ms[1:], (50, 99))
    return {
        "engine": options.engine,
        "frames sent": int(sent["frames sent"]),
        "strain frames received": arrived,
        "counters of run": counts,
        "latency p50 ms": round(float(p50), 1),
        "latency p99 ms": round(float(p99), 1),
        "latency max ms": round(float(max(latencies_ms[1:])), 1),
        "memory MiB, first and last": [round(float(steady[0]), 1), round(float(steady[-1]), 1)],
        "memory slope MiB/min": round(60.0 * float(slope), 3),
        "exit code after SIGTERM": run.returncode,
        "seconds to stop": round(stop_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A live run for a while.")
    parser.add_argument("--engine", default="cnn")
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    print(json.dumps(live(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()
