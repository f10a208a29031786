"""That the page is calm: nothing strobes, nothing is called old that comes evenly, figures can be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the view extra is not installed")

from press_scene import hand, strain_frame
from viewer_scene import WAIT_MS, Scene, open_scene

pytestmark = pytest.mark.browser

LIVENESS = (
    ("body", "data-liveness"),
    ("connection", "data-state"),
    ("not-live", "hidden"),
)


@pytest.fixture
def scene(chromium: Any) -> Iterator[Scene]:
    with open_scene(chromium, stale_ms=250.0) as opened:
        yield opened


def most_within_a_second(changes: list[dict[str, Any]]) -> dict[str, int]:
    """For each state the most changes within any second (and a tenth, for the page's own timers)."""
    most: Counter[str] = Counter()
    for what in {change["what"] for change in changes}:
        times = [change["ms"] for change in changes if change["what"] == what]
        most[what] = max(sum(t <= other < t + 900 for other in times) for t in times)
    return dict(most)


def test_not_live_does_not_strobe_when_frames_come_too_slowly(scene: Scene):
    scene.at_rate(hand(3), 0.3)
    scene.watch(*LIVENESS)
    # Each ages beyond the limit before the next comes, which is fresh again.
    for i in range(12):
        scene.at_rate(hand(1), 0.3 if i % 2 else 0.5)
    changes = scene.changes()
    assert max(most_within_a_second(changes).values(), default=0) <= 1
    assert len(changes) <= 2 * len(LIVENESS)


# The page's own words of how live it is, by a clock that stands still between two looks.
BY_THE_CLOCK = """async ({ seconds, periodMs, lateMs, limitMs, ages, stale }) => {
  const { Liveness } = await import("/liveness.js");
  const real = performance.now;
  let now = real.call(performance);
  performance.now = () => now;
  const liveness = new Liveness();
  liveness.limitMs = limitMs;
  const states = [];
  for (let t = 0, sent = 0; t < 1000 * seconds; t += 50, now += 50) {
    liveness.received();
    if (t >= sent * periodMs + lateMs[sent % lateMs.length]) {
      const ageMs = ages[0] + sent * ages[1];
      liveness.take({ stream: "s", stale, ageMs, creditMs: now, heldMs: 0, arrivedMs: now });
      sent += 1;
    }
    liveness.show(false);
    states.push(document.body.dataset.liveness);
  }
  performance.now = real;
  return states;
}"""


def states(
    scene: Scene,
    period_ms: float,
    ages: tuple[float, float],
    *,
    stale: bool,
    late_ms: Sequence[float] = (0,),
) -> list[str]:
    """Of ten seconds, 20 a second: frames of a first age that grows by the second with each.

    They arrive late by ``late_ms``, in turn.
    """
    given = {
        "seconds": 10,
        "periodMs": period_ms,
        "lateMs": list(late_ms),
        "limitMs": 250,
        "ages": list(ages),
        "stale": stale,
    }
    return list(scene.page.evaluate(BY_THE_CLOCK, given))


@pytest.mark.parametrize("stale", [False, True])
def test_a_busy_machine_whose_frames_come_evenly_is_live(scene: Scene, stale: bool):
    # Four frames in a queue, at 5 strain frames a second.
    seen = states(scene, 200, (204, 0), stale=stale)
    assert set(seen[60:]) == {"live"}


@pytest.mark.parametrize(("period_ms", "age_ms"), [(200, 210), (300, 350)])
def test_a_busy_machine_whose_frames_come_a_little_early_or_late_is_live(
    scene: Scene, period_ms: float, age_ms: float
):
    late_ms = [0.75 * period_ms * late for late in (0.0, 0.6, 0.2, 1.0, 0.4)]
    seen = states(scene, period_ms, (age_ms, 0), stale=True, late_ms=late_ms)
    assert set(seen) == {"live"}


def test_frames_that_age_are_called_not_live_although_they_come_evenly(scene: Scene):
    seen = states(scene, 100, (50, 10), stale=False)
    assert seen[40] == "live"
    assert set(seen[-60:]) == {"stale"}


def test_frames_once_a_second_are_not_live_all_the_time_and_do_not_strobe(scene: Scene):
    assert set(states(scene, 1000, (50, 0), stale=False)[40:]) == {"stale"}


def test_going_on_after_a_freeze_does_not_flash_not_live(chromium: Any):
    with open_scene(chromium, stale_ms=3000.0) as scene:
        scene.press(hand(3))
        scene.key("Space")
        scene.at_rate(hand(35), 0.1)
        scene.watch(*LIVENESS)
        scene.page.keyboard.press("Space")
        scene.at_rate(hand(5), 0.1)
        assert "stale" not in [change["value"] for change in scene.changes()]
        assert "not-live hidden" not in [change["what"] for change in scene.changes()]
        assert scene.text("connection") == "live"


def test_figures_and_words_change_at_most_once_a_second(scene: Scene):
    scene.press(hand(2))
    scene.key("l")
    scene.key("b")
    scene.pause(1.5)
    scene.watch(
        ("strain-ratio", None),
        ("frame-ratio", None),
        ("lesion-strain", None),
        ("background-strain", None),
        ("ratio-of", None),
        ("snre", None),
        ("cnre", None),
        ("picture-of", None),
        ("range-low", "value"),
        ("range-high", "value"),
        ("best", "disabled"),
        ("overload", None),
        ("quality-text", None),
        ("applied", None),
        ("hint", None),
        ("quality", "data-level"),
        ("images", "data-shows"),
        ("health-rates", None),
        *LIVENESS,
    )
    # Presses, rests, and pairs that do not match, all faster than anything can be read.
    for i in range(100):
        kind = i % 10
        frame = strain_frame(
            scene.sent,
            0.0 if kind < 3 else -0.01,
            correlation=0.4 if kind > 7 else 0.9 + 0.001 * (i % 7),
        )
        scene.send(frame)
        scene.pause(0.04)
    changes = scene.changes()
    assert changes
    most = most_within_a_second(changes)
    too_often = [change for change in changes if most[change["what"]] > 1]
    assert not too_often


def test_figures_of_the_last_frame_are_shown_when_no_frame_follows(chromium: Any):
    with open_scene(chromium) as scene:
        scene.press(hand(3))
        scene.key("l")
        scene.key("b")
        scene.press(hand(20))
        scene.press([-0.004])
        # A second is not over since the last figures.
        scene.wait_for_text("background-strain", r"^0\.4")
        scene.wait_for_text("lesion-strain", r"^0\.1")
        assert scene.text("ratio-of").startswith("24 frames")


def test_strain_of_the_last_frame_is_shown_when_no_frame_follows(chromium: Any):
    with open_scene(chromium) as scene:
        scene.press([-0.01])
        scene.pause(1.1)
        scene.press([0.0])
        assert scene.page.get_attribute("#images", "data-shows") == "rest"
        # Too soon after the last change.
        scene.press([-0.01])
        scene.page.wait_for_selector("#images[data-shows='strain']", timeout=WAIT_MS)


def test_overload_says_how_many_frames_are_shown(scene: Scene):
    scene.publisher.write_status({"received": 40.0, "strain.out": 5.0}, {"received": 400})
    for strain in hand(60):
        scene.at_rate([strain], 0.1)
        if re.fullmatch(r"\d+ of 40 frames/s shown", scene.text("overload")):
            break
    assert re.fullmatch(r"\d+ of 40 frames/s shown", scene.text("overload"))
    assert scene.text("connection") == "live"
    assert not scene.page.is_visible("#not-live")


def test_a_page_that_keeps_up_says_nothing_of_it(scene: Scene):
    scene.publisher.write_status({"received": 5.0, "strain.out": 5.0}, {"received": 50})
    scene.page.wait_for_function(
        "document.getElementById('health-rates').textContent.startsWith('in 5.0')",
        timeout=WAIT_MS,
    )
    scene.at_rate(hand(30), 0.1)
    assert scene.text("overload") == ""
