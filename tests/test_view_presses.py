"""What the page claims of tissue that is pressed, let go and at rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from press_scene import GRID, STIFFNESS, averaged, hand, strain_frame
from viewer_scene import WAIT_MS, Scene, open_scene

pytestmark = pytest.mark.browser

INCLUSION_MM = (0.0, 16.0)
BESIDE_MM = (9.0, 16.0)


@pytest.fixture
def scene(chromium: Any) -> Iterator[Scene]:
    with open_scene(chromium) as opened:
        yield opened


def apart(a: list[float], b: list[float]) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))


def wait_for_ratio(scene: Scene) -> float:
    scene.page.wait_for_function(
        "document.getElementById('strain-ratio').dataset.value", timeout=WAIT_MS
    )
    return float(scene.page.get_attribute("#strain-ratio", "data-value"))


def test_sixty_frames_at_rest_show_no_colour_no_ratio_and_no_good_word(scene: Scene):
    scene.press([0.0])
    scene.key("l")
    scene.key("b")
    scene.watch(("strain-ratio", None), ("quality-text", None))
    # The marks of the regions are coloured, too.
    marks = scene.coloured()
    scene.press([0.0] * 59)
    scene.pause(1.1)
    scene.press([0.0])
    assert scene.coloured() <= marks + 50
    assert marks < 4000
    assert not [
        c["value"] for c in scene.changes() if "good" in c["value"] or re.search(r"\d", c["value"])
    ]
    assert scene.text("strain-ratio") == "–"


def test_at_rest_the_page_asks_for_a_press(scene: Scene):
    scene.press(hand(10, peak=0.002))
    scene.wait_for_text("hint", "harder")
    scene.pause(2.1)
    scene.press([0.0] * 3)
    scene.wait_for_text("hint", "at rest")
    assert scene.page.get_attribute("#images", "data-shows") == "rest"
    browser.screenshot(scene.page, "at-rest")


def test_a_pair_that_does_not_match_asks_to_hold_still_and_shows_nothing(scene: Scene):
    scene.press(hand(10))
    scene.pause(2.1)
    scene.press([-0.03] * 4, correlation=0.3)
    scene.wait_for_text("hint", "do not match")
    assert scene.page.get_attribute("#images", "data-shows") == "rest"


def test_the_strain_ratio_does_not_jump_while_the_hand_turns_and_rests(scene: Scene):
    scene.press([0.0])
    scene.key("l")
    scene.key("b")
    scene.watch(("strain-ratio", None))
    scene.press([*hand(40), *[0.0] * 5, *hand(20), *[0.0] * 5])
    wait_for_ratio(scene)
    shown = [c["value"] for c in scene.changes()]
    numbers = [
        float(re.match(r"[−\d.]+", text)[0].replace("−", "-")) for text in shown if text != "–"
    ]  # type: ignore[index]
    assert numbers
    assert numbers == pytest.approx([STIFFNESS] * len(numbers), rel=0.06)


def test_the_strain_ratio_is_a_figure_to_write_down(scene: Scene):
    # Few frames, so that a busy machine shows them all within the seconds that the page keeps.
    applied = hand(24, period=8)
    scene.press(applied[:1])
    scene.key("l")
    scene.key("b")
    scene.press([*applied[1:], -0.009])
    scene.wait_for_text("ratio-of", "4 presses")
    ratio, half_width = map(float, scene.text("strain-ratio").split(" ± "))
    assert abs(ratio - STIFFNESS) < 0.1
    assert 0.0 < half_width < 0.2
    assert re.fullmatch(r"\d+ frames, 4 presses", scene.text("ratio-of"))
    browser.screenshot(scene.page, "in-the-press")


def test_regions_of_which_one_does_not_follow_the_press_have_no_ratio(scene: Scene):
    scene.press(hand(5))
    scene.key("l")
    scene.key("b")
    backwards = [-f for f in hand(20)]
    # The stated strain has the opposite sign of what the regions show.
    for applied in backwards:
        scene.show(strain_frame(scene.sent, applied).replace(applied_strain=-applied))
    scene.wait_for_text("ratio-of", "not valid")
    assert scene.text("strain-ratio") == "–"


def test_press_and_release_give_the_same_picture_and_figures(scene: Scene):
    scene.press([-0.01])
    scene.key("l")
    scene.key("b")
    scene.press([-0.01] * 3)
    scene.wait_for_text("ratio-of", "4 frames")
    press = scene.text("lesion-strain"), scene.colour_at(*BESIDE_MM)
    scene.press([0.01] * 3)
    scene.wait_for_text("ratio-of", "7 frames")
    release = scene.text("lesion-strain"), scene.colour_at(*BESIDE_MM)
    assert float(press[0].split()[0]) == pytest.approx(float(release[0].split()[0]), abs=0.02)
    assert float(press[0].split()[0]) == pytest.approx(1.0 / STIFFNESS, abs=0.02)
    assert apart(press[1], release[1]) < 12


def test_regions_are_carried_along_with_the_tissue(scene: Scene):
    scene.press([-1e-4])
    scene.key("l")
    x_mm, z_mm = map(float, scene.page.get_attribute("#images", "data-lesion").split())
    scene.press([-1e-4] * 20, shift_m=5e-5)
    moved = list(map(float, scene.page.get_attribute("#images", "data-lesion").split()))
    expected = 20 * 0.05 - 21 * 1e-4 * (z_mm - 1.0)
    assert moved[0] == pytest.approx(x_mm, abs=0.02)
    # The first of the pairs did not shift yet.
    assert moved[1] - z_mm == pytest.approx(expected, abs=0.08)
    scene.key("Space")
    for _ in range(20):
        scene.page.keyboard.press("Escape")
        scene.key("ArrowLeft")
    assert scene.seq() == 0
    back = list(map(float, scene.page.get_attribute("#images", "data-lesion").split()))
    assert back == pytest.approx([x_mm, z_mm], abs=0.02)


def test_scrolling_back_shows_a_frame_as_it_was_seen_live(scene: Scene):
    picture = "document.getElementById('images').toDataURL()"
    scene.press([-0.004] * 3)
    live = scene.page.evaluate(picture)
    softest = scene.page.input_value("#range-high")
    scene.press([0.012] * 12)
    # The range follows the press.
    scene.page.wait_for_function(
        "(before) => document.getElementById('range-high').value !== before",
        arg=softest,
        timeout=WAIT_MS,
    )
    assert scene.page.evaluate(picture) != live
    scene.key("Space")
    for _ in range(12):
        scene.key("ArrowLeft")
    assert scene.seq() == 2
    assert scene.page.evaluate(picture) == live
    assert scene.text("applied") == "press −0.40 %"
    assert scene.text("scroll-age").startswith("−")


def test_after_a_gap_the_picture_holds_nothing_from_before(scene: Scene):
    scene.page.evaluate(
        "localStorage.setItem('rtelasto.display', JSON.stringify({ persistence: 8, opacity: 100 }))"
    )
    scene.page.reload()
    assert scene.server.counters.wait_for("pages", 2, WAIT_MS)
    scene.press([-0.01] * 8)
    scene.pause(1.5)
    uniform = np.full(GRID.shape, -0.01, np.float32)
    uniform[:, ::2] *= 1.1
    scene.show(strain_frame(scene.sent, -0.01).replace(axial_strain=uniform))
    assert apart(scene.colour_at(*INCLUSION_MM), scene.colour_at(*BESIDE_MM)) < 8


def test_one_wild_pixel_does_not_take_the_picture_away(scene: Scene):
    frame = strain_frame(0, -0.01)
    frame.axial_strain[3, 3] = 1e6
    frame.axial_strain[9, 30] = -0.9
    scene.show(frame)
    assert apart(scene.colour_at(*INCLUSION_MM), scene.colour_at(*BESIDE_MM)) > 60


def test_the_best_press_stays(scene: Scene):
    scene.press(hand(20, peak=0.003))
    scene.pause(1.1)
    scene.press(hand(20, peak=0.01))
    scene.pause(1.1)
    scene.press(hand(20, peak=0.004))
    scene.pause(1.1)
    scene.press([0.0] * 3)
    scene.key("g")
    assert scene.page.is_visible("#frozen")
    assert 20 <= scene.seq() < 40
    assert scene.page.get_attribute("#images", "data-shows") == "strain"
    browser.screenshot(scene.page, "best-press")
    scene.key("g")
    scene.key("Space")
    assert scene.seq() == scene.sent - 1


def test_the_trace_is_the_scroll_bar(scene: Scene):
    scene.press(hand(20))
    box = scene.page.locator("#scroll").bounding_box()
    scene.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    scene.settle()
    assert scene.page.is_visible("#frozen")
    assert scene.seq() == 0
    scene.key("ArrowRight")
    assert scene.seq() == 1


def test_relative_strain_is_shown_first_with_what_it_is_an_average_of(scene: Scene):
    scene.press(hand(10), average=averaged(2))
    scene.press([-0.01], average=averaged(3))
    scene.wait_for_text("picture-of", "^3 presses, 24 frames, 1.5 s$")
    assert scene.page.input_value("#mode") == "relative"
    assert [scene.page.input_value(f"#range-{end}") for end in ("low", "high")] == ["0.25", "4.00"]
    assert not scene.page.is_checked("#range-auto")
    average, stiff = scene.colour_at(*BESIDE_MM), scene.colour_at(*INCLUSION_MM)
    assert apart(average, stiff) > 40
    browser.screenshot(scene.page, "relative")
    # Its colours mean the same in every picture: another press changes nothing.
    scene.press([-0.004], average=averaged(3))
    assert apart(scene.colour_at(*BESIDE_MM), average) < 3
    scene.key("i")
    assert scene.page.input_value("#mode") == "instantaneous"
    assert scene.page.is_checked("#range-auto")
    assert scene.text("picture-of") == "one pair of frames"


def test_relative_strain_before_the_first_press_shows_nothing(scene: Scene):
    scene.press([0.0] * 20, average=averaged(0))
    assert scene.coloured() < 50
    assert scene.page.get_attribute("#images", "data-shows") == "rest"


def test_an_average_that_stays_at_rest_says_its_age_and_goes_when_old(scene: Scene):
    scene.press(hand(10), average=averaged(2))
    scene.press([0.0], average=averaged(2, age_s=3.2))
    scene.wait_for_text("picture-of", "3.2 s old$")
    assert scene.page.get_attribute("#images", "data-shows") == "strain"
    scene.pause(1.1)
    scene.press([0.0], average=averaged(2, age_s=14.0))
    scene.pause(1.1)
    scene.press([0.0], average=averaged(2, age_s=15.0))
    assert scene.page.get_attribute("#images", "data-shows") == "rest"


def test_uncertain_strain_is_dimmed(scene: Scene):
    frame = strain_frame(0, -0.01)
    scene.send(frame, averaged(2))
    scene.settle()
    scene.page.wait_for_selector("#images[data-seq='0']", timeout=WAIT_MS)
    sure = scene.colour_at(*BESIDE_MM)
    colour = max(sure) - min(sure)
    scene.publisher.write_average(frame, averaged(2), std=0.4)
    scene.page.wait_for_selector("#images[data-seq='1']", timeout=WAIT_MS)
    unsure = scene.colour_at(*BESIDE_MM)
    assert max(unsure) - min(unsure) < 0.6 * colour


def test_one_key_saves_picture_figures_and_settings_together(scene: Scene, tmp_path: Path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    scene.press(hand(5))
    scene.key("l")
    scene.key("b")
    scene.press(hand(60))
    with scene.page.expect_download(timeout=WAIT_MS) as download:
        scene.page.keyboard.press("s")
    path = tmp_path / "saved.png"
    download.value.save_as(path)
    with image.open(path) as picture:
        picture.load()
        record = json.loads(picture.text["rtelasto"])
        width, height = picture.size
    canvas = scene.page.locator("#images").bounding_box()
    assert width == round(canvas["width"])
    assert height > canvas["height"]
    assert record["figures"]["strain_ratio"]["ratio"] == pytest.approx(STIFFNESS, rel=0.05)
    assert record["settings"]["maskBelow"] == 70
    assert record["settings"]["regions"]["lesion"]["rxMm"] > 0
    assert record["frame_ids"] == [scene.seq(), scene.seq() + 1]
    assert record["engine"] == "ncc"
    assert record["colours_from"]["high"] > record["colours_from"]["low"]
    assert "Not a medical device" in record["notice"]
    assert download.value.suggested_filename.startswith("rtelasto-")


def test_saving_works_under_the_page_s_own_security_policy(chromium: Any):
    with open_scene(chromium, bypass_csp=False) as scene:
        for number, strain in enumerate(hand(3)):
            scene.send(strain_frame(number, strain))
            scene.page.wait_for_selector(f"#images[data-seq='{number}']", timeout=WAIT_MS)
        with scene.page.expect_download(timeout=WAIT_MS) as download:
            scene.page.keyboard.press("s")
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
