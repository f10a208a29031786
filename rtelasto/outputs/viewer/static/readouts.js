// Updates the readings: at most once a second, so that they can be read, or at once after an action of the user.

import { Rate, healthTexts, overloadWords } from "./health.js";
import { strainRatio } from "./measures.js";
import { contentWords } from "./picture.js";
import { pressHint } from "./press.js";
import { countWords, ratioWords, showFrameMeasures, showHealth, showHint, showPress, showRatio } from "./readings.js";
import { recordLines, recordOf, save } from "./save.js";
import { Every, Steady } from "./steady.js";
import { ageNowMs } from "./wire.js";

const byId = (id) => document.getElementById(id);
export const READINGS_MS = 1000;
const HINT_MS = 1500;
const HINT_FROM_MS = 3000;

export class Readouts {
  constructor({ cine, regions, view, liveness, preferences, controls }) {
    Object.assign(this, { cine, regions, view, liveness, preferences, controls });
    this.ratio = null;
    this.age = null;
    this.due = new Every(READINGS_MS);
    this.hint = new Steady(pressHint([]), HINT_MS);
    this.overload = new Steady("");
    this.shownRate = new Rate();
  }

  /** A frame was drawn on the screen. */
  drawn(frame) {
    this.shownRate.add(performance.now());
    this.age = { ms: ageNowMs(frame), from: frame.ageFrom };
    // For programs that read the page, like the frame's number.
    byId("images").dataset.ageMs = this.age.ms.toFixed(1);
  }

  /** Called with every repaint. */
  show() {
    if (this.due.due()) this.showNow();
    this.showCine();
  }

  showNow() {
    const { cine, regions } = this;
    const maskBelow = this.preferences.maskBelow / 100;
    showPress(cine.frames, cine.frozen ? cine.shown : null);
    if (regions.any) regions.carry(cine.frames);
    const both = regions.shapes.lesion && regions.shapes.background;
    this.ratio = both ? strainRatio(cine.frames, maskBelow) : null;
    showRatio(this.ratio);
    showFrameMeasures(regions.any ? cine.shown : {}, maskBelow);
    byId("picture-of").value = contentWords(this.view.seen);
    byId("best").disabled = !cine.best;
  }

  showCine() {
    const { frozen, secondsBack } = this.cine;
    const scroll = byId("scroll");
    scroll.value = -secondsBack;
    const words = frozen ? `−${secondsBack.toFixed(2)} s` : "newest";
    scroll.setAttribute("aria-valuetext", words);
    byId("scroll-age").value = words;
    byId("frozen").hidden = !frozen;
    byId("freeze").setAttribute("aria-pressed", frozen);
  }

  /** Called once a second, whether frames arrive or not. */
  showRates(status) {
    const now = performance.now();
    const { cine, liveness } = this;
    const isLive = liveness.state === "live";
    const rate = this.shownRate.perSecond(now);
    showHealth(healthTexts(status, rate, isLive ? this.age : null));
    byId("overload").textContent = this.overload.request(isLive ? overloadWords(status, rate) : "", now);
    const recent = cine.frames.filter((frame) => frame.arrivedMs > now - HINT_FROM_MS);
    if (!cine.frozen) showHint(this.hint.request(pressHint(recent), now));
  }

  /** Save picture, figures and settings in one file. */
  async save() {
    const { cine, view, controls, ratio } = this;
    if (!cine.shown) return;
    const { ranges, shapes, ...chosen } = this.preferences;
    const settings = {
      ...chosen,
      range: { auto: controls.range.auto, ...controls.range.shown },
      regions: this.regions.shapes,
    };
    const figures = { strain_ratio: ratio, state: this.liveness.state };
    const record = recordOf(cine.shown, view.seen, settings, figures);
    const words = ratio ? `${ratioWords(ratio)} (${countWords(ratio)}) ${ratio.why}` : "–";
    byId("saved").value = `saved ${await save(byId("images"), recordLines(record, contentWords(view.seen), words), record)}`;
  }
}
