// The last seconds of frames, for review: each is shown again as it was first shown.

import { belongTogether } from "./wire.js";

export const KEPT_MS = 15_000;
const MOST_FRAMES = 600;
const MOST_BYTES = 256e6;
// The frame of the best press is kept longer than the others, but not until the next patient.
const BEST_KEPT_MS = 60_000;

export class Cine {
  constructor() {
    this.frames = [];
    this.shown = null;
    this.frozen = false;
    this.best = null;
    this.bytes = 0;
  }

  /** Keep a frame, unless frozen; return whether it should be shown. */
  add(frame) {
    if (this.frozen) return false;
    if (this.frames.length && !belongTogether(this.frames.at(-1), frame)) this.clear();
    this.frames.push(frame);
    this.bytes += frame.bytes;
    const oldest = frame.arrivedMs - KEPT_MS;
    let surplus = Math.max(0, this.frames.length - MOST_FRAMES);
    for (let bytes = this.bytesOf(surplus); ; surplus += 1) {
      const first = this.frames[surplus];
      if (first === frame || (first.arrivedMs >= oldest && this.bytes - bytes <= MOST_BYTES)) break;
      bytes += first.bytes;
    }
    this.bytes -= this.bytesOf(surplus);
    this.frames.splice(0, surplus);
    if (this.best && frame.arrivedMs - this.best.frame.arrivedMs > BEST_KEPT_MS) this.best = null;
    this.shown = frame;
    return true;
  }

  bytesOf(count) {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += this.frames[i].bytes;
    return bytes;
  }

  clear() {
    this.frames = [];
    this.bytes = 0;
    this.best = null;
  }

  /** Make a press the best one if its score is higher. */
  judge(press) {
    if (press && (!this.best || press === this.best.press || press.score > this.best.press.score)) {
      this.best = { press, frame: press.frame };
    }
  }

  get newest() {
    return this.frames.at(-1) ?? null;
  }

  /** Index of the frame shown; -1 if it is the best press and older than all others. */
  get index() {
    return this.frames.indexOf(this.shown);
  }

  /** Go to a frame, counted from the oldest. */
  goTo(index) {
    this.shown = this.frames[Math.min(this.frames.length - 1, Math.max(0, index))] ?? null;
  }

  /** Go to the frame whose arrival is nearest to a time before the newest. */
  goBack(seconds) {
    if (!this.newest) return;
    const at = this.newest.arrivedMs - 1000 * seconds;
    const off = (frame) => Math.abs(frame.arrivedMs - at);
    this.shown = this.frames.reduce((best, frame) => (off(frame) < off(best) ? frame : best));
  }

  /** How long before the newest frame the shown one arrived, in s. */
  get secondsBack() {
    return this.shown ? (this.newest.arrivedMs - this.shown.arrivedMs) / 1000 : 0;
  }
}
