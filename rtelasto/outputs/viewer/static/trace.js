// The operator's feedback: how well the last pair matched, and how it was pressed over the last seconds.

import { INK, begin, label, number } from "./canvas.js";
import { tickStep, ticks } from "./layout.js";

export const TRACE_MS = 10_000;
const LEFT = 34;
const RIGHT = 4;
const TOP = 6;
const BOTTOM = 16;
// Pairs strained by 0.5 to 1.5 % show contrast and still match: where to press to.
const GOOD = [0.5, 1.5];
const LEAST_PERCENT = 1;

export class Trace {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
  }

  add(frame) {
    if (frame.appliedStrain !== null) {
      this.points.push({ at: frame.arrivedMs, percent: 100 * frame.appliedStrain });
    }
    while (this.points.length && this.points[0].at < frame.arrivedMs - TRACE_MS) this.points.shift();
  }

  draw() {
    const context = begin(this.canvas);
    if (!context || !this.points.length) return;
    const [w, h] = [this.canvas.clientWidth - LEFT - RIGHT, this.canvas.clientHeight - TOP - BOTTOM];
    const largest = Math.max(LEAST_PERCENT, ...this.points.map((p) => Math.abs(p.percent) * 1.1));
    const y = (percent) => TOP + (h / 2) * (1 - percent / largest);
    const now = this.points.at(-1).at;
    const x = (at) => LEFT + w * (1 + (at - now) / TRACE_MS);
    context.fillStyle = "rgb(95 168 211 / 14%)";
    for (const side of [-1, 1]) {
      const [top, bottom] = [y(side * Math.min(GOOD[1], largest)), y(side * GOOD[0])];
      context.fillRect(LEFT, Math.min(top, bottom), w, Math.abs(bottom - top));
    }
    context.strokeStyle = INK.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(LEFT, Math.round(y(0)) + 0.5);
    context.lineTo(LEFT + w, Math.round(y(0)) + 0.5);
    context.stroke();
    const step = tickStep(h / (2 * largest), 22);
    for (const percent of ticks(-largest, largest, step)) {
      label(context, number(percent, step < 1 ? 1 : 0), LEFT - 4, y(percent), { align: "right", base: "middle" });
    }
    label(context, "−10 s", LEFT, this.canvas.clientHeight, { base: "bottom" });
    label(context, "% strain", LEFT + w / 2, this.canvas.clientHeight, { align: "center", base: "bottom" });
    label(context, "now", LEFT + w, this.canvas.clientHeight, { align: "right", base: "bottom" });
    context.beginPath();
    this.points.forEach((p, i) => (i ? context.lineTo(x(p.at), y(p.percent)) : context.moveTo(x(p.at), y(p.percent))));
    context.strokeStyle = INK.accent;
    context.lineWidth = 1.75;
    context.stroke();
  }
}

/** Word and level for a quality of 0 to 1; the words say what the colours say. */
export function qualityWord(quality) {
  if (quality === null) return ["–", "none"];
  if (quality >= 0.9) return ["good", "good"];
  if (quality >= 0.7) return ["fair", "fair"];
  return ["poor", "poor"];
}

/** What the hand is doing. */
export function pressWord(appliedStrain) {
  if (appliedStrain === null) return "–";
  const percent = 100 * appliedStrain;
  const word = Math.abs(percent) < 0.05 ? "at rest" : percent < 0 ? "press" : "release";
  return `${word} ${number(percent, 2)} %`;
}
