// The user's choices: display, ranges and regions; this browser keeps them across reloads.

import { COLOURS } from "./colours.js";
import { PERCENT, RATIO, ColourRange } from "./range.js";
import { NAMES } from "./regions.js";
import { INSTANTANEOUS, RELATIVE } from "./values.js";

const KEY = "rtelasto.display";
const DEFAULTS = { mode: RELATIVE, colours: "viridis", opacity: 75, maskBelow: 70 };
const FARTHEST_MM = 500;

const within = (value, low, high) => typeof value === "number" && value >= low && value <= high;

/** The stored choices if they are valid, the defaults otherwise. */
export function loadPreferences() {
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    // Storage is disabled, or holds something else.
  }
  const chosen = { ...DEFAULTS };
  if ([RELATIVE, INSTANTANEOUS].includes(stored.mode)) chosen.mode = stored.mode;
  if (stored.colours in COLOURS) chosen.colours = stored.colours;
  if (within(stored.opacity, 0, 100)) chosen.opacity = stored.opacity;
  if (within(stored.maskBelow, 0, 95)) chosen.maskBelow = stored.maskBelow;
  chosen.ranges = {
    [RELATIVE]: storedRange(stored.ranges?.[RELATIVE], RATIO),
    [INSTANTANEOUS]: storedRange(stored.ranges?.[INSTANTANEOUS], PERCENT),
  };
  chosen.shapes = Object.fromEntries(NAMES.map((name) => [name, storedShape(stored.shapes?.[name])]));
  return chosen;
}

function storedRange(stored, scale) {
  const range = new ColourRange(scale);
  if (!stored) return range;
  if (stored.auto === true) range.follow();
  else if (range.refusal(stored.low, stored.high) === "") range.fix(stored.low, stored.high);
  return range;
}

function storedShape(stored) {
  if (!stored) return null;
  const { xMm, zMm, rxMm, rzMm } = stored;
  const sound =
    within(xMm, -FARTHEST_MM, FARTHEST_MM) &&
    within(zMm, -FARTHEST_MM, FARTHEST_MM) &&
    within(rxMm, 0.1, FARTHEST_MM) &&
    within(rzMm, 0.1, FARTHEST_MM);
  return sound ? { xMm, zMm, rxMm, rzMm } : null;
}

export function savePreferences({ ranges, ...choices }) {
  const plain = Object.fromEntries(
    Object.entries(ranges).map(([mode, range]) => [mode, { auto: range.auto, ...range.shown }]),
  );
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...choices, ranges: plain }));
  } catch {
    // Without storage, the choices last until the page is closed.
  }
}
