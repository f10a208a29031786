// Draws the stage: both images with their axes, the colour bar, the regions and the axial profile.

import { INK, begin, label, number } from "./canvas.js";
import { layOut, tickStep, ticks } from "./layout.js";
import { BarImage, BmodeImage, StrainImage } from "./pixels.js";

const TICK = 4;
const REGION_NAMES = { lesion: "L", background: "B" };

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.bmode = new BmodeImage();
    this.strain = new StrainImage();
    this.bar = new BarImage();
    this.layout = null;
  }

  /**
   * Draw a frame.
   *
   * `frame` has the B-mode, `source` (which may be an earlier frame, or null at rest) the strain with
   * the B-mode under it. `shown` has its values and opacities, `limits` the limits of the colours, `scale`
   * their meaning, `colours` their table. `opacity` is 0 to 1, `regions` the regions, `profileMm` the lateral
   * position of the profile or null, `title` and `words` the texts over and in the strain image.
   */
  draw({ frame, source, shown, limits, scale, colours, opacity, regions, profileMm, title, words }) {
    const context = begin(this.canvas);
    if (!context) return;
    const { clientWidth, clientHeight } = this.canvas;
    // For programs that read the page: which frame it shows, and which part of it.
    this.canvas.dataset.seq = frame.seq;
    this.canvas.dataset.frameIds = frame.frameIds.join(" ");
    this.canvas.dataset.shows = source ? "strain" : "rest";
    for (const [name, shape] of Object.entries(regions.shapes)) {
      this.canvas.dataset[name] = shape ? `${shape.xMm.toFixed(3)} ${shape.zMm.toFixed(3)}` : "";
    }
    const layout = layOut(clientWidth, clientHeight, frame.grid);
    this.layout = layout;
    this.drawEcho(context, layout.bmode, frame);
    this.drawEcho(context, layout.strain, source ?? frame);
    if (source) {
      this.strain.update(source.grid, shown, limits.low, limits.high, colours);
      context.globalAlpha = opacity;
      this.place(context, this.strain, layout.strain);
      context.globalAlpha = 1;
      this.drawBar(context, limits, scale, colours);
    }
    this.drawAxes(context, layout.bmode, "B-mode", true);
    this.drawAxes(context, layout.strain, title, layout.stacked);
    this.drawRegions(context, regions);
    this.drawProfileFrame(context, profileMm);
    if (source && profileMm !== null) this.drawProfile(context, source.grid, shown.values, limits, scale, profileMm);
    if (words) this.drawWords(context, words);
  }

  place(context, image, { x, y, w, h }) {
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "low";
    context.drawImage(image.canvas, x, y, w, h);
  }

  drawEcho(context, rectangle, frame) {
    const { x, y, w, h } = rectangle;
    context.fillStyle = "#000";
    context.fillRect(x, y, w, h);
    if (frame.bmode) {
      this.bmode.update(frame.grid, frame.bmode);
      this.place(context, this.bmode, rectangle);
    } else if (rectangle === this.layout.bmode) {
      const middle = { align: "center", base: "middle" };
      label(context, "no B-mode in the stream", x + w / 2, y + h / 2 - 9, middle);
      label(context, "(rtelasto run --bmode)", x + w / 2, y + h / 2 + 9, middle);
    }
  }

  drawAxes(context, { x, y, w, h }, title, withDepths) {
    const { extent, scale } = this.layout;
    context.strokeStyle = INK.line;
    context.lineWidth = 1;
    context.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
    label(context, title, x, y - 8, { ink: INK.text });
    context.beginPath();
    const step = tickStep(scale, 44);
    for (const mm of ticks(extent.left, extent.right, step)) {
      const at = Math.round(x + (mm - extent.left) * scale) + 0.5;
      context.moveTo(at, y + h);
      context.lineTo(at, y + h + TICK);
      label(context, number(mm, 0), at, y + h + TICK + 2, { align: "center", base: "top" });
    }
    const down = tickStep(scale, 34);
    for (const mm of ticks(extent.top, extent.bottom, down)) {
      const at = Math.round(y + (mm - extent.top) * scale) + 0.5;
      context.moveTo(x - TICK, at);
      context.lineTo(x, at);
      if (withDepths) label(context, number(mm, 0), x - TICK - 3, at, { align: "right", base: "middle" });
    }
    context.stroke();
    if (withDepths) {
      label(context, "mm", x - TICK - 3, y + h + TICK + 2, { align: "right", base: "top" });
    }
  }

  drawWords(context, words) {
    const { x, y, w, h } = this.layout.strain;
    context.fillStyle = "rgb(16 19 23 / 70%)";
    context.fillRect(x, y + h - 26, w, 26);
    label(context, words, x + w / 2, y + h - 13, { align: "center", base: "middle", ink: INK.text, most: w - 8 });
  }

  drawBar(context, { low, high }, scale, colours) {
    const { x, y, w, h } = this.layout.bar;
    if (h < 20) return;
    this.bar.update(colours);
    this.place(context, this.bar, { x, y, w, h });
    context.strokeStyle = INK.line;
    context.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
    label(context, "soft", x, y - 8, { ink: INK.text });
    label(context, "hard", x, y + h + 16, { ink: INK.text });
    context.beginPath();
    for (const { at, text } of scaleTicks(scale, low, high, h)) {
      const atY = Math.round(y + h * (1 - at)) + 0.5;
      context.moveTo(x + w, atY);
      context.lineTo(x + w + TICK, atY);
      label(context, text, x + w + TICK + 3, atY, { base: "middle" });
    }
    context.stroke();
  }

  drawRegions(context, { shapes, selected }) {
    const { extent, scale } = this.layout;
    for (const [name, shape] of Object.entries(shapes)) {
      if (!shape) continue;
      for (const { x, y, w, h } of [this.layout.bmode, this.layout.strain]) {
        const [cx, cy] = [x + (shape.xMm - extent.left) * scale, y + (shape.zMm - extent.top) * scale];
        context.save();
        context.beginPath();
        context.rect(x, y, w, h);
        context.clip();
        context.beginPath();
        context.ellipse(cx, cy, shape.rxMm * scale, shape.rzMm * scale, 0, 0, 2 * Math.PI);
        // A dark outline, so that the line is visible on any colour.
        context.strokeStyle = "rgb(0 0 0 / 70%)";
        context.lineWidth = name === selected ? 5 : 4;
        context.stroke();
        context.strokeStyle = INK[name];
        context.lineWidth = name === selected ? 2.5 : 1.5;
        context.setLineDash(name === "background" ? [6, 4] : []);
        context.stroke();
        context.restore();
        label(context, REGION_NAMES[name], cx, cy, { align: "center", base: "middle", ink: INK[name] });
      }
    }
  }

  drawProfileFrame(context, profileMm) {
    const { profile, hasProfileColumn } = this.layout;
    const { x, y, w, h } = profile;
    if (hasProfileColumn) {
      context.strokeStyle = profileMm === null ? INK.faint : INK.line;
      context.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
      label(context, "axial profile", x, y - 8, { ink: profileMm === null ? INK.quiet : INK.text });
    } else if (profileMm !== null) {
      context.fillStyle = "rgb(16 19 23 / 65%)";
      context.fillRect(x, y, w, h);
    }
  }

  drawProfile(context, grid, values, { low, high }, scale, profileMm) {
    const { extent, scale: pxPerMm, strain, profile } = this.layout;
    const line = Math.round(profileMm / grid.linePitchMm + 0.5 * (grid.nLines - 1));
    const lineX = strain.x + (profileMm - extent.left) * pxPerMm;
    context.strokeStyle = "rgb(255 255 255 / 65%)";
    context.lineWidth = 1;
    context.setLineDash([3, 4]);
    context.beginPath();
    context.moveTo(lineX, strain.y);
    context.lineTo(lineX, strain.y + strain.h);
    context.stroke();
    context.setLineDash([]);
    const { x, y, w, h } = profile;
    label(context, `at ${number(profileMm, 1)} mm`, x + w - 5, y + 6, { align: "right", base: "top" });
    const across = (value) => x + w * Math.min(1, Math.max(0, (value - low) / (high - low)));
    for (const { at, text } of this.layout.hasProfileColumn ? scaleTicks(scale, low, high, w, 44) : []) {
      label(context, text, x + w * at, y + h + TICK + 2, { align: "center", base: "top" });
    }
    context.beginPath();
    let on = false;
    for (let depth = 0; depth < grid.nDepths; depth++) {
      const value = values[line * grid.nDepths + depth];
      if (Number.isNaN(value) || value === undefined) {
        on = false;
        continue;
      }
      const at = y + (depth + 0.5) * grid.axialStepMm * pxPerMm;
      if (on) context.lineTo(across(value), at);
      else context.moveTo(across(value), at);
      on = true;
    }
    context.strokeStyle = INK.accent;
    context.lineWidth = 1.5;
    context.stroke();
  }
}

/** Ticks of the colours' scale: place (0 at `low`, 1 at `high`) and text. */
function scaleTicks(scale, low, high, lengthPx, leastPx = 34) {
  const span = high - low;
  const fine = tickStep(lengthPx / span, leastPx);
  const step = scale.unit !== "%" && span >= 2 ? Math.max(1, fine) : fine;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const text =
    scale.unit === "%"
      ? (value) => `${number(value, digits)} %`
      : (value) => `× ${Number(scale.fromColour(value).toPrecision(2))}`;
  return ticks(low, high, step).map((value) => ({ at: (value - low) / span, text: text(value) }));
}
