// Presses in the stream: where they begin and end, and how good each was.

import { isTelling } from "./certainty.js";
import { direction } from "./values.js";
import { belongTogether } from "./wire.js";

// A pause of this length ends a press, even without a release.
const PAUSE_MS = 1000;
// Applied strain of a pair, in %: contrast is visible above the first value, pairs match well up to the second.
export const GOOD_PERCENT = [0.5, 1.5];
// Median correlation up to which nothing, and from which everything, is certain.
const CERTAINTY = [0.6, 0.95];
const GOOD_SCORE = 0.5;

const share = (value, low, high) => Math.min(1, Math.max(0, (value - low) / (high - low)));

/** 0 to 1: enough strain, not too much, and frames that agree. */
export function frameScore(frame) {
  if (!isTelling(frame)) return 0;
  const percent = 100 * Math.abs(frame.appliedStrain);
  const strain = Math.min(1, percent / GOOD_PERCENT[0], GOOD_PERCENT[1] / percent);
  return strain * share(frame.quality, ...CERTAINTY);
}

export const isGood = (frame) => frameScore(frame) >= GOOD_SCORE;

/** How evenly the hand moves: 1 minus the mean bend of the applied strain over its peak. */
function steadiness(percents) {
  if (percents.length < 3) return 0.5;
  let bend = 0;
  for (let i = 2; i < percents.length; i++) {
    bend += Math.abs(percents[i] - 2 * percents[i - 1] + percents[i - 2]);
  }
  const peak = Math.max(...percents.map(Math.abs));
  return Math.max(0, 1 - bend / (percents.length - 2) / peak);
}

/**
 * Assigns `press` and `run` to every frame, both null at rest.
 *
 * A run is a series of frames in one direction; a press begins where tissue is compressed, and its release
 * belongs to it. `press.score` (0 to 1) is the median of its frames' scores times their steadiness,
 * `press.frame` its best frame.
 */
export class PressFinder {
  constructor() {
    this.last = null;
    this.presses = 0;
    this.runs = 0;
  }

  add(frame) {
    frame.run = frame.press = null;
    if (!isTelling(frame)) return null;
    const { last } = this;
    const goesOn =
      last !== null && belongTogether(last, frame) && frame.arrivedMs - last.arrivedMs < PAUSE_MS;
    const turned = goesOn && direction(last) !== direction(frame);
    frame.run = goesOn && !turned ? last.run : ++this.runs;
    const begins = !goesOn || (turned && direction(frame) < 0);
    frame.press = begins ? this.begin() : last.press;
    this.judge(frame.press, frame);
    this.last = frame;
    return frame.press;
  }

  begin() {
    return { number: ++this.presses, frame: null, best: -1, scores: [], percents: [], score: 0 };
  }

  judge(press, frame) {
    const score = frameScore(frame);
    if (score > press.best) {
      press.best = score;
      press.frame = frame;
    }
    press.scores.push(score);
    press.percents.push(100 * Math.abs(frame.appliedStrain));
    const sorted = press.scores.toSorted((a, b) => a - b);
    press.score = sorted[sorted.length >> 1] * steadiness(press.percents);
  }
}

const RECENT_MS = 2000;
const LEAST_PERCENT = 0.05;
const POOR = 0.7;

/** Advice to the operator, from the last two seconds of frames: [level, words]. */
export function pressHint(frames) {
  const newest = frames.at(-1);
  if (!newest) return ["none", ""];
  const recent = frames.filter((f) => f.appliedStrain !== null && f.arrivedMs >= newest.arrivedMs - RECENT_MS);
  if (!recent.length) return ["none", ""];
  const poor = recent.filter((f) => (f.quality ?? 0) < POOR);
  const matched = recent.filter((f) => (f.quality ?? 0) >= POOR);
  const peak = 100 * Math.max(0, ...matched.map((f) => Math.abs(f.appliedStrain)));
  if (poor.length > recent.length / 2) {
    return ["warn", "frames do not match: hold the probe still, then press slowly"];
  }
  if (peak < LEAST_PERCENT) return ["ask", "at rest: press gently and let go, about once a second"];
  if (poor.length > recent.length / 4 || peak > GOOD_PERCENT[1]) return ["warn", "press more slowly"];
  if (peak < GOOD_PERCENT[0]) return ["ask", "press a little harder"];
  return ["good", "good: keep pressing like this"];
}
