// States in words whether the screen is live. An old image looks just like a live one, so the page's own
// clock decides: it keeps running when no more frames arrive.

import { DWELL_MS } from "./steady.js";
import { ageAtMostMs, ageNowMs } from "./wire.js";

const byId = (id) => document.getElementById(id);
// A running viewer sends a message every second.
const SILENCE_MS = 1500;
// A busy machine shows frames late and not quite evenly: until the next one arrives, a frame waits for this many
// periods at most (one frame missing and the one after it late). An older age on arrival, or a longer wait, is
// not live in any case.
const OLDEST_ON_ARRIVAL_MS = 500;
const LONGEST_WAIT_MS = 700;
const PERIODS = 2.5;
const REMEMBERED = 8;
// The screen counts as live again after this long without a stale frame: the warning appears at once and
// disappears slowly.
const FRESH_MS = 2000;

const WORDS = {
  connecting: "connecting",
  refused: "no access",
  waiting: "waiting for strain",
  live: "live",
  stale: "not live",
};

export class Liveness {
  constructor() {
    /** Age at which a frame is no longer live; the viewer sends its own value. */
    this.limitMs = 250;
    this.connected = false;
    this.refused = false;
    this.receivedMs = -Infinity;
    this.state = "connecting";
    this.newest = null;
    this.arrivals = [];
    this.isOld = false;
    this.freshSinceMs = -Infinity;
    this.changedMs = -Infinity;
  }

  /** A message arrived from the viewer. */
  received() {
    this.connected = true;
    this.receivedMs = performance.now();
  }

  /** Take the newest frame; the next repaint draws it unless the user holds another. */
  take(frame) {
    if (this.newest && this.newest.stream !== frame.stream) this.arrivals = [];
    this.newest = frame;
    this.arrivals.push({ atMs: frame.arrivedMs, ageMs: ageAtMostMs(frame) });
    if (this.arrivals.length > REMEMBERED) this.arrivals.shift();
  }

  /** How old frames may get before the next one arrives, while they keep arriving. */
  get usualMs() {
    const { arrivals } = this;
    const known = arrivals.length > 2;
    const periodMs = known ? (arrivals.at(-1).atMs - arrivals[0].atMs) / (arrivals.length - 1) : Infinity;
    const ages = arrivals.map(({ ageMs }) => ageMs).sort((a, b) => a - b);
    const ageMs = ages[ages.length >> 1];
    return Math.min(OLDEST_ON_ARRIVAL_MS, ageMs) + Math.min(LONGEST_WAIT_MS, PERIODS * periodMs);
  }

  isStale(frame) {
    const ageMs = ageAtMostMs(frame);
    if (ageMs <= this.usualMs) return false;
    return frame.stale || ageMs > this.limitMs;
  }

  /**
   * Become stale at once, or a second after the last change; become live again only after a while without
   * a stale frame: otherwise the words would flicker.
   */
  settle() {
    if (this.newest === null) return;
    const now = performance.now();
    const stale = this.isStale(this.newest);
    this.freshSinceMs = stale ? Infinity : Math.min(this.freshSinceMs, now);
    const due = stale ? now - this.changedMs >= DWELL_MS : now - this.freshSinceMs >= FRESH_MS;
    if (due && stale !== this.isOld) {
      this.isOld = stale;
      this.changedMs = now;
    }
  }

  /** Show the present state; called several times a second, and after every change. */
  show(frozen) {
    this.settle();
    const stale = this.isOld && !frozen;
    if (frozen) this.state = "frozen";
    else if (this.refused) this.state = "refused";
    else if (stale) this.state = "stale";
    else if (!this.connected) this.state = "connecting";
    else this.state = this.newest ? "live" : "waiting";
    this.showStream(frozen);
    document.body.dataset.liveness = this.state;
    byId("not-live").hidden = !stale;
    byId("refused").hidden = !this.refused;
    write(document.querySelector("title"), stale ? "NOT LIVE: rtelasto" : "rtelasto: live strain");
    if (stale) {
      write(byId("not-live-age"), `last frame ${ageWords(ageNowMs(this.newest))} old`);
      write(byId("not-live-why"), this.why());
    }
  }

  /** Show the state of the stream in the page's header, also while a frame is held. */
  showStream(frozen) {
    let state = this.state;
    if (this.refused) state = "refused";
    else if (!this.connected) state = "connecting";
    else if (frozen) state = this.isOld ? "stale" : "live";
    const mark = byId("connection");
    mark.dataset.state = state;
    write(mark, frozen && this.connected ? `stream ${WORDS[state]}` : WORDS[state]);
  }

  why() {
    if (!this.connected) return "reconnecting to the viewer";
    const now = performance.now();
    if (now - this.receivedMs > SILENCE_MS) return "the viewer does not answer";
    return now - this.newest.arrivedMs > this.limitMs ? "no strain arrives" : "strain arrives late";
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An age as text, in s or min. */
export function ageWords(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return `${(seconds / 60).toFixed(0)} min`;
}
