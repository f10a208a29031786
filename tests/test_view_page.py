"""The viewer's page in a real browser, fed by a real replay through a real run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import processes
import pytest
from waiting import WAIT_S

from rtelasto.accuracy.region_measures import Region, measure_regions
from rtelasto.bench.stages import timing_frames
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto.frames.strain import DEFAULT_ENGINE, StrainFrame
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.transport.strain_publisher import StrainPublisher
from rtelasto.wire.strain import StrainMessage

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from rtelasto.outputs.viewer import ViewSettings, open_viewer
from rtelasto.outputs.viewer.page_images import NO_STRAIN
from rtelasto.outputs.viewer.page_message import pack_frame, pack_images
from rtelasto.sinks.shown_strain import shown_percent

pytestmark = pytest.mark.browser

WAIT_MS = 1e3 * WAIT_S
FOREARM = Path(__file__).parents[2] / "shared/data/deepuse_forearm/rf0300_25.mhd"

# Pixels of the stage that are neither grey nor dark: strain colours.
COLOURED = """() => {
  const canvas = document.getElementById("images");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
    if (Math.max(r, g, b) - Math.min(r, g, b) > 40) count += 1;
  }
  return count;
}"""
SEQ = "() => Number(document.getElementById('images').dataset.seq ?? -1)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The forearm where it is on this machine, else a simulated press; with the flags of replay."""
    if FOREARM.exists():
        return [str(FOREARM), "--center-freq-hz", "4.65e6"]
    path = tmp_path_factory.mktemp("recording") / "press.h5"
    frames = timing_frames(
        RfFormat(
            n_lines=64,
            n_samples=1600,
            sampling_freq_hz=40e6,
            center_freq_hz=6.25e6,
            line_pitch_m=3e-4,
        )
    )
    with RecordingWriter(path, frames[0].format, frame_rate_hz=20.0) as writer:
        for frame in frames:
            writer.write(frame)
    return [str(path)]


@pytest.fixture(scope="module")
def live(recording: list[str], chromium: Any) -> Iterator[tuple[str, str]]:
    """A run with its viewer, fed by an endless replay: the page's address and the strain endpoint."""
    rf, strain = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    port = str(free_port())
    run = ("run", "--rf", rf, "--strain", strain, "--view", "--view-port", port)
    # What is tried here is not how fast this machine is.
    run += ("--stale-ms", "10000")
    replay = ("replay", *recording, "--rf", rf, "--loop", "--fps", "8", "--wait-s", "120")
    with (
        StrainReceiver(strain) as receiver,
        processes.running(*run),
        processes.running(*replay),
    ):
        assert receiver.counters.wait_for("received", 1, WAIT_S)
        processes.wait_for_server(int(port))
        yield f"http://127.0.0.1:{port}/", strain


@pytest.fixture
def page(live: tuple[str, str], chromium: Any) -> Iterator[Any]:
    faults: list[str] = []
    opened = browser.watched_page(chromium, faults, viewport={"width": 1280, "height": 800})
    opened.goto(live[0])
    opened.wait_for_function(f"({SEQ})() >= 0", timeout=WAIT_MS)
    yield opened
    assert not faults
    opened.context.close()


def wait_for_frame_after(page: Any, seq: int) -> int:
    page.wait_for_function(f"({SEQ})() > {seq}", timeout=WAIT_MS)
    return int(page.evaluate(SEQ))


def test_it_shows_moving_strain_over_bmode(page: Any):
    page.wait_for_function(f"({COLOURED})() > 20000", timeout=WAIT_MS)
    first = page.evaluate(SEQ)
    before = page.evaluate("document.getElementById('images').toDataURL()")
    wait_for_frame_after(page, wait_for_frame_after(page, first))
    assert page.evaluate("document.getElementById('images').toDataURL()") != before
    assert page.inner_text("#connection") == "live"
    page.wait_for_function(
        "document.getElementById('health-engine').textContent.includes('on cpu')", timeout=WAIT_MS
    )
    assert "Not a medical device" in page.inner_text("header")
    assert f"{DEFAULT_ENGINE} on cpu" in page.inner_text("#health-engine")
    browser.screenshot(page, "live")


def test_a_run_hands_its_limit_of_age_to_the_page(page: Any):
    status = page.evaluate("""() => new Promise((done) => {
      const socket = new WebSocket(location.href.replace("http", "ws") + "stream");
      socket.onmessage = (event) => { done(JSON.parse(event.data)); socket.close(); };
    })""")
    assert status["stale_ms"] == 10_000.0


