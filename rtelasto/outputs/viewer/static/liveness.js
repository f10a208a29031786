// States in words whether the screen is live. An old image looks just like a live one, so the page's own
// clock decides: it keeps running when no more frames arrive.

import { DWELL_MS } from "./steady.js";
import { ageAtMostMs, ageNowMs } from "./wire.js";

const byId = (id) => document.getElementById(id);
// A running viewer sends a message every second.
const SILENCE_MS = 1500;
// A busy machine shows frames late but evenly: a frame ages by one period before the next one arrives. Up
// to this age, that does not count as "not live".
const MOST_EVEN_MS = 700;
const PERIODS = 1.6;
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

  /** How old frames may get before the next one arrives, while they arrive evenly. */
  get evenMs() {
    const { arrivals } = this;
    if (arrivals.length < 3) return MOST_EVEN_MS;
    const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    const period = middle(arrivals.slice(1).map(({ atMs }, i) => atMs - arrivals[i].atMs));
    return Math.min(MOST_EVEN_MS, middle(arrivals.map(({ ageMs }) => ageMs)) + PERIODS * period);
  }

  isStale(frame) {
    const ageMs = ageAtMostMs(frame);
    if (ageMs <= this.evenMs) return false;
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
