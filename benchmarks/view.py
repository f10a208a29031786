"""The live viewer in a real browser: time to the first strain, frame rate, age of frames, time to exit.

python -m benchmarks.view [--fps 30] [--recording forearm.mhd --center-freq-hz 4.65e6]

``rtelasto run --view`` gets frames from ``rtelasto replay``, in separate processes, with headless Chromium
(software rendering) on the same machine. Then the same page gets prepared strain frames without a pipeline,
to measure the viewer alone. Measured with the clock of the page: navigation to the first strain on the
canvas; frames drawn per second; the age of frames when drawn, from acquisition, normally and with the page's
CPU throttled eightfold; and the time from SIGTERM to exit of ``run`` with the page connected. Frames are 2608
× 128 unless a recording is given. It needs the extras view and test, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import StrainFrame
from rtelasto.outputs.viewer import ViewSettings, open_viewer
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.strain_publisher import StrainPublisher

RF, STRAIN, PORT = "tcp://127.0.0.1:5765", "tcp://127.0.0.1:5766", 5767
GRID = Grid(128, 652, 7.7e-5, 3e-4)
WATCH_S = 10.0

# Records the clock of the page and the age of the frame for every new frame on the canvas.
_WATCH = """() => {
  const canvas = document.getElementById("images");
  window.drawn = [];
  new MutationObserver(() => {
    const age = Number(canvas.dataset.ageMs ?? NaN);
    window.drawn.push([performance.now(), Number(canvas.dataset.seq), age]);
  }).observe(canvas, { attributes: true, attributeFilter: ["data-seq"] });
}"""


def percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, (50, 99))
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "max": round(max(values), 1)}


def watch(page: Page) -> dict[str, Any]:
    """Return rate and age of the frames drawn over some seconds."""
    page.evaluate("window.drawn = []")
    page.wait_for_timeout(1e3 * WATCH_S)
    drawn = page.evaluate("window.drawn")
    times = [at for at, _, _ in drawn]
    return {
        "frames drawn per s": round(1e3 * (len(times) - 1) / (times[-1] - times[0]), 1),
        "age when drawn, ms": percentiles([age for _, _, age in drawn if age == age]),
    }


def open_page(browser: Any, address: str) -> tuple[Page, float]:
    """Open a page; return it and the time to its first strain in ms."""
    page = browser.new_context(bypass_csp=True, viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(f"document.addEventListener('DOMContentLoaded', {_WATCH})")
    page.goto(address)
    page.wait_for_function("window.drawn.length > 0", timeout=120_000)
    return page, page.evaluate("window.drawn[0][0]")


def throttled(page: Page) -> dict[str, Any]:
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 8})
    found = watch(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    return found


def with_pipeline(browser: Any, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "rtelasto"]
    recording = [str(options.recording)]
    if options.center_freq_hz:
        recording += ["--center-freq-hz", str(options.center_freq_hz)]
    if options.recording is None:
        frames = timing_frames()
        recording = [str(folder / "press.h5")]
        with RecordingWriter(recording[0], frames[0].format, frame_rate_hz=options.fps) as writer:
            for frame in frames:
                writer.write(frame)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(
        [*command, "run", "--rf", RF, "--strain", STRAIN, "--view", "--view-port", str(PORT)],
        **quiet,
    )
    replay = subprocess.Popen(
        [*command, "replay", *recording, "--rf", RF, "--loop", "--fps", str(options.fps),
         "--wait-s", "300"],
        **quiet,
    )  # fmt: skip
    try:
        with StrainReceiver(STRAIN) as receiver:
            receiver.counters.wait_for("received", 3, 300)
        page, first_ms = open_page(browser, f"http://127.0.0.1:{PORT}/")
        result = {"first strain after, ms": round(first_ms), **watch(page)}
        result["page throttled eightfold"] = throttled(page)
        result["health line"] = page.inner_text("#health")
        started = time.monotonic()
        run.send_signal(signal.SIGTERM)
        run.wait(30)
        result["SIGTERM to exit, s"] = round(time.monotonic() - started, 2)
        result["exit code"] = run.returncode
    finally:
        for process in (run, replay):
            process.kill()
            process.wait()
    return result


def viewer_alone(browser: Any, fps: float) -> dict[str, Any]:
    """Publish prepared frames at ``fps``, with the time of publication as time of acquisition."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(8):
        strain = rng.normal(-0.01, 0.002, GRID.shape).astype(np.float32)
        bmode = rng.integers(0, 256, GRID.shape).astype(np.uint8)
        frames.append(
            StrainFrame(
                strain, strain, np.full(GRID.shape, 0.95, np.float32), GRID,
                quality=0.95, applied_strain=-0.01, bmode=bmode,
            )
        )  # fmt: skip
    stop = threading.Event()
    with StrainPublisher("tcp://127.0.0.1:0", clock="monotonic") as publisher:

        def publish() -> None:
            begin = time.monotonic()
            for number in range(10**9):
                if stop.wait(max(0.0, begin + number / fps - time.monotonic())):
                    return
                now_ns = time.monotonic_ns()
                publisher.write(frames[number % 8].replace(acquired_ns=now_ns, age_ns=0))

        settings = ViewSettings(strain=publisher.endpoint, port=0)
        with open_viewer(settings) as server:
            thread = threading.Thread(target=publish)
            thread.start()
            try:
                page, _ = open_page(browser, server.address)
                result = watch(page)
                result["page throttled eightfold"] = throttled(page)
                page.context.close()
            finally:
                stop.set()
                thread.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="The live viewer in a real browser.")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--center-freq-hz", type=float)
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]) as browser,
    ):
        result = {
            "viewer alone": viewer_alone(browser, options.fps),
            "beside the pipeline": with_pipeline(browser, options, Path(folder)),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
