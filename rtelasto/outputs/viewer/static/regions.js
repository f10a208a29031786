// Two elliptic regions of interest and what the strain in them says: the rules of rtelasto.accuracy.region_measures.

import { NO_STRAIN } from "./wire.js";
import { lowestCorrelation } from "./values.js";

const LEAST_PIXELS = 4;
const LEAST_SEMI_MM = 0.5;

/**
 * Mean and variance of the strain (signed, as measured) over the pixels of an ellipse whose correlation
 * is high enough; null where they are too few.
 *
 * `region`: centre `xMm`, `zMm` and half axes `rxMm`, `rzMm`.
 */
export function regionStrain(frame, region, maskBelow) {
  const { grid, strain, correlation, strainScale } = frame;
  const lowest = lowestCorrelation(maskBelow);
  const centreLine = 0.5 * (grid.nLines - 1);
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (let line = 0; line < grid.nLines; line++) {
    const across = ((line - centreLine) * grid.linePitchMm - region.xMm) / region.rxMm;
    const left = 1 - across * across;
    if (left < 0) continue;
    const reach = region.rzMm * Math.sqrt(left);
    const first = (region.zMm - reach - grid.startDepthMm) / grid.axialStepMm;
    const last = (region.zMm + reach - grid.startDepthMm) / grid.axialStepMm;
    const end = Math.min(grid.nDepths - 1, Math.floor(last + 1e-9));
    for (let depth = Math.max(0, Math.ceil(first - 1e-9)); depth <= end; depth++) {
      const i = line * grid.nDepths + depth;
      if (strain[i] === NO_STRAIN || correlation[i] < lowest) continue;
      count += 1;
      sum += strain[i];
      squares += strain[i] * strain[i];
    }
  }
  if (count < LEAST_PIXELS) return null;
  const mean = sum / count;
  const variance = Math.max(0, squares / count - mean * mean);
  return { count, mean: mean * strainScale, variance: variance * strainScale * strainScale };
}

/** Strain ratio, SNRe and CNRe (dB) of two regions, each null where it is not defined. */
export function compare(lesion, background) {
  const db = (ratio) => (ratio > 0 ? 20 * Math.log10(ratio) : null);
  const both = lesion && background;
  const noise = both ? lesion.variance + background.variance : 0;
  return {
    ratio: both && lesion.mean !== 0 ? background.mean / lesion.mean : null,
    snreDb:
      background && background.variance > 0
        ? db(Math.abs(background.mean) / Math.sqrt(background.variance))
        : null,
    cnreDb: noise > 0 ? db((2 * (background.mean - lesion.mean) ** 2) / noise) : null,
  };
}

/** The two regions, which of them is selected, and their moves. */
export class Regions {
  constructor() {
    this.shapes = { lesion: null, background: null };
    this.selected = null;
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

  /** Which region a point lies in. */
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
