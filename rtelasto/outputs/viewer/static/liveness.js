// Whether what is on the screen is live, said in words. An old image looks just like a live one, so that
// this is for the page's own clock to say: it runs on when nothing comes any more.

import { ageAtMostMs, ageNowMs } from "./wire.js";

const byId = (id) => document.getElementById(id);
// A viewer that runs says something every second.
const SILENCE_MS = 1500;

const WORDS = {
  connecting: "connecting",
  waiting: "waiting for strain",
  live: "live",
  stale: "not live",
};

export class Liveness {
  constructor() {
    /** Age at which a frame is no longer live; the viewer says its own. */
    this.limitMs = 250;
    this.connected = false;
    this.heardMs = -Infinity;
    this.state = "connecting";
    this.newest = null;
    this.drawn = null;
  }

  /** Something came from the viewer. */
  heard() {
    this.connected = true;
    this.heardMs = performance.now();
  }

  isStale(frame) {
    return frame.stale || ageAtMostMs(frame) > this.limitMs;
  }

  /** Say how it is at this moment; to be called a few times a second, and when anything has changed. */
  show(frozen) {
    const stale = this.drawn !== null && !frozen && this.isStale(this.drawn);
    if (frozen) this.state = "frozen";
    else if (stale) this.state = "stale";
    else if (!this.connected) this.state = "connecting";
    else this.state = this.drawn ? "live" : "waiting";
    this.showStream(frozen);
    document.body.dataset.liveness = this.state;
    byId("not-live").hidden = !stale;
    write(document.querySelector("title"), stale ? "NOT LIVE: rtelasto" : "rtelasto: live strain");
    if (stale) {
      write(byId("not-live-age"), `last frame ${ageWords(ageNowMs(this.drawn))} old`);
      write(byId("not-live-why"), this.why());
    }
  }

  /** The words in the page's head: of the stream, which goes on or not while a frame is held. */
  showStream(frozen) {
    let state = this.state;
    if (!this.connected) state = "connecting";
    else if (frozen) state = this.isStale(this.newest) ? "stale" : "live";
    const mark = byId("connection");
    mark.dataset.state = state;
    write(mark, frozen && this.connected ? `stream ${WORDS[state]}` : WORDS[state]);
  }

  why() {
    if (!this.connected) return "connecting to the viewer again";
    const now = performance.now();
    if (now - this.heardMs > SILENCE_MS) return "the viewer does not answer";
    return now - this.drawn.arrivedMs > this.limitMs ? "no strain comes" : "strain comes late";
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
