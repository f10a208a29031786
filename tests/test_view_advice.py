"""What the page tells the hand: advice in words, which frames and presses are good, and figures to trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from press_scene import GRID, hand, strain_frame
from viewer_scene import Scene, open_scene

pytestmark = pytest.mark.browser

# Columns of the trace whose mark of a good frame is drawn.
GOOD_MARKS = """() => {
  const canvas = document.getElementById("trace");
  const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const columns = new Set();
  // The star of the best press is above.
  for (let y = height >> 1; y < height; y++) for (let x = 0; x < width; x++) {
    const [r, g, b] = data.subarray(4 * (y * width + x));
    if (g > 180 && r < 170 && b < 130) columns.add(x);
  }
  return columns.size;
}"""
# Scores of presses, of which each is a list of applied strains (in %) and one correlation.
SCORES = """async (presses) => {
  const { PressFinder } = await import("/press.js");
  return presses.map(([percents, quality]) => {
    const finder = new PressFinder();
    const frames = percents.map((percent, i) => ({
      stream: "s", grid: {}, arrivedMs: 50 * i, appliedStrain: -percent / 100, quality }));
    return frames.map((frame) => finder.add(frame)).at(-1).score;
  });
}"""


@pytest.fixture
def scene(chromium: Any) -> Iterator[Scene]:
    with open_scene(chromium) as opened:
        yield opened


@pytest.mark.parametrize(
    ("peak", "words"),
    [
        (0.003, "press a little harder"),
        (0.01, "good: keep pressing like this"),
        (0.025, "press more slowly"),
    ],
)
def test_the_page_says_how_to_press(scene: Scene, peak: float, words: str):
    scene.press(hand(20, peak=peak))
    scene.wait_for_text("hint", f"^{words}$")


def test_the_page_says_how_much_of_the_picture_failed(scene: Scene):
    scene.press(hand(5))
    scene.wait_for_text("poor-share", "^–$")
    for applied in hand(20):
        scene.show(strain_frame(scene.sent, applied).replace(poor_share=0.07))
    scene.wait_for_text("poor-share", "^7 %$")


def test_good_frames_are_marked_on_the_trace(scene: Scene):
    scene.press([-0.002] * 20)
    assert scene.page.evaluate(GOOD_MARKS) == 0
    scene.press([-0.008] * 20)
    assert scene.page.evaluate(GOOD_MARKS) > 0


def test_a_press_scores_by_its_strain_its_agreement_and_the_steadiness_of_the_hand(scene: Scene):
    steady = (100.0 * -np.array(hand(10))).tolist()
    trembling = [percent * (0.5 if i % 2 else 1.0) for i, percent in enumerate(steady)]
    weak = [0.4 * percent for percent in steady]
    best, *others = scene.page.evaluate(
        SCORES, [[steady, 0.95], [trembling, 0.95], [weak, 0.95], [steady, 0.75]]
    )
    assert best > 0.7
    assert all(score < 0.7 * best for score in others)


def test_presses_that_differ_too_much_have_no_strain_ratio(scene: Scene):
    scene.press([-0.01])
    scene.key("l")
    scene.key("b")
    rows = np.arange(GRID.shape[1])
    for i, applied in enumerate(hand(60)):
        # In every second press and release the deep tissue hardly strains.
        factor = np.where((rows < 80) | (i // 10 % 2), 1.0, 0.1).astype(np.float32)
        frame = strain_frame(scene.sent, applied)
        scene.show(frame.replace(axial_strain=frame.axial_strain * factor))
    scene.wait_for_text("ratio-of", "presses differ too much")
    assert scene.text("strain-ratio") == "–"
