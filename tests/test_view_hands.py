"""What keys, fingers and a reload do to the page, and what it says to who is not let in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import browser
import pytest

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from press_scene import hand
from viewer_scene import WAIT_MS, Scene, open_scene
from waiting import WAIT_S

from rtelasto.outputs.viewer import ViewSettings, open_viewer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shared(chromium: Any) -> Iterator[Scene]:
    with open_scene(chromium) as opened:
        opened.press(hand(10))
        yield opened


@pytest.mark.parametrize(
    "control",
    ["colours", "opacity", "range-auto", "range-low", "lesion", "freeze", "scroll", "help-open"],
)
def test_space_freezes_while_a_control_has_the_focus(shared: Scene, control: str):
    page = shared.page
    checked = page.is_checked("#range-auto")
    if control == "range-low":
        page.evaluate("document.getElementById('range-low').disabled = false")
    page.evaluate(f"document.getElementById({control!r}).disabled = false")
    page.focus(f"#{control}")
    shared.key("Space")
    assert page.is_visible("#frozen")
    shared.key("Space")
    assert not page.is_visible("#frozen")
    assert page.is_checked("#range-auto") == checked
    assert page.get_attribute("#lesion", "aria-pressed") == "false"
    assert not page.is_visible("#help")
    page.evaluate("document.activeElement.blur()")


@pytest.mark.parametrize(("low", "high"), [("-5", "1"), ("0.2", "1e20"), ("0.9", "0.3"), ("", "1")])
def test_a_range_that_cannot_be_is_put_back_and_says_why(shared: Scene, low: str, high: str):
    page = shared.page
    if page.is_checked("#range-auto"):
        page.uncheck("#range-auto")
    page.fill("#range-low", "0.1")
    page.press("#range-low", "Enter")
    page.fill("#range-high", "0.8")
    page.press("#range-high", "Enter")
    for end, value in (("low", low), ("high", high)):
        page.fill(f"#range-{end}", value)
        page.press(f"#range-{end}", "Enter")
    kept = [float(page.input_value(f"#range-{end}")) for end in ("low", "high")]
    assert 0.0 <= kept[0] < kept[1] <= 20.0
    assert page.input_value("#range-low") != low or page.input_value("#range-high") != high
    if low not in ("0.9",):
        assert kept[1] == (1.0 if high == "1" else 0.8)
    page.check("#range-auto")
    page.uncheck("#range-auto")
    page.fill("#range-high", "1e20")
    page.press("#range-high", "Enter")
    assert "20" in shared.text("range-refusal")
    page.check("#range-auto")
    assert shared.text("range-refusal") == ""


def test_regions_and_a_fixed_range_survive_a_reload(chromium: Any):
    with open_scene(chromium) as scene:
        scene.press(hand(5))
        scene.key("l")
        scene.key("b")
        scene.key("ArrowRight")
        scene.page.uncheck("#range-auto")
        # The upper end first: the lower one must lie below it.
        scene.page.fill("#range-high", "1.7")
        scene.page.press("#range-high", "Enter")
        scene.page.fill("#range-low", "0.1")
        scene.page.press("#range-low", "Enter")
        scene.page.evaluate("document.activeElement.blur()")
        scene.page.reload()
        assert scene.server.counters.wait_for("pages", 2, WAIT_S)
        scene.press(hand(5))
        assert not scene.page.is_checked("#range-auto")
        assert [scene.page.input_value(f"#range-{end}") for end in ("low", "high")] == [
            "0.10",
            "1.70",
        ]
        scene.page.wait_for_function(
            "document.getElementById('lesion-strain').textContent != '–'", timeout=WAIT_MS
        )
        assert scene.page.get_attribute("#images", "data-background").startswith("0.5")


def touch(scene: Scene, kind: str, points: list[tuple[float, float]]) -> None:
    if not hasattr(scene, "devtools"):
        scene.devtools = scene.page.context.new_cdp_session(scene.page)  # type: ignore[attr-defined]
    touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    scene.devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})  # type: ignore[attr-defined]
    scene.settle()


def test_a_second_finger_draws_nothing(chromium: Any):
    with open_scene(chromium, has_touch=True) as scene:
        scene.press(hand(5))
        box = scene.page.locator("#images").bounding_box()
        x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
        scene.page.click("#lesion")
        touch(scene, "touchStart", [(x, y)])
        touch(scene, "touchStart", [(x, y), (x + 90, y)])
        for step in range(1, 6):
            touch(scene, "touchMove", [(x, y), (x + 90 + 8 * step, y + 15 * step)])
        touch(scene, "touchEnd", [])
        scene.press(hand(3))
        assert scene.text("lesion-strain") == "–"
        assert scene.page.get_attribute("#lesion", "aria-pressed") == "true"
        # One finger still does.
        touch(scene, "touchStart", [(x, y)])
        for step in range(1, 6):
            touch(scene, "touchMove", [(x + 8 * step, y + 10 * step)])
        touch(scene, "touchEnd", [])
        scene.press(hand(3))
        scene.page.wait_for_function(
            "document.getElementById('lesion-strain').textContent != '–'", timeout=WAIT_MS
        )


def test_a_page_without_its_token_says_so(chromium: Any):
    settings = ViewSettings(port=0, token="correct horse")
    page = browser.watched_page(chromium, [])
    with open_viewer(settings) as server:
        page.goto(server.address.partition("?")[0])
        page.wait_for_function(
            "document.getElementById('connection').textContent != 'connecting'", timeout=WAIT_MS
        )
        assert page.inner_text("#connection") == "no access"
        assert "token" in page.inner_text("#refused")
        browser.screenshot(page, "no-access")
        page.goto(server.address)
        page.wait_for_function(
            "document.getElementById('connection').textContent == 'waiting for strain'",
            timeout=WAIT_MS,
        )
        assert not page.is_visible("#refused")
    page.context.close()
