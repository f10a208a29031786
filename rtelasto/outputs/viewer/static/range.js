// The dynamic range of the colours: fixed, or following the image without flicker.

import { REST_STRAIN } from "./values.js";

const LOW_PERCENTILE = 0.03;
const HIGH_PERCENTILE = 0.97;
// The range starts to move when it is off by more than the first, and moves until within the second
// (both as a share of its span), so that it stands still while the press is steady.
const START_MOVING = 0.25;
const STOP_MOVING = 0.05;
// Share of the way that it moves with each frame.
const STEP = 0.4;
const SMALLEST_SPAN = 0.1;
const STRIDE = 11;
const LEAST_SAMPLE = 20;
const POOR_QUALITY = 0.6;

/** The 3rd and 97th percentile of a sample of the values that are numbers, in %; null without any. */
export function robustLimits(values) {
  const sample = new Float32Array(Math.ceil(values.length / STRIDE));
  let count = 0;
  for (let i = 0; i < values.length; i += STRIDE) {
    if (!Number.isNaN(values[i])) sample[count++] = values[i];
  }
  if (count < LEAST_SAMPLE) return null;
  const sorted = sample.subarray(0, count).sort();
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  // Hard tissue strains little: what gives the other way is noise around 0, not harder than hard.
  const low = Math.max(0, at(LOW_PERCENTILE));
  return { low, high: Math.max(at(HIGH_PERCENTILE), low + SMALLEST_SPAN) };
}

export class DynamicRange {
  constructor() {
    this.auto = true;
    this.low = 0;
    this.high = 1;
    this.moving = true;
    this.fresh = true;
  }

  /** Hold the range where the user set it. */
  fix(low, high) {
    this.auto = false;
    this.low = low;
    this.high = Math.max(high, low + SMALLEST_SPAN);
  }

  /** Follow the image again. */
  follow() {
    this.auto = true;
    this.moving = true;
  }

  /** Take notice of a frame; poor ones and tissue at rest do not move the range. */
  update(frame, values) {
    const applied = Math.abs(frame.appliedStrain ?? 0);
    const telling = applied >= REST_STRAIN && (frame.quality ?? 0) >= POOR_QUALITY;
    if (!this.auto || (!telling && !this.fresh)) return;
    const wanted = robustLimits(values);
    if (wanted === null) return;
    if (this.fresh && telling) {
      this.low = wanted.low;
      this.high = wanted.high;
      this.fresh = false;
      this.moving = false;
      return;
    }
    const span = this.high - this.low;
    const off = Math.max(Math.abs(wanted.low - this.low), Math.abs(wanted.high - this.high)) / span;
    if (off > START_MOVING) this.moving = true;
    if (off < STOP_MOVING) this.moving = false;
    if (this.moving) {
      this.low += STEP * (wanted.low - this.low);
      this.high += STEP * (wanted.high - this.high);
    }
  }
}
