// The last seconds of frames, for scrolling back.

const KEPT_MS = 15_000;
const MOST_FRAMES = 600;

export class Cine {
  constructor() {
    this.frames = [];
    this.index = -1;
    this.frozen = false;
  }

  /** Keep a frame, unless frozen; true if it is to be shown. */
  add(frame) {
    if (this.frozen) return false;
    this.frames.push(frame);
    const oldest = frame.arrivedMs - KEPT_MS;
    let surplus = Math.max(0, this.frames.length - MOST_FRAMES);
    while (this.frames[surplus].arrivedMs < oldest) surplus += 1;
    this.frames.splice(0, surplus);
    this.index = this.frames.length - 1;
    return true;
  }

  get shown() {
    return this.frames[this.index] ?? null;
  }

  /** Go to a frame, counted from the oldest. */
  goTo(index) {
    this.index = Math.min(this.frames.length - 1, Math.max(0, index));
  }

  /** How long before the newest frame the shown one came, in s. */
  get secondsBack() {
    return this.shown ? (this.frames.at(-1).arrivedMs - this.shown.arrivedMs) / 1000 : 0;
  }
}