def test_freeze_holds_a_frame_and_the_cine_scrolls(page: Any):
    wait_for_frame_after(page, wait_for_frame_after(page, page.evaluate(SEQ)))
    page.keyboard.press("Space")
    held = page.evaluate(SEQ)
    assert page.is_visible("#frozen")
    assert page.inner_text("#connection") == "stream live"
    assert page.get_attribute("body", "data-liveness") == "frozen"
    assert not page.is_visible("#not-live")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"({SEQ})() < {held}", timeout=WAIT_MS)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"({SEQ})() == {held}", timeout=WAIT_MS)
    browser.screenshot(page, "frozen")
    page.keyboard.press("Space")
    assert not page.is_visible("#frozen")
    wait_for_frame_after(page, held)


@pytest.fixture
def still(chromium: Any) -> Iterator[Any]:
    """A page that has two frames and gets no more, so that only what a user does changes the picture."""
    faults: list[str] = []
    page = browser.watched_page(chromium, faults, viewport={"width": 1280, "height": 800})
    with StrainPublisher("tcp://127.0.0.1:0") as publisher:
        settings = ViewSettings(strain=publisher.endpoint, port=free_port(), stale_ms=60_000.0)
        with open_viewer(settings) as server:
            page.goto(server.address)
            assert publisher.wait_for_subscriber(WAIT_S)
            assert server.counters.wait_for("pages", 1, WAIT_S)
            for number in range(2):
                frame = strain_frame(number)
                # Shown under a mask of 70 %, not under one of 75 %.
                frame.correlation[:, 60:90] = 0.72
                publisher.write(frame)
                page.wait_for_function(f"({SEQ})() == {number}", timeout=WAIT_MS)
            yield page
            page.context.close()
    assert not faults


def test_display_by_keyboard(still: Any):
    page = still
    page.keyboard.press("Space")
    picture = "document.getElementById('images').toDataURL()"
    seen = {page.evaluate(picture)}

    def press(key: str, element: str, value: str) -> None:
        page.keyboard.press(key)
        assert page.input_value(element) == value
        page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        seen.add(page.evaluate(picture))

    for index, name in enumerate(["grey", "hue", "hue-reversed", "viridis"]):
        press("c", "#colours", name)
        assert len(seen) == min(index + 2, 4)
    press("+", "#opacity", "80")
    press("-", "#opacity", "75")
    press("m", "#mask", "75")
    press("n", "#mask", "70")
    assert len(seen) >= 5
    page.keyboard.press("i")
    assert page.input_value("#mode") == "instantaneous"
    page.keyboard.press("a")
    assert page.is_enabled("#range-low")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    browser.screenshot(page, "help")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")


def regions_as_placed(grid: Grid) -> tuple[Region, Region]:
    """Where the keys L and B put the regions, as the page does it."""
    width, height = grid.n_lines * grid.line_pitch_m, grid.n_depths * grid.axial_step_m
    radius = min(width, height) / 8
    middle = grid.start_depth_m - 0.5 * grid.axial_step_m + height / 2
    lesion = Region(lateral_m=0.0, depth_m=middle, half_width_m=radius, half_height_m=radius)
    background = Region(
        lateral_m=0.0, depth_m=middle - 3 * radius, half_width_m=radius, half_height_m=radius
    )
    return lesion, background


def as_sent(message: StrainMessage) -> StrainFrame:
    """The frame with the strain that a page gets, of 16 bits: at 78 dB the last bits show in a reading."""
    header, images = pack_images(message)
    strain = np.frombuffer(images, "<i2", message.frame.axial_strain.size)
    assert not (strain == NO_STRAIN).any()
    strain = (strain * header["strain_scale"]).reshape(message.frame.axial_strain.shape)
    return message.frame.replace(axial_strain=strain)


def test_regions_give_the_strain_ratio_of_the_python_api(live: tuple[str, str], page: Any):
    with StrainReceiver(live[1], policy="every") as receiver:
        first = receiver.get(WAIT_S)
        assert first is not None
        wait_for_frame_after(page, first.seq + 1)
        page.keyboard.press("Space")
        shown = page.evaluate(SEQ)
        message = first
        while message.seq < shown:
            message = receiver.get(WAIT_S)
            assert message is not None
    page.keyboard.press("l")
    page.keyboard.press("b")
    page.wait_for_function("document.getElementById('frame-ratio').dataset.value", timeout=WAIT_MS)
    lesion, background = regions_as_placed(message.frame.grid)
    found = measure_regions(message.frame, lesion, background, min_correlation=0.7)
    ratio = float(page.get_attribute("#frame-ratio", "data-value"))
    assert ratio == pytest.approx(found.strain_ratio, rel=2e-3)
    found = measure_regions(as_sent(message), lesion, background, min_correlation=0.7)
    direction = 1.0 if message.frame.applied_strain > 0.0 else -1.0
    assert page.inner_text("#lesion-strain") == percent(direction * found.lesion_strain)
    assert page.inner_text("#snre") == decibels(found.snr_db)
    assert page.inner_text("#cnre") == decibels(found.cnr_db)
    page.mouse.move(*centre_of(page, "strain"))
    browser.screenshot(page, "regions")
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    page.wait_for_function("!document.getElementById('frame-ratio').dataset.value", timeout=WAIT_MS)


