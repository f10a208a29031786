// Whether what is on the screen is live, said in words. An old image looks just like a live one, so that
// this is for the page's own clock to say: it runs on when nothing comes any more.

import { DWELL_MS } from "./steady.js";
import { ageAtMostMs, ageNowMs } from "./wire.js";

const byId = (id) => document.getElementById(id);
// A viewer that runs says something every second.
const SILENCE_MS = 1500;
// A busy machine shows frames late, yet evenly: they age by a period between two of them. Up to this age
// that is not called "not live".
const MOST_EVEN_MS = 700;
const PERIODS = 1.6;
const REMEMBERED = 8;
// So long without a lapse, and it is live again: the words come at once, and go slowly.
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
    /** Age at which a frame is no longer live; the viewer says its own. */
    this.limitMs = 250;
    this.connected = false;
    this.refused = false;
    this.heardMs = -Infinity;
    this.state = "connecting";
    this.newest = null;
    this.arrivals = [];
    this.isOld = false;
    this.freshSinceMs = -Infinity;
    this.changedMs = -Infinity;
  }

  /** Something came from the viewer. */
  heard() {
    this.connected = true;
    this.heardMs = performance.now();
  }

  /** The newest frame: drawn with the next repaint, unless the user holds another. */
  take(frame) {
    if (this.newest && this.newest.stream !== frame.stream) this.arrivals = [];
    this.newest = frame;
    this.arrivals.push({ atMs: frame.arrivedMs, ageMs: ageAtMostMs(frame) });
    if (this.arrivals.length > REMEMBERED) this.arrivals.shift();
  }

  /** How old frames may get between two of them while they come evenly. */
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
   * Stale at once, or a second after it was last called live; live again only after a while without a
   * lapse: else the words would strobe.
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

  /** Say how it is at this moment; to be called a few times a second, and when anything has changed. */
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

  /** The words in the page's head: of the stream, which goes on or not while a frame is held. */
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
    if (!this.connected) return "connecting to the viewer again";
    const now = performance.now();
    if (now - this.heardMs > SILENCE_MS) return "the viewer does not answer";
    return now - this.newest.arrivedMs > this.limitMs ? "no strain comes" : "strain comes late";
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An age as people say it. */
export function ageWords(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return `${(seconds / 60).toFixed(0)} min`;
}
