// A displayed state that stays for at least a second before it changes, so that nothing flickers.

export const DWELL_MS = 1000;

export class Steady {
  constructor(value, dwellMs = DWELL_MS) {
    this.value = value;
    this.dwellMs = dwellMs;
    this.changedMs = -Infinity;
  }

  /** Request a value: set at once if the last change was a second ago, otherwise ignored. */
  request(value, nowMs = performance.now()) {
    if (value !== this.value && nowMs - this.changedMs >= this.dwellMs) this.set(value, nowMs);
    return this.value;
  }

  /** Change at once, for an action of the user. */
  set(value, nowMs = performance.now()) {
    if (value !== this.value) this.changedMs = nowMs;
    this.value = value;
    return value;
  }
}

/** Allows an action at most once in `periodMs`, or at once after `hurry`. */
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
