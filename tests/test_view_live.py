"""That the page never shows an old frame as a live one, whatever stops: in a real browser, by real processes.

Times are taken inside the page, by its own clock, from the last frame drawn to the words on the screen.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import browser
import numpy as np
import processes
import psutil
import pytest
from waiting import WAIT_S

from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import StrainFrame
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.strain_publisher import StrainPublisher

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from rtelasto.outputs.viewer import ViewSettings, open_viewer

pytestmark = pytest.mark.browser

WAIT_MS = 1e3 * WAIT_S
# What is promised, from the last frame drawn to the words.
PROMISED_MS = 1000.0
# When a frame was drawn last, when the words came and went, and how long this page was kept from its timers.
WATCH = """() => {
  const watch = { drawnMs: 0, shownMs: 0, hiddenMs: 0, heldMs: 0 };
  window.watch = watch;
  const images = document.getElementById("images");
  const words = document.getElementById("not-live");
  new MutationObserver(() => { watch.drawnMs = performance.now(); })
    .observe(images, { attributeFilter: ["data-seq"] });
  new MutationObserver(() => { watch[words.hidden ? "hiddenMs" : "shownMs"] = performance.now(); })
    .observe(words, { attributeFilter: ["hidden"] });
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    watch.heldMs = Math.max(watch.heldMs, now - last - 50);
    last = now;
  }, 50);
}"""
SHOWN = "!document.getElementById('not-live').hidden"
# The age that the page says, in s.
AGE_S = "Number(/last frame ([0-9.]+) s old/.exec(document.getElementById('not-live-age').textContent)?.[1])"
LIVE = "document.getElementById('connection').textContent == 'live'"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Chain:
    """Sender, pipeline and viewer, each a process that can be stopped and started by itself."""

    def __init__(self, folder: Path) -> None:
        rf, self.strain = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        port = str(free_port())
        self.address = f"http://127.0.0.1:{port}/"
        recording = folder / "press.h5"
        frames = timing_frames(
            RfFormat(
                n_lines=48,
                n_samples=1024,
                sampling_freq_hz=40e6,
                center_freq_hz=6.25e6,
                line_pitch_m=3e-4,
            )
        )
        with RecordingWriter(recording, frames[0].format, frame_rate_hz=20.0) as writer:
            for frame in frames:
                writer.write(frame)
        self._commands = {
            "sender": ("replay", str(recording), "--rf", rf, "--loop", "--fps", "20", "--wait-s", "120"),
            "pipeline": ("run", "--rf", rf, "--strain", self.strain, "--engine", "ncc", "--bmode"),
            "viewer": ("view", "--strain", self.strain, "--port", port),
        }  # fmt: skip
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._stack = ExitStack()
        with StrainReceiver(self.strain) as receiver:
            for name in ("pipeline", "viewer", "sender"):
                self.start(name)
            assert receiver.counters.wait_for("received", 3, WAIT_S)
        processes.wait_for_server(int(port))

    def start(self, name: str) -> None:
        self._running[name] = self._stack.enter_context(processes.running(*self._commands[name]))

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """To a process and those that it has started; to it first, so that it does not replace them."""
        process = psutil.Process(self._running[name].pid)
        children = process.children(recursive=True)
        for each in (process, *children):
            each.send_signal(number)

    def hang(self) -> None:
        """Stop the process in which the pipeline works, not the one that watches over it."""
        with StrainReceiver(self.strain) as receiver:
            assert receiver.counters.wait_for("statuses", 1, WAIT_S)
            os.kill(processes.process_of(receiver.status), signal.SIGSTOP)

    def close(self) -> None:
        # A stopped process would not notice that its parent is gone.
        for name, process in self._running.items():
            if process.poll() is None:
                self.send_signal(name, signal.SIGCONT)
        self._stack.close()


@pytest.fixture(scope="module")
def chain(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    opened = Chain(tmp_path_factory.mktemp("chain"))
    yield opened
    opened.close()


@pytest.fixture
def page(chain: Chain, chromium: Any) -> Iterator[Any]:
    opened = browser.watched_page(chromium, [], viewport={"width": 1280, "height": 800})
    # The viewer may still be starting.
    with socket.socket() as probe:
        deadline = time.monotonic() + WAIT_S
        while probe.connect_ex(("127.0.0.1", int(chain.address.split(":")[2][:-1]))):
            assert time.monotonic() < deadline
    opened.goto(chain.address)
    opened.wait_for_function(LIVE, timeout=WAIT_MS)
    opened.evaluate(WATCH)
    opened.wait_for_function("watch.drawnMs > 0", timeout=WAIT_MS)
    yield opened
    opened.context.close()


def hold(name: str) -> tuple[Callable[[Chain], None], Callable[[Chain], None]]:
    return (
        lambda chain: chain.send_signal(name, signal.SIGSTOP),
        lambda chain: chain.send_signal(name, signal.SIGCONT),
    )


def kill(name: str) -> tuple[Callable[[Chain], None], Callable[[Chain], None]]:
    return (
        lambda chain: chain.send_signal(name, signal.SIGKILL),
        lambda chain: chain.start(name),
    )


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize(
    ("name", "ways", "age_s", "why"),
    [
        ("sender-killed", kill("sender"), 1.2, "no strain arrives"),
        ("pipeline-stopped", hold("pipeline"), 1.2, "no strain arrives"),
        # What watches over it puts another in its place.
        ("pipeline-hung", (Chain.hang, lambda chain: None), 1.2, "no strain arrives"),
        # Longer than the page waits for a word of the viewer, so that it connects anew.
        ("viewer-stopped", hold("viewer"), 9.0, "the viewer does not answer"),
        ("viewer-killed", kill("viewer"), 1.2, "reconnecting to the viewer"),
    ],
)
def test_the_page_says_that_it_is_not_live(
    chain: Chain,
    page: Any,
    name: str,
    ways: tuple[Callable[[Chain], None], Callable[[Chain], None]],
    age_s: float,
    why: str,
):
    stop, resume = ways
    stopped_ms = page.evaluate("watch.heldMs = 0, performance.now()")
    stop(chain)
    page.wait_for_function(f"{SHOWN} && {AGE_S} > 1.1", timeout=WAIT_MS)
    seen = page.evaluate("({ ...watch })")
    assert page.inner_text("#not-live").startswith("NOT LIVE")
    assert page.get_attribute("body", "data-liveness") == "stale"
    assert page.title().startswith("NOT LIVE")
    assert "grayscale" in page.evaluate(
        "getComputedStyle(document.getElementById('images')).filter"
    )
    page.wait_for_function(f"{AGE_S} >= {age_s}", timeout=WAIT_MS)
    # When a socket is seen to be closed is for the browser to say.
    page.wait_for_function(
        f"document.getElementById('not-live-why').textContent == '{why}'", timeout=WAIT_MS
    )
    browser.screenshot(page, f"not-live-{name}")
    resume(chain)
    page.wait_for_function(f"{LIVE} && !({SHOWN})", timeout=WAIT_MS)
    print(
        f"{name}: words {seen['shownMs'] - seen['drawnMs']:.0f} ms after the last frame drawn, "
        f"{seen['shownMs'] - stopped_ms:.0f} ms after the stop; timers late by {seen['heldMs']:.0f} ms"
    )
    # Nothing can be shown by a page that the machine does not let run.
    assert seen["shownMs"] - seen["drawnMs"] <= PROMISED_MS + seen["heldMs"]


def test_frames_that_come_late_are_not_live(chromium: Any):
    grid = Grid(32, 120, 2e-4, 4e-4, 1e-3)
    image = np.full(grid.shape, -0.01, np.float32)
    frame = StrainFrame(image, image, np.ones_like(image), grid, quality=1.0, applied_strain=-0.01)
    late = frame.replace(age_ns=3_000_000_000, stale=True)
    page = browser.watched_page(chromium, [])
    with (
        StrainPublisher("tcp://127.0.0.1:0") as publisher,
        open_viewer(ViewSettings(strain=publisher.endpoint, port=0, stale_ms=60_000.0)) as server,
    ):
        page.goto(server.address)
        assert publisher.wait_for_subscriber(WAIT_S)
        assert server.counters.wait_for("pages", 1, WAIT_S)
        # Late by the pipeline's own word, though not by the viewer's limit.
        publisher.write(late)
        page.wait_for_function(f"{SHOWN} && {AGE_S} >= 3", timeout=WAIT_MS)
        assert page.inner_text("#not-live-why") == "strain arrives late"
        publisher.write(frame)
        page.wait_for_function(LIVE, timeout=WAIT_MS)
        assert not page.is_visible("#not-live")
    page.context.close()


def test_a_held_frame_is_called_frozen_whatever_the_stream_does(chain: Chain, page: Any):
    page.keyboard.press("Space")
    assert page.inner_text("#frozen") == "frozen"
    assert page.get_attribute("body", "data-liveness") == "frozen"
    chain.send_signal("pipeline", signal.SIGSTOP)
    page.wait_for_function(
        "document.getElementById('connection').textContent == 'stream not live'",
        timeout=WAIT_MS,
    )
    assert not page.is_visible("#not-live")
    browser.screenshot(page, "frozen-not-live")
    page.keyboard.press("Space")
    page.wait_for_function(SHOWN, timeout=WAIT_MS)
    chain.send_signal("pipeline", signal.SIGCONT)
    page.wait_for_function(LIVE, timeout=WAIT_MS)


def test_a_page_that_comes_late_does_not_take_the_last_frame_for_live(
    chain: Chain, page: Any, chromium: Any
):
    chain.send_signal("pipeline", signal.SIGSTOP)
    page.wait_for_function(f"{SHOWN} && {AGE_S} > 1.1", timeout=WAIT_MS)
    late = browser.watched_page(chromium, [], viewport={"width": 740, "height": 320})
    late.goto(chain.address)
    late.wait_for_function(f"{SHOWN} && {AGE_S} > 1.1", timeout=WAIT_MS)
    browser.screenshot(late, "not-live-strip")
    late.context.close()
    chain.send_signal("pipeline", signal.SIGCONT)
    page.wait_for_function(LIVE, timeout=WAIT_MS)
