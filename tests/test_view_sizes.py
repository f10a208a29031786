"""That nothing lies over anything else from 320 to 2560 pixels and from half to threefold size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from press_scene import averaged, hand
from viewer_scene import Scene, open_scene

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
AXE = [ROOT / "node_modules/axe-core/axe.min.js", ROOT / "build/node_modules/axe-core/axe.min.js"]
# Parts of the page that are visible and have no other such part within them; which of them overlap.
OVERLAPS = """() => {
  const parts = [...document.querySelectorAll(
    "header > *, #images, #cine > *, aside .card > *, .row > *, #measures > div, footer > *")];
  const seen = parts.filter((e) => e.getClientRects().length && !e.classList.contains("unseen"));
  const leaves = seen.filter((e) => !seen.some((other) => other !== e && e.contains(other)));
  const found = [];
  for (const [i, a] of leaves.entries()) {
    const [p, panel] = [a.getBoundingClientRect(), a.closest("aside")];
    for (const b of leaves.slice(i + 1)) {
      // What a panel that scrolls keeps out of sight covers nothing.
      const q = b.getBoundingClientRect();
      if ((panel || b.closest("aside")) && panel !== b.closest("aside")) {
        const [side, other] = panel ? [p, q] : [q, p];
        const frame = document.querySelector("aside").getBoundingClientRect();
        if (side.bottom > frame.bottom + 1 || side.top < frame.top - 1) continue;
        if (other.bottom <= side.top) continue;
      }
      const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (across > 1 && down > 1) found.push([a, b].map((e) => e.id || e.className || e.tagName).join(" "));
    }
  }
  return found;
}"""
# Words that do not fit into their part.
CLIPPED = """() => [...document.querySelectorAll("button, h1, .state, .notice, output, #hint, dd")]
  .filter((e) => e.getClientRects().length && e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.id || e.textContent)"""


@pytest.fixture(scope="module")
def scene(chromium: Any) -> Iterator[Scene]:
    with open_scene(chromium) as opened:
        opened.press(hand(12), average=averaged(2))
        opened.key("l")
        opened.key("b")
        opened.key("Space")
        yield opened


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (320, 568),
        (360, 300),
        (390, 844),
        (429, 700),
        (620, 500),
        (640, 400),
        (740, 320),
        (768, 1024),
        (1280, 800),
        (1920, 1080),
        (2560, 1440),
        # 1280 × 800 at 300 %, (above) 200 %, 150 %, 67 % and 50 %.
        (427, 267),
        (853, 533),
        (1920, 1200),
        (2560, 1600),
    ],
)
def test_nothing_overlaps(scene: Scene, width: int, height: int):
    scene.page.set_viewport_size({"width": width, "height": height})
    scene.settle()
    scene.settle()
    browser.screenshot(scene.page, f"size-{width}x{height}")
    root = "document.documentElement"
    assert scene.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert scene.page.evaluate(OVERLAPS) == []
    assert scene.page.evaluate(CLIPPED) == []
    images = scene.page.locator("#images").bounding_box()
    assert images["width"] >= 240
    assert images["height"] >= 110


def test_axe_finds_nothing_serious(scene: Scene):
    script = next((path for path in AXE if path.exists()), None)
    if script is None:
        pytest.skip("axe-core is not installed (npm install --prefix build axe-core)")
    scene.page.set_viewport_size({"width": 1280, "height": 800})
    scene.page.add_script_tag(path=script)
    for dialog in (False, True):
        if dialog:
            scene.key("?")
        found = scene.page.evaluate("axe.run()")
        serious = [
            (v["id"], [node["html"] for node in v["nodes"]])
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == []
    scene.key("Escape")