def percent(strain: float) -> str:
    return f"{100 * strain:.3f} %".replace("-", "−")


def decibels(value: float) -> str:
    return f"{value:.1f} dB".replace("-", "−")


def centre_of(page: Any, image: str) -> tuple[float, float]:
    """Middle of an image on the page: where the profile is looked at."""
    box = page.locator("#images").bounding_box()
    share = {"bmode": 0.2, "strain": 0.58}[image]
    return box["x"] + share * box["width"], box["y"] + 0.5 * box["height"]


def test_a_region_is_drawn_with_the_pointer(page: Any):
    x, y = centre_of(page, "strain")
    page.click("#lesion")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 80, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "document.getElementById('lesion-strain').textContent != '–'", timeout=WAIT_MS
    )
    assert page.get_attribute("#lesion", "aria-pressed") == "false"


@pytest.mark.parametrize(
    ("name", "width", "height", "touch"),
    [("strip", 740, 320, False), ("tablet", 1024, 768, True), ("tablet-upright", 768, 1024, True)],
)
def test_it_fits_small_screens(
    live: tuple[str, str], chromium: Any, name: str, width: int, height: int, touch: bool
):
    faults: list[str] = []
    page = browser.watched_page(
        chromium, faults, viewport={"width": width, "height": height}, has_touch=touch
    )
    page.goto(live[0])
    page.wait_for_function(f"({COLOURED})() > 2000", timeout=WAIT_MS)
    browser.screenshot(page, name)
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert page.evaluate(f"{root}.scrollHeight <= {root}.clientHeight")
    for element in ("header .notice", "#images", "#freeze", "#quality", "#health-rates"):
        box = page.locator(element).bounding_box()
        assert box["y"] + box["height"] <= height + 1
        assert box["x"] + box["width"] <= width + 1
    assert not faults
    page.context.close()


def test_a_page_that_cannot_keep_up_skips_to_the_newest(live: tuple[str, str], page: Any):
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 8})
    with StrainReceiver(live[1]) as receiver:
        message = receiver.get(WAIT_S)
        assert message is not None
        # While the page hangs, it may get the one frame that it had asked for; the next it draws is new.
        page.evaluate(
            "(() => { const end = performance.now() + 1500; while (performance.now() < end); })()"
        )
        newest = None
        while (later := receiver.get(0.0)) is not None:
            newest = later
        assert newest is not None
        seen: list[int] = []
        while len(seen) < 3:
            seen.append(wait_for_frame_after(page, seen[-1] if seen else page.evaluate(SEQ)))
    assert seen[1] >= newest.seq
    assert seen == sorted(seen)


def test_it_works_under_its_own_security_policy(live: tuple[str, str], chromium: Any):
    faults: list[str] = []
    page = browser.watched_page(chromium, faults, bypass_csp=False)
    page.goto(live[0])
    page.wait_for_selector("#images[data-seq]", timeout=WAIT_MS)
    page.wait_for_selector("#connection[data-state=live]", timeout=WAIT_MS)
    assert page.evaluate(COLOURED) > 2000
    assert not faults
    page.context.close()


def strain_frame(number: int) -> StrainFrame:
    grid = Grid(32, 120, 2e-4, 4e-4, 1e-3)
    strain = np.random.default_rng(number).normal(-0.01, 2e-3, grid.shape).astype(np.float32)
    correlation = np.full(grid.shape, 0.95, np.float32)
    correlation[:, 90:] = 0.3
    return StrainFrame(
        strain, strain, correlation, grid, quality=0.95, applied_strain=-0.01, frame_ids=(number, 1)
    )


