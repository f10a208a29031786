// The trace of applied strain over the last seconds: feedback for the hand, and the scroll bar of the cine.

import { INK, begin, label, number } from "./canvas.js";
import { KEPT_MS } from "./cine.js";
import { tickStep, ticks } from "./layout.js";
import { GOOD_PERCENT, isGood } from "./press.js";

export const LEFT = 38;
export const RIGHT = 10;
const TOP = 5;
const BOTTOM = 14;
const LEAST_PERCENT = 1;
// Frames further apart are not joined: the movement between them is unknown.
const BREAK_MS = 700;

export class Trace {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** Draw the applied strain of the frames of a cine, and mark the frame shown and the good ones. */
  draw(cine) {
    const context = begin(this.canvas);
    if (!context || !cine.newest) return;
    const [w, h] = [this.canvas.clientWidth - LEFT - RIGHT, this.canvas.clientHeight - TOP - BOTTOM];
    const points = cine.frames.filter((frame) => frame.appliedStrain !== null);
    const percent = (frame) => 100 * frame.appliedStrain;
    const largest = Math.max(LEAST_PERCENT, ...points.map((frame) => Math.abs(percent(frame)) * 1.1));
    const y = (value) => TOP + (h / 2) * (1 - value / largest);
    const x = ({ arrivedMs }) => LEFT + w * (1 + (arrivedMs - cine.newest.arrivedMs) / KEPT_MS);
    this.drawScale(context, { w, h, y, largest });
    context.fillStyle = INK.good;
    for (const frame of points.filter(isGood)) context.fillRect(x(frame) - 1, TOP + h - 3, 2, 3);
    context.beginPath();
    points.forEach((frame, i) => {
      const joined = i > 0 && frame.arrivedMs - points[i - 1].arrivedMs < BREAK_MS;
      if (joined) context.lineTo(x(frame), y(percent(frame)));
      else context.moveTo(x(frame), y(percent(frame)));
    });
    context.strokeStyle = INK.accent;
    context.lineWidth = 1.75;
    context.stroke();
    const best = cine.best?.frame;
    if (best && cine.frames.includes(best)) {
      label(context, "★", x(best), TOP - 5, { align: "center", base: "top", ink: INK.good });
    }
    if (cine.frozen && cine.index >= 0) {
      context.fillStyle = INK.text;
      context.fillRect(x(cine.shown) - 1, TOP, 2, h);
    }
  }

  drawScale(context, { w, h, y, largest }) {
    context.fillStyle = "rgb(95 168 211 / 14%)";
    for (const side of [-1, 1]) {
      const [top, bottom] = [y(side * Math.min(GOOD_PERCENT[1], largest)), y(side * GOOD_PERCENT[0])];
      context.fillRect(LEFT, Math.min(top, bottom), w, Math.abs(bottom - top));
    }
    context.strokeStyle = INK.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(LEFT, Math.round(y(0)) + 0.5);
    context.lineTo(LEFT + w, Math.round(y(0)) + 0.5);
    context.stroke();
    const step = tickStep(h / (2 * largest), 16);
    for (const value of ticks(-largest, largest, step)) {
      const text = `${number(value, step < 1 ? 1 : 0)}${value === 0 ? " %" : ""}`;
      label(context, text, LEFT - 4, y(value), { align: "right", base: "middle" });
    }
    const bottom = this.canvas.clientHeight;
    label(context, `−${KEPT_MS / 1000} s`, LEFT, bottom, { base: "bottom" });
    if (w > 240) label(context, "applied strain", LEFT + w / 2, bottom, { align: "center", base: "bottom" });
    label(context, "newest", LEFT + w, bottom, { align: "right", base: "bottom" });
  }
}

/** Word and level for a quality of 0 to 1; words and colours mean the same. */
export function qualityWord(quality) {
  if (quality === null) return ["–", "none"];
  if (quality >= 0.9) return ["good", "good"];
  if (quality >= 0.7) return ["fair", "fair"];
  return ["poor", "poor"];
}
