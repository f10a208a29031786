// The range of the colours: fixed, or following the image without flicker.

import { Every } from "./steady.js";

const LOW_PERCENTILE = 0.03;
const HIGH_PERCENTILE = 0.97;
// The range changes when its error exceeds this share of its span, so that it stays fixed during a steady
// press, and at most once in this time.
const MOST_ERROR = 0.25;
const PERIOD_MS = 1000;
// It follows the mean of the images, to which each adds this share.
const SHARE = 0.4;
const STRIDE = 11;
const LEAST_SAMPLE = 20;

/** Percent of strain from 0 on: hard tissue strains little, and strain of the opposite sign is noise. */
export const PERCENT = {
  least: 0, most: 20, smallestSpan: 0.1, start: { auto: true, low: 0, high: 1 }, unit: "%",
  toColour: (value) => value,
  fromColour: (value) => value,
};

/** Times the average strain, on a logarithmic scale; its colours mean the same in every picture. */
export const RATIO = {
  least: 0.05, most: 20, smallestSpan: 0.5, start: { auto: false, low: 0.25, high: 4 }, unit: "×",
  toColour: (value) => Math.log2(value),
  fromColour: (value) => 2 ** value,
};

/** The 3rd and 97th percentile of a sample of the values that are numbers; null without any. */
export function robustLimits(values, scale) {
  const sample = new Float32Array(Math.ceil(values.length / STRIDE));
  let count = 0;
  for (let i = 0; i < values.length; i += STRIDE) {
    if (!Number.isNaN(values[i])) sample[count++] = values[i];
  }
  if (count < LEAST_SAMPLE) return null;
  const sorted = sample.subarray(0, count).sort();
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const low = Math.max(scale.toColour(scale.least), at(LOW_PERCENTILE));
  return { low, high: Math.max(at(HIGH_PERCENTILE), low + scale.smallestSpan) };
}

/** Limits `low` and `high` in the units of the colours; `shown` in the units on the page. */
export class ColourRange {
  constructor(scale, { auto, low, high } = scale.start) {
    this.scale = scale;
    this.auto = auto;
    this.low = scale.toColour(low);
    this.high = scale.toColour(high);
    /** Of the images of late; null before the first. */
    this.mean = null;
    this.due = new Every(PERIOD_MS);
  }

  get limits() {
    return { low: this.low, high: this.high };
  }

  get shown() {
    return { low: this.scale.fromColour(this.low), high: this.scale.fromColour(this.high) };
  }

  /** Why two limits are not accepted; empty if they are. */
  refusal(low, high) {
    const { least, most, unit } = this.scale;
    const within = (value) => Number.isFinite(value) && value >= least && value <= most;
    if (!within(low) || !within(high)) return `a limit lies between ${least} and ${most} ${unit}`;
    const wide = this.scale.toColour(high) - this.scale.toColour(low) >= this.scale.smallestSpan - 1e-9;
    return wide ? "" : "the soft end lies above the hard end";
  }

  /** Hold the range where the user set it. */
  fix(low, high) {
    this.auto = false;
    this.low = this.scale.toColour(low);
    this.high = this.scale.toColour(high);
  }

  /** Hold the present range. */
  hold() {
    this.auto = false;
  }

  /** Follow the image again. */
  follow() {
    this.auto = true;
    this.mean = null;
    this.due.hurry();
  }

  /** Reset to the range of a new page. */
  reset() {
    Object.assign(this, new ColourRange(this.scale));
  }

  /** Follow the values of a frame that is not at rest. */
  update(values, nowMs = performance.now()) {
    if (!this.auto) return;
    const wanted = robustLimits(values, this.scale);
    if (wanted === null) return;
    const isFirst = this.mean === null;
    this.mean ??= wanted;
    const mix = (end) => this.mean[end] + SHARE * (wanted[end] - this.mean[end]);
    this.mean = { low: mix("low"), high: mix("high") };
    const { low, high } = this.mean;
    const error = Math.max(Math.abs(low - this.low), Math.abs(high - this.high)) / (this.high - this.low);
    if ((isFirst || error > MOST_ERROR) && this.due.due(nowMs)) Object.assign(this, this.mean);
  }
}