def test_it_comes_back_when_the_viewer_does(chromium: Any):
    faults: list[str] = []
    page = browser.watched_page(chromium, faults)
    with StrainPublisher("tcp://127.0.0.1:0") as publisher:
        settings = ViewSettings(strain=publisher.endpoint, port=free_port())
        with open_viewer(settings) as server:
            page.goto(server.address)
            assert publisher.wait_for_subscriber(WAIT_S)
            assert server.counters.wait_for("pages", 1, WAIT_S)
            publisher.write(strain_frame(0))
            page.wait_for_function(f"({SEQ})() == 0", timeout=WAIT_MS)
        page.wait_for_function(
            "document.getElementById('connection').textContent == 'connecting'", timeout=WAIT_MS
        )
        with open_viewer(settings) as server:
            assert server.counters.wait_for("pages", 1, WAIT_S)
            assert publisher.wait_for_subscriber(WAIT_S)
            assert server.counters.wait_for("connected", 1, WAIT_S)
            publisher.write(strain_frame(1))
            page.wait_for_function(f"({SEQ})() == 1", timeout=WAIT_MS)
            # No B-mode in this stream: the page says so and shows the strain on black.
            assert page.evaluate(COLOURED) > 1000
            browser.screenshot(page, "without-bmode")
    page.context.close()


@pytest.fixture
def blank(live: tuple[str, str], chromium: Any) -> Iterator[Any]:
    """A page that runs the viewer's modules by themselves."""
    page = chromium.new_context(bypass_csp=True).new_page()
    page.goto(live[0] + "style.css")
    yield page
    page.context.close()


def test_the_range_follows_with_hysteresis(blank: Any):
    found = json.loads(
        blank.evaluate("""async () => {
      const { ColourRange, PERCENT } = await import("/range.js");
      const values = (low, high) =>
        Float32Array.from({ length: 5000 }, (_, i) => low + (high - low) * (i / 4999));
      const range = new ColourRange(PERCENT);
      let now = 0;
      const after = (v, times = 1) => {
        for (let i = 0; i < times; i++) range.update(v, (now += 50));
        return [range.low, range.high];
      };
      const first = after(values(0, 1));
      const early = after(values(0.5, 2), 10);
      const small = after(values(0, 1.15), 50);
      const large = after(values(0.5, 2), 25);
      const soon = after(values(0, 1), 10);
      const later = after(values(0, 1), 20);
      range.fix(0.2, 0.6);
      return JSON.stringify({ first, early, small, large, soon, later, fixed: after(values(1, 3), 9) });
    }""")
    )
    assert found["first"] == pytest.approx([0.03, 0.97], abs=0.01)
    assert found["small"] == found["first"]
    assert found["large"] == pytest.approx([0.545, 1.955], abs=0.12)
    # Not more than once a second.
    assert found["early"] == found["first"]
    assert found["soon"] == found["large"]
    assert found["later"] == pytest.approx(found["first"], abs=0.12)
    assert found["fixed"] == [0.2, 0.6]


@pytest.mark.parametrize("std", [False, True])
def test_what_is_shown_is_what_pictures_show(blank: Any, std: bool):
    rng = np.random.default_rng(3)
    frame = strain_frame(1).replace(applied_strain=-3e-3, quality=0.9)
    frame.correlation[:] = np.rint(255.0 * rng.uniform(0.3, 1.0, frame.grid.shape)) / 255.0
    frame.axial_strain[2, 3] = np.nan
    if std:
        image = (1e-3 * 2.0 ** rng.uniform(-3, 2, frame.grid.shape)).astype(np.float32)
        frame = frame.replace(axial_strain_std=image)
    message = StrainMessage(frame, "s", 0, "unknown", {}, {})
    header, images = pack_images(message)
    packed = pack_frame(header | {"age_ms": 0, "credit_ms": 0, "held_ms": 0}, images)
    shown = np.array(
        blank.evaluate(
            """async (bytes) => {
      const { decodeFrame } = await import("/wire.js");
      const { shownValues } = await import("/values.js");
      const frame = decodeFrame(Uint8Array.from(bytes).buffer);
      const { values, opacity } = shownValues(frame, "instantaneous", 0.7);
      return [Array.from(values, (v) => (Number.isNaN(v) ? 1e9 : v)), Array.from(opacity)];
    }""",
            list(packed),
        )
    )
    values, opacity = (each.reshape(frame.grid.shape) for each in shown)
    expected = shown_percent(frame, 0.7)
    # Where the stored standard deviation lies within a step of the limit, either is right.
    sure = opacity > 12
    assert not np.ma.getmaskarray(expected)[sure].any()
    assert (values[np.ma.getmaskarray(expected)] == 1e9).mean() > 0.98
    np.testing.assert_allclose(values[sure], expected.data[sure], atol=1e-4)
