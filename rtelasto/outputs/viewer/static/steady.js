// A state for people: it stands for at least a second before it changes, so that nothing strobes.

export const DWELL_MS = 1000;

export class Steady {
  constructor(value, dwellMs = DWELL_MS) {
    this.value = value;
    this.dwellMs = dwellMs;
    this.changedMs = -Infinity;
  }

  /** Take a wish: followed at once after a quiet second, else when it is still wished for then. */
  wish(value, nowMs = performance.now()) {
    if (value !== this.value && nowMs - this.changedMs >= this.dwellMs) this.set(value, nowMs);
    return this.value;
  }

  /** Change at once: for what the user asked for. */
  set(value, nowMs = performance.now()) {
    if (value !== this.value) this.changedMs = nowMs;
    this.value = value;
    return value;
  }
}

/** Lets an action through at most once in `periodMs`, or at once where the user asked for it. */
export class Every {
  constructor(periodMs) {
    this.periodMs = periodMs;
    this.lastMs = -Infinity;
  }

  due(nowMs = performance.now()) {
    if (nowMs - this.lastMs < this.periodMs) return false;
    this.lastMs = nowMs;
    return true;
  }

  hurry() {
    this.lastMs = -Infinity;
  }
}
