// The page: frames come in, the newest is drawn at the next repaint, then the next one is asked for.

import { Cine } from "./cine.js";
import { COLOURS } from "./colours.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Rate, healthTexts } from "./health.js";
import { KEYS, keyName, listen } from "./keys.js";
import { extentMm } from "./layout.js";
import { Liveness } from "./liveness.js";
import { followPointer } from "./pointer.js";
import { loadPreferences } from "./preferences.js";
import { DynamicRange } from "./range.js";
import { showHealth, showMeasures, showPress } from "./readings.js";
import { Regions } from "./regions.js";
import { Stage } from "./stage.js";
import { Trace } from "./trace.js";
import { direction, latestOf, shownStrain } from "./values.js";
import { ageNowMs } from "./wire.js";

const byId = (id) => document.getElementById(id);
// How soon it shows that no frames come, and how often rates are told.
const LIVENESS_MS = 100;
const HEALTH_MS = 500;
const NUDGE_MM = 0.5;

const preferences = loadPreferences();
const range = new DynamicRange();
const regions = new Regions();
const cine = new Cine();
const liveness = new Liveness();
const stage = new Stage(byId("images"));
const trace = new Trace(byId("trace"));
const shownRate = new Rate();
const controls = new Controls(preferences, range, repaint);

let status = null;
let age = null;
let lastDirection = -1;
let tool = null;
let profileMm = null;
let pinned = false;
let values = null;
let painting = false;
let owesCredit = false;

const connection = new Connection({
  onFrame(frame) {
    liveness.heard();
    liveness.newest = frame;
    frame.direction = lastDirection = direction(frame, lastDirection);
    trace.add(frame);
    owesCredit = true;
    if (cine.add(frame)) showPress(frame);
    repaint();
  },
  onStatus(news) {
    liveness.heard();
    liveness.limitMs = news.stale_ms;
    status = news;
    showRates();
  },
  onLost() {
    liveness.connected = false;
    owesCredit = false;
    showLiveness();
  },
});

/** Paint at the next repaint of the screen, once for all changes until then. */
function repaint() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    paint();
    if (owesCredit) {
      owesCredit = false;
      connection.grant();
    }
  });
}

function paint() {
  const frame = cine.shown;
  trace.draw();
  if (!frame) return;
  const maskBelow = preferences.maskBelow / 100;
  values = shownStrain(latestOf(cine.frames, cine.index, preferences.persistence), maskBelow, values);
  if (!cine.frozen) range.update(frame, values);
  if (!cine.frozen && owesCredit) {
    shownRate.add(performance.now());
    age = { ms: ageNowMs(frame), from: frame.ageFrom };
    // For whoever reads the page by program, as is the frame's number.
    byId("images").dataset.ageMs = age.ms.toFixed(1);
  }
  stage.draw({
    frame,
    values,
    range,
    colours: COLOURS[preferences.colours].pixels,
    opacity: preferences.opacity / 100,
    regions,
    profileMm,
  });
  if (!cine.frozen) liveness.drawn = frame;
  showMeasures(frame, regions.shapes, maskBelow);
  controls.showRange();
  showCine();
  showLiveness();
}

function showCine() {
  const scroll = byId("scroll");
  scroll.max = cine.frames.length - 1;
  scroll.value = cine.index;
  scroll.disabled = !cine.frozen;
  byId("scroll-age").value = cine.frozen ? `−${cine.secondsBack.toFixed(2)} s` : "newest";
  byId("frozen").hidden = !cine.frozen;
  byId("freeze").setAttribute("aria-pressed", cine.frozen);
}

function showLiveness() {
  liveness.show(cine.frozen);
}

function showRates() {
  const shown = liveness.state === "live" ? age : null;
  showHealth(healthTexts(status, shownRate.perSecond(performance.now()), shown));
}

function freeze() {
  cine.frozen = !cine.frozen && cine.shown !== null;
  if (!cine.frozen) cine.goTo(cine.frames.length - 1);
  showCine();
  repaint();
}

function choose(name) {
  tool = tool === name ? null : name;
  showTool();
}

function showTool() {
  for (const name of ["lesion", "background"]) byId(name).setAttribute("aria-pressed", tool === name);
}

/** By key: place a region if there is none, and select it. */
function placeRegion(name) {
  if (!cine.shown) return;
  if (!regions.shapes[name]) regions.place(name, extentMm(cine.shown.grid));
  regions.selected = name;
  repaint();
}

function arrow(dx, dz) {
  return (event) => {
    if (regions.selected && cine.shown) {
      regions.nudge(dx * NUDGE_MM, dz * NUDGE_MM, event.shiftKey, extentMm(cine.shown.grid));
    } else if (cine.frozen && dx) {
      cine.goTo(cine.index + dx);
    }
    repaint();
  };
}

function moveProfile(sign) {
  if (!cine.shown) return;
  const { grid } = cine.shown;
  const { left, right } = extentMm(grid);
  const half = 0.5 * grid.linePitchMm;
  const next = (profileMm ?? 0) + sign * grid.linePitchMm;
  profileMm = Math.min(right - half, Math.max(left + half, next));
  pinned = true;
  repaint();
}

listen({
  freeze,
  left: arrow(-1, 0),
  right: arrow(1, 0),
  up: arrow(0, -1),
  down: arrow(0, 1),
  colours: () => controls.nextColours(),
  opaque: () => controls.addOpacity(5),
  transparent: () => controls.addOpacity(-5),
  range: () => controls.setAuto(!range.auto),
  maskUp: () => controls.addMask(5),
  maskDown: () => controls.addMask(-5),
  persistence: () => controls.nextPersistence(),
  lesion: () => placeRegion("lesion"),
  background: () => placeRegion("background"),
  clear: () => {
    regions.clear();
    repaint();
  },
  profile: () => {
    pinned = profileMm === null;
    profileMm = pinned ? 0 : null;
    repaint();
  },
  profileLeft: () => moveProfile(-1),
  profileRight: () => moveProfile(1),
  release: () => {
    regions.selected = null;
    tool = null;
    showTool();
    repaint();
  },
  help: () => byId("help").showModal(),
});

followPointer(stage, regions, {
  tool: () => tool,
  drawn: () => {
    tool = null;
    showTool();
  },
  profile: (mm) => {
    if (pinned && mm === null) return;
    pinned = false;
    profileMm = mm;
    repaint();
  },
  changed: repaint,
});

byId("freeze").onclick = freeze;
byId("lesion").onclick = () => choose("lesion");
byId("background").onclick = () => choose("background");
byId("clear").onclick = () => {
  regions.clear();
  repaint();
};
byId("scroll").oninput = (event) => {
  cine.goTo(Number(event.target.value));
  repaint();
};
byId("help-open").onclick = () => byId("help").showModal();
for (const [codes, text] of KEYS) {
  byId("keys").append(
    Object.assign(document.createElement("dt"), { textContent: keyName(codes[0]) }),
    Object.assign(document.createElement("dd"), { textContent: text }),
  );
}
new ResizeObserver(repaint).observe(byId("stage"));
// A page out of sight is woken seldom: it must be right when it is looked at again.
document.addEventListener("visibilitychange", showLiveness);
setInterval(showLiveness, LIVENESS_MS);
setInterval(showRates, HEALTH_MS);
showLiveness();
showRates();
