// Chooses the frame whose strain is shown: the newest that is not at rest, or none while tissue is at rest.

import { Steady } from "./steady.js";
import { INSTANTANEOUS, RELATIVE, hasPicture } from "./values.js";
import { belongTogether } from "./wire.js";

// A press reverses twice a second and rests for a moment: the last strain stays on screen for this long.
const HOLD_MS = 1000;
// An average without a new pair for this long belongs to another position of the probe, or time.
const OLDEST_S = 10;

export class Picture {
  constructor() {
    this.shows = new Steady("rest");
    this.last = null;
  }

  /** Choose what to show for the newest frame: { source, mode }, `source` null at rest. */
  choose(frame, wantedMode, nowMs = performance.now()) {
    const mode = modeFor(frame, wantedMode);
    if (this.last && (this.last.mode !== mode || !belongTogether(this.last.frame, frame))) {
      this.last = null;
      this.shows = new Steady("rest");
    }
    if (hasPicture(frame, mode) && !isOld(frame, mode)) this.last = { frame, mode };
    const held = this.last && frame.arrivedMs - this.last.frame.arrivedMs <= HOLD_MS;
    this.shows.request(held ? "strain" : "rest", nowMs);
    return { mode, source: this.shows.value === "strain" ? (this.last?.frame ?? null) : null };
  }
}

/** Relative strain if the stream has it. */
export function modeFor(frame, wantedMode) {
  return wantedMode === RELATIVE && frame.relative ? RELATIVE : INSTANTANEOUS;
}

function isOld(frame, mode) {
  return mode === RELATIVE && (frame.persistence?.age_s ?? 0) > OLDEST_S;
}

/** A held frame as it was shown live, or on its own if it was shown in another mode or not at all. */
export function asSeen(frame, wantedMode) {
  const mode = modeFor(frame, wantedMode);
  if (frame.seen?.mode === mode) return frame.seen;
  return { mode, source: hasPicture(frame, mode) ? frame : null, limits: null };
}

/** Describe in words what a picture is made of. */
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
