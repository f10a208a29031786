// From frames to the values that are shown: sign, mask and persistence.

import { NO_STRAIN, sameGrid } from "./wire.js";

// Under so little applied strain (0.05 %) tissue is at rest, and the sign of its median is noise.
export const REST_STRAIN = 5e-4;
// Applied strain from which a frame counts fully in the average; at rest it would only add noise.
const FULL_STRAIN = 2e-3;

/** Whether a frame shows tissue being compressed (-1) or released (+1); at rest, `last`. */
export function direction(frame, last) {
  const applied = frame.appliedStrain;
  if (applied === null || Math.abs(applied) < REST_STRAIN) return last;
  return applied < 0 ? -1 : 1;
}

/** The `count` newest frames up to `index` that belong together, newest first. */
export function latestOf(frames, index, count) {
  const newest = frames[index];
  const chosen = [newest];
  for (let i = index - 1; i >= 0 && chosen.length < count; i--) {
    const frame = frames[i];
    if (frame.stream !== newest.stream || !sameGrid(frame.grid, newest.grid)) break;
    chosen.push(frame);
  }
  return chosen;
}

/**
 * Strain in %, positive where tissue gives way in the direction of the press, NaN where it cannot be
 * trusted: [line][depth].
 *
 * With several frames it is their mean, each pixel weighted by its correlation and each frame by its
 * quality and, below 0.2 %, by its applied strain.
 */
export function shownStrain(frames, maskBelow, out) {
  const count = frames[0].strain.length;
  const values = out && out.length === count ? out : new Float32Array(count);
  const lowest = lowestCorrelation(maskBelow);
  if (frames.length === 1) {
    const { strain, correlation, strainScale, direction: sign } = frames[0];
    const percent = 100 * sign * strainScale;
    for (let i = 0; i < count; i++) {
      const usable = strain[i] !== NO_STRAIN && correlation[i] >= lowest;
      values[i] = usable ? percent * strain[i] : NaN;
    }
    return values;
  }
  const weights = new Float32Array(count);
  values.fill(0);
  for (const frame of frames) {
    const { strain, correlation, strainScale, direction: sign } = frame;
    const press = Math.min(1, Math.abs(frame.appliedStrain ?? 0) / FULL_STRAIN);
    const frameWeight = ((frame.quality ?? 0) * press + 1e-6) / 255;
    const percent = 100 * sign * strainScale;
    for (let i = 0; i < count; i++) {
      if (strain[i] === NO_STRAIN || correlation[i] < lowest) continue;
      const weight = frameWeight * correlation[i];
      values[i] += weight * percent * strain[i];
      weights[i] += weight;
    }
  }
  for (let i = 0; i < count; i++) values[i] = weights[i] > 0 ? values[i] / weights[i] : NaN;
  return values;
}

/** The least correlation (0 to 255) that is shown with a threshold of 0 to 1. */
export function lowestCorrelation(maskBelow) {
  return Math.ceil(255 * maskBelow - 1e-9);
}
