// Two elliptic regions of interest, and their positions in each frame.

import { carried } from "./carry.js";

export const NAMES = ["lesion", "background"];
const LEAST_SEMI_MM = 0.5;

/** The two regions, the selected one, and their movements. */
export class Regions {
  constructor() {
    /** Their positions in the frame shown. */
    this.shapes = { lesion: null, background: null };
    this.selected = null;
    /** Changes with every edit by the user; positions in other frames are then computed again. */
    this.revision = 0;
  }

  get any() {
    return NAMES.some((name) => this.shapes[name]);
  }

  /** Called after the user edits the shapes in `frame`. */
  changed(frame) {
    this.revision += 1;
    if (frame) this.keep(frame, this.shapes);
  }

  keep(frame, { lesion, background }) {
    frame.places = { revision: this.revision, lesion, background };
  }

  knows(frame) {
    return frame.places?.revision === this.revision;
  }

  /** Compute the positions in all frames of a series from those in any of them; the last edit takes precedence. */
  carry(frames) {
    const known = frames.findIndex((frame) => this.knows(frame));
    if (known < 0) {
      // Edited before these frames: use the present positions.
      if (frames.length) this.keep(frames.at(-1), this.shapes);
      if (frames.length > 1) this.carry(frames);
      return;
    }
    for (let i = known + 1; i < frames.length; i++) this.pass(frames[i - 1], frames[i], false);
    for (let i = known - 1; i >= 0; i--) this.pass(frames[i + 1], frames[i], true);
  }

  pass(from, to, back) {
    if (this.knows(to)) return;
    const moved = (name) => carried(from.places[name], from, to, back);
    this.keep(to, { lesion: moved("lesion"), background: moved("background") });
  }

  /** Use the positions in a frame as the shapes that are shown and can be edited. */
  show(frame) {
    if (!this.knows(frame)) this.keep(frame, this.shapes);
    const { lesion, background } = frame.places;
    this.shapes = { lesion: lesion && { ...lesion }, background: background && { ...background } };
  }

  /** The ellipse within two corners of a box, in mm. */
  draw(name, from, to) {
    this.shapes[name] = {
      xMm: (from.xMm + to.xMm) / 2,
      zMm: (from.zMm + to.zMm) / 2,
      rxMm: Math.max(LEAST_SEMI_MM, Math.abs(to.xMm - from.xMm) / 2),
      rzMm: Math.max(LEAST_SEMI_MM, Math.abs(to.zMm - from.zMm) / 2),
    };
  }

  /** Place one without a pointer: in the middle for a lesion, above it for the background. */
  place(name, extent) {
    const [width, height] = [extent.right - extent.left, extent.bottom - extent.top];
    const radius = Math.min(width, height) / 8;
    const middle = (extent.top + extent.bottom) / 2;
    this.shapes[name] = {
      xMm: (extent.left + extent.right) / 2,
      zMm: name === "lesion" ? middle : middle - 3 * radius,
      rxMm: radius,
      rzMm: radius,
    };
  }

  /** The region that contains a point. */
  at({ xMm, zMm }) {
    for (const [name, shape] of Object.entries(this.shapes)) {
      if (!shape) continue;
      const [a, b] = [(xMm - shape.xMm) / shape.rxMm, (zMm - shape.zMm) / shape.rzMm];
      if (a * a + b * b <= 1) return name;
    }
    return null;
  }

  /** Move or, with `resize`, widen the selected region, its centre staying in the image. */
  nudge(dxMm, dzMm, resize, extent) {
    const shape = this.shapes[this.selected];
    if (!shape) return;
    if (resize) {
      shape.rxMm = Math.max(LEAST_SEMI_MM, shape.rxMm + dxMm);
      shape.rzMm = Math.max(LEAST_SEMI_MM, shape.rzMm + dzMm);
    } else {
      shape.xMm = Math.min(extent.right, Math.max(extent.left, shape.xMm + dxMm));
      shape.zMm = Math.min(extent.bottom, Math.max(extent.top, shape.zMm + dzMm));
    }
  }

  /** Remove the selected region, or both. */
  clear() {
    if (this.selected && this.shapes[this.selected]) this.shapes[this.selected] = null;
    else this.shapes = { lesion: null, background: null };
    this.selected = null;
  }
}
