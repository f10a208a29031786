"""A viewer's page in a real browser, which gets frames one by one through real sockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import browser
import press_scene
from waiting import WAIT_S

from rtelasto.frames.strain import StrainFrame
from rtelasto.outputs.viewer import ViewSettings, open_viewer

WAIT_MS = 1e3 * WAIT_S
SEQ = "Number(document.getElementById('images').dataset.seq ?? -1)"
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Pixels of the images that are neither grey nor dark: strain colours.
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
# Mean colour of the strain image around a point in mm.
COLOUR_AT = """async ({ xMm, zMm, grid }) => {
  const { layOut } = await import("/layout.js");
  const canvas = document.getElementById("images");
  const { extent, scale, strain } = layOut(canvas.clientWidth, canvas.clientHeight, grid);
  const ratio = window.devicePixelRatio;
  const x = ratio * (strain.x + (xMm - extent.left) * scale) - 6;
  const y = ratio * (strain.y + (zMm - extent.top) * scale) - 6;
  const { data } = canvas.getContext("2d").getImageData(x, y, 12, 12);
  const mean = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c++) mean[c] += data[i + c] / 144;
  return mean;
}"""
# Every change of an element's text, attribute or entry ("value"), with its time, in `window.changes`.
WATCH = """(wanted) => {
  window.changes = [];
  for (const [id, attribute] of wanted) {
    const element = id === "body" ? document.body : document.getElementById(id);
    const isEntry = attribute === "value";
    const read = () =>
      isEntry ? element.value : attribute ? element.getAttribute(attribute) : element.textContent;
    let last = read();
    const look = () => {
      if (read() === last) return;
      last = read();
      const what = attribute ? `${id} ${attribute}` : id;
      window.changes.push({ what, value: last, ms: performance.now() });
    };
    const options = attribute
      ? { attributeFilter: [attribute] }
      : { childList: true, characterData: true, subtree: true };
    if (isEntry) {
      // Observers are not told of entries.
      const entry = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
      Object.defineProperty(element, "value", {
        get: () => entry.get.call(element),
        set: (value) => { entry.set.call(element, value); look(); },
      });
    } else {
      new MutationObserver(look).observe(element, options);
    }
  }
}"""


class Scene:
    """A publisher, a viewer and its page; ``faults`` are the errors in the page's console."""

    def __init__(self, publisher: press_scene.ScenePublisher, server: Any, page: Any) -> None:
        self.publisher = publisher
        self.server = server
        self.page = page
        self.sent = 0

    def send(self, frame: StrainFrame, average: dict[str, float] | None = None) -> None:
        """Publish a frame, with relative strain if it describes its average."""
        if average is None:
            self.publisher.write(frame)
        else:
            self.publisher.write_average(frame, average)
        self.sent += 1

    def show(self, frame: StrainFrame, average: dict[str, float] | None = None) -> None:
        """Publish a frame and wait until the page has drawn it."""
        self.send(frame, average)
        self.page.wait_for_function(f"{SEQ} >= {self.sent - 1}", timeout=WAIT_MS)

    def press(
        self, applied: Iterable[float], *, average: dict[str, float] | None = None, **options: float
    ) -> None:
        """Show a pair for each applied strain."""
        for strain in applied:
            self.show(press_scene.strain_frame(self.sent, strain, **options), average)

    def pause(self, seconds: float) -> None:
        """Wait in the page; only for tests of timing."""
        self.page.wait_for_timeout(1e3 * seconds)

    def at_rate(self, applied: Iterable[float], interval_s: float, **replaced: Any) -> None:
        """Publish pairs at a fixed rate, without waiting until they are drawn."""
        for strain in applied:
            self.send(press_scene.strain_frame(self.sent, strain).replace(**replaced))
            self.pause(interval_s)

    def settle(self) -> None:
        self.page.evaluate(SETTLED)

    def key(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.settle()

    def seq(self) -> int:
        return int(self.page.evaluate(SEQ))

    def coloured(self) -> int:
        return int(self.page.evaluate(COLOURED))

    def colour_at(self, x_mm: float, z_mm: float) -> list[float]:
        grid = press_scene.GRID
        sides = {
            "nLines": grid.n_lines,
            "nDepths": grid.n_depths,
            "axialStepMm": 1e3 * grid.axial_step_m,
            "linePitchMm": 1e3 * grid.line_pitch_m,
            "startDepthMm": 1e3 * grid.start_depth_m,
        }
        place = {"xMm": x_mm, "zMm": z_mm, "grid": sides}
        return [float(value) for value in self.page.evaluate(COLOUR_AT, place)]

    def wait_for_text(self, element: str, pattern: str) -> None:
        """Wait until the text of an element contains a match of ``pattern`` (a regular expression)."""
        self.page.wait_for_function(
            "([id, pattern]) => new RegExp(pattern).test(document.getElementById(id).textContent)",
            arg=[element, pattern],
            timeout=WAIT_MS,
        )

    def text(self, element: str) -> str:
        return str(self.page.inner_text(f"#{element}"))

    def watch(self, *wanted: tuple[str, str | None]) -> None:
        self.page.evaluate(WATCH, [list(each) for each in wanted])

    def changes(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("window.changes"))


@contextmanager
def open_scene(
    chromium: Any, *, stale_ms: float = 10_000.0, wait: bool = True, **options: Any
) -> Iterator[Scene]:
    """A scene that closes at the end of the block; errors in the page's console fail the test."""
    faults: list[str] = []
    settings = {"viewport": {"width": 1280, "height": 800}, "accept_downloads": True, **options}
    page = browser.watched_page(chromium, faults, **settings)
    with (
        press_scene.ScenePublisher("tcp://127.0.0.1:0") as publisher,
        open_viewer(ViewSettings(strain=publisher.endpoint, port=0, stale_ms=stale_ms)) as server,
    ):
        page.goto(server.address)
        assert publisher.wait_for_subscriber(WAIT_S)
        assert server.counters.wait_for("pages", 1, WAIT_S)
        yield Scene(publisher, server, page)
        page.context.close()
    assert not faults
