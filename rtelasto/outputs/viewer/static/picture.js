// Which frame's strain is on show: the newest that says something, or none while tissue is at rest.

import { Steady } from "./steady.js";
import { INSTANTANEOUS, RELATIVE, hasPicture } from "./values.js";
import { belongTogether } from "./wire.js";

// A press turns twice a second and is at rest for a moment: so long the last strain stays on show.
const HOLD_MS = 1000;
// An average that has got nothing new for so long belongs to another place of the probe, or time.
const OLDEST_S = 10;

export class Picture {
  constructor() {
    this.shows = new Steady("rest");
    this.last = null;
  }

  /** What to show of the newest frame: { source, mode }, `source` null at rest. */
  choose(frame, wantedMode, nowMs = performance.now()) {
    const mode = modeFor(frame, wantedMode);
    if (this.last && (this.last.mode !== mode || !belongTogether(this.last.frame, frame))) {
      this.last = null;
      this.shows = new Steady("rest");
    }
    if (hasPicture(frame, mode) && !isOld(frame, mode)) this.last = { frame, mode };
    const held = this.last && frame.arrivedMs - this.last.frame.arrivedMs <= HOLD_MS;
    this.shows.wish(held ? "strain" : "rest", nowMs);
    return { mode, source: this.shows.value === "strain" ? (this.last?.frame ?? null) : null };
  }
}

/** Relative strain where the stream has it. */
export function modeFor(frame, wantedMode) {
  return wantedMode === RELATIVE && frame.relative ? RELATIVE : INSTANTANEOUS;
}

function isOld(frame, mode) {
  return mode === RELATIVE && (frame.persistence?.age_s ?? 0) > OLDEST_S;
}

/** A held frame as it was seen live, or by itself where it was seen in another mode or not at all. */
export function asSeen(frame, wantedMode) {
  const mode = modeFor(frame, wantedMode);
  if (frame.seen?.mode === mode) return frame.seen;
  return { mode, source: hasPicture(frame, mode) ? frame : null, limits: null };
}

/** How much is in a picture, in words. */
export function contentWords({ source, mode }) {
  if (!source) return "–";
  if (mode === INSTANTANEOUS) return "one pair of frames";
  const { persistence } = source;
  if (!persistence) return "average over time";
  const { presses, frames, seconds, age_s: ageS } = persistence;
  const parts = [
    presses !== null && `${presses} ${presses === 1 ? "press" : "presses"}`,
    frames !== null && `${frames} frames`,
    seconds !== null && `${seconds.toFixed(1)} s`,
  ].filter(Boolean);
  const age = ageS !== null && ageS >= 0.5 ? `, ${ageS.toFixed(1)} s old` : "";
  return `${parts.join(", ")}${age}`;
}
