// Measures of the strain in two regions: of one frame by the rules of rtelasto.accuracy.region_measures, and
// of all presses together as a figure for the record.

import { lowestCorrelation } from "./certainty.js";
import { direction } from "./values.js";
import { NO_STRAIN } from "./wire.js";

const LEAST_PIXELS = 4;
// Least share of a region that must be reliable for a frame to count in the figure.
const LEAST_COVER = 0.5;
const LEAST_FRAMES = 3;
const LEAST_RUNS = 3;
// If half of the interval is wider than this share of the ratio, the ratio is not valid.
const WIDEST = 0.5;
// Student's t at 97.5 % for 2, 3, … degrees of freedom; the normal value beyond.
const T = [4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131];

/**
 * Mean and variance of the strain, positive in the direction of the press, over the pixels of an ellipse
 * whose correlation is high enough, and the share of these; null if they are too few.
 *
 * `region`: centre `xMm`, `zMm` and half axes `rxMm`, `rzMm`.
 */
export function regionStrain(frame, region, maskBelow) {
  const { grid, strain, correlation } = frame;
  const lowest = lowestCorrelation(maskBelow);
  const centreLine = 0.5 * (grid.nLines - 1);
  let [count, all, sum, squares] = [0, 0, 0, 0];
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
      all += 1;
      if (strain[i] === NO_STRAIN || correlation[i] < lowest) continue;
      count += 1;
      sum += strain[i];
      squares += strain[i] * strain[i];
    }
  }
  if (count < LEAST_PIXELS) return null;
  const scale = direction(frame) * frame.strainScale;
  const mean = sum / count;
  const variance = Math.max(0, squares / count - mean * mean);
  return { count, cover: count / all, mean: mean * scale, variance: variance * scale * scale };
}

/** Strain ratio, SNRe and CNRe (dB) of two regions, each null if it is not defined. */
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

/** Measure both regions of a frame of a press, where they lie in it; nulls for other frames. */
export function measureFrame(frame, maskBelow) {
  const { places, measured } = frame;
  if (!places || !frame.run) return { lesion: null, background: null };
  if (measured?.revision === places.revision && measured.maskBelow === maskBelow) return measured;
  const of = (shape) => (shape ? regionStrain(frame, shape, maskBelow) : null);
  frame.measured = {
    revision: places.revision,
    maskBelow,
    lesion: of(places.lesion),
    background: of(places.background),
  };
  return frame.measured;
}

/**
 * The strain ratio over all presses: { ratio, halfWidth, frames, presses, why }.
 *
 * It is the sum of the background's mean strains over the sum of the lesion's, so that each frame is
 * weighted by its strain. Half the width of its 95 % interval comes from leaving out one run (a press or a
 * release) at a time: errors within one run are correlated. `ratio` is null if it is not valid, and
 * `why` gives the reason.
 */
export function strainRatio(frames, maskBelow) {
  const runs = new Map();
  const presses = new Set();
  let count = 0;
  for (const frame of frames) {
    const { lesion, background } = measureFrame(frame, maskBelow);
    if (!lesion || !background || Math.min(lesion.cover, background.cover) < LEAST_COVER) continue;
    const sums = runs.get(frame.run) ?? { lesion: 0, background: 0 };
    sums.lesion += lesion.mean;
    sums.background += background.mean;
    runs.set(frame.run, sums);
    presses.add(frame.press);
    count += 1;
  }
  const found = { ratio: null, halfWidth: null, frames: count, presses: presses.size, why: "" };
  if (count < LEAST_FRAMES) return { ...found, why: "press: no strain in both regions yet" };
  const parts = [...runs.values()];
  const total = (name, but) => parts.reduce((sum, part) => sum + (part === but ? 0 : part[name]), 0);
  const ratioWithout = (but) => total("background", but) / total("lesion", but);
  if (!(total("lesion") > 0 && total("background") > 0)) {
    return { ...found, why: "not valid: a region does not follow the press" };
  }
  const ratio = ratioWithout(null);
  if (parts.length < LEAST_RUNS) return { ...found, ratio, why: "press again for its interval" };
  const n = parts.length;
  const left = parts.map(ratioWithout);
  const mean = left.reduce((sum, value) => sum + value, 0) / n;
  const variance = ((n - 1) / n) * left.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const halfWidth = (T[n - 3] ?? 1.96) * Math.sqrt(variance);
  if (!(halfWidth <= WIDEST * ratio)) return { ...found, why: "not valid: presses differ too much" };
  return { ...found, ratio, halfWidth };
}
