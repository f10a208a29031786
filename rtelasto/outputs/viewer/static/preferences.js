// What the user chose for the display; kept in this browser from one visit to the next.

import { COLOURS } from "./colours.js";

const KEY = "rtelasto.display";
const DEFAULTS = { colours: "viridis", opacity: 75, maskBelow: 70, persistence: 1 };
export const PERSISTENCE = [1, 2, 4, 8];

const within = (value, low, high) => typeof value === "number" && value >= low && value <= high;

/** The stored choices where they make sense, the defaults elsewhere. */
export function loadPreferences() {
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    // Storage is switched off, or holds something else.
  }
  const chosen = { ...DEFAULTS };
  if (stored.colours in COLOURS) chosen.colours = stored.colours;
  if (within(stored.opacity, 0, 100)) chosen.opacity = stored.opacity;
  if (within(stored.maskBelow, 0, 95)) chosen.maskBelow = stored.maskBelow;
  if (PERSISTENCE.includes(stored.persistence)) chosen.persistence = stored.persistence;
  return chosen;
}

export function savePreferences(preferences) {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // Without storage the choices last as long as the page.
  }
}
