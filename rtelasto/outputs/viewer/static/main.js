// The page: the newest frame is drawn at the next repaint, then the next one is requested.

import { Cine } from "./cine.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { KEYS, keyName, listen } from "./keys.js";
import { extentMm } from "./layout.js";
import { Liveness } from "./liveness.js";
import { followPointer } from "./pointer.js";
import { loadPreferences, savePreferences } from "./preferences.js";
import { PressFinder } from "./press.js";
import { READINGS_MS, Readouts } from "./readouts.js";
import { Regions } from "./regions.js";
import { Trace } from "./trace.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);
// Period of the check that frames still arrive.
const LIVENESS_MS = 100;
const NUDGE_MM = 0.5;

const preferences = loadPreferences();
const regions = new Regions();
const cine = new Cine();
const presses = new PressFinder();
const liveness = new Liveness();
const trace = new Trace(byId("trace"));
const controls = new Controls(preferences, () => refresh());
const view = new View(byId("images"), preferences, controls, regions);
const readouts = new Readouts({ cine, regions, view, liveness, preferences, controls });
regions.shapes = { ...preferences.shapes };

let status = null;
let tool = null;
let pinned = false;
let painting = false;
let owesCredit = false;
let pause = 0;

const connection = new Connection({
  onFrame(frame) {
    liveness.received();
    liveness.take(frame);
    owesCredit = true;
    take(frame);
    repaint();
  },
  onStatus(news) {
    liveness.received();
    liveness.limitMs = news.stale_ms;
    status = news;
  },
  onLost(refused) {
    liveness.connected = false;
    liveness.refused = refused;
    owesCredit = false;
    showLiveness();
  },
});

/** Add a frame to the cine, unless the user holds one. */
function take(frame) {
  const before = cine.newest;
  if (!cine.add(frame)) return;
  cine.judge(presses.add(frame));
  if (!regions.any) return;
  if (cine.newest !== before && before && cine.frames.includes(before) && regions.knows(before)) {
    regions.pass(before, frame, false);
  }
  regions.show(frame);
}

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
      awaitPause();
    }
  });
}

/** If no frame follows, show what waited for its second: readings and picture then belong to the last frame. */
function awaitPause() {
  clearTimeout(pause);
  pause = setTimeout(repaint, READINGS_MS);
}

/** Repaint with new readings at once, after an action of the user. */
function refresh() {
  readouts.due.hurry();
  repaint();
}

function paint() {
  trace.draw(cine);
  if (!cine.shown) return;
  view.paint(cine);
  if (!cine.frozen && owesCredit) readouts.drawn(cine.shown);
  readouts.show();
  controls.showRange();
  showLiveness();
}

function showLiveness() {
  liveness.show(cine.frozen);
}

function freeze() {
  if (cine.frozen) {
    cine.frozen = false;
    // The newest frame arrived while another was held: take it before its state is shown.
    if (liveness.newest !== cine.newest) take(liveness.newest);
    cine.shown = cine.newest;
    if (regions.any && cine.shown) regions.show(cine.shown);
  } else if (cine.shown) {
    cine.frozen = true;
  }
  readouts.showCine();
  showLiveness();
  refresh();
}

/** Hold a frame of the cine. */
function hold(goTo) {
  if (!cine.shown) return;
  cine.frozen = true;
  goTo();
  if (regions.any) {
    regions.carry(cine.frames);
    regions.show(cine.shown);
  }
  refresh();
}

const showBest = () => cine.best && hold(() => (cine.shown = cine.best.frame));

/** Save what is on the screen now, with up-to-date figures. */
function save() {
  if (!cine.shown) return;
  paint();
  readouts.showNow();
  readouts.save();
}

function choose(name) {
  tool = tool === name ? null : name;
  showTool();
}

function showTool() {
  for (const name of ["lesion", "background"]) byId(name).setAttribute("aria-pressed", tool === name);
}

/** After a change of a region by hand. */
function edited() {
  regions.changed(cine.shown);
  savePreferences(Object.assign(preferences, { shapes: regions.shapes }));
  refresh();
}

/** Place a region by key if there is none, and select it. */
function placeRegion(name) {
  if (!cine.shown) return;
  regions.selected = name;
  if (regions.shapes[name]) return refresh();
  regions.place(name, extentMm(cine.shown.grid));
  edited();
}

function clearRegions() {
  regions.clear();
  edited();
}

function arrow(dx, dz) {
  return (event) => {
    if (regions.selected && cine.shown) {
      regions.nudge(dx * NUDGE_MM, dz * NUDGE_MM, event.shiftKey, extentMm(cine.shown.grid));
      edited();
    } else if (cine.frozen && dx) {
      hold(() => cine.goTo(cine.index + dx));
    }
  };
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
  range: () => controls.setAuto(!controls.range.auto),
  maskUp: () => controls.addMask(5),
  maskDown: () => controls.addMask(-5),
  mode: () => controls.nextMode(),
  best: showBest,
  save,
  lesion: () => placeRegion("lesion"),
  background: () => placeRegion("background"),
  clear: clearRegions,
  profile: () => {
    pinned = view.profileMm === null;
    view.profileMm = pinned ? 0 : null;
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

function moveProfile(sign) {
  if (!cine.shown) return;
  view.moveProfile(sign, cine.shown.grid);
  pinned = true;
  repaint();
}

followPointer(view.stage, regions, {
  tool: () => tool,
  drawn: () => {
    tool = null;
    showTool();
  },
  profile: (mm) => {
    if (pinned && mm === null) return;
    pinned = false;
    view.profileMm = mm;
    repaint();
  },
  edited,
  changed: refresh,
});

byId("freeze").onclick = freeze;
byId("best").onclick = showBest;
byId("save").onclick = save;
byId("lesion").onclick = () => choose("lesion");
byId("background").onclick = () => choose("background");
byId("clear").onclick = clearRegions;
byId("scroll").oninput = (event) => hold(() => cine.goBack(-Number(event.target.value)));
byId("help-open").onclick = () => byId("help").showModal();
for (const [codes, text] of KEYS) {
  byId("keys").append(
    Object.assign(document.createElement("dt"), { textContent: keyName(codes[0]) }),
    Object.assign(document.createElement("dd"), { textContent: text }),
  );
}
new ResizeObserver(repaint).observe(byId("stage"));
// Browsers rarely run a hidden page: update it when it becomes visible again.
document.addEventListener("visibilitychange", showLiveness);
setInterval(showLiveness, LIVENESS_MS);
setInterval(() => readouts.showRates(status), READINGS_MS);
showLiveness();
readouts.showRates(status);
