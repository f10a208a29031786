// Converts frames to what is shown: values in the units of the colours, and their certainty.

import { isTelling, lowestCorrelation, opacityOfCorrelation, opacityOfStd } from "./certainty.js";
import { NO_STRAIN } from "./wire.js";

export const RELATIVE = "relative";
export const INSTANTANEOUS = "instantaneous";

const RELATIVE_SCALE = 1 / 2048;
// Tissue that does not strain in the direction of the press at all gets the hard end of the scale.
const HARDEST = -8;
// Harder tissue has the same colour, so its certainty is judged at this value, not at a smaller one.
const HARDEST_SHOWN = -2;
const LOG2_OF_STORED = Float32Array.from({ length: 65536 }, (_, i) => {
  const stored = i < 32768 ? i : i - 65536;
  return stored === NO_STRAIN ? NaN : Math.max(HARDEST, Math.log2(Math.max(stored, 1e-3) * RELATIVE_SCALE));
});

/** +1 if the frame's strain has the sign of a release, -1 if it has that of a press. */
export function direction(frame) {
  return frame.appliedStrain > 0 ? 1 : -1;
}

/** Whether a frame has something to show in a mode. */
export function hasPicture(frame, mode) {
  if (mode === INSTANTANEOUS) return isTelling(frame);
  return frame.relative !== null && (frame.persistence === null || frame.persistence.presses !== 0);
}

/**
 * What a frame shows: `values` [line][depth], NaN where strain is too uncertain, and `opacity` (0 to 255),
 * which falls with the certainty.
 *
 * Instantaneous strain is in %, positive in the direction of the press; relative strain is
 * its base-2 logarithm, 0 for average tissue. `into` is an earlier result whose memory is reused.
 */
export function shownValues(frame, mode, maskBelow, into) {
  const count = frame.strain.length;
  const fits = into && into.values.length === count;
  const shown = fits ? into : { values: new Float32Array(count), opacity: new Uint8Array(count) };
  if (!hasPicture(frame, mode)) {
    shown.values.fill(NaN);
    shown.opacity.fill(0);
  } else if (mode === INSTANTANEOUS) {
    fillInstantaneous(frame, maskBelow, shown);
  } else {
    fillRelative(frame, maskBelow, shown);
  }
  return shown;
}

function fillInstantaneous(frame, maskBelow, { values, opacity }) {
  const { strain, correlation, strainStd } = frame;
  const percent = 100 * direction(frame) * frame.strainScale;
  const lowest = lowestCorrelation(maskBelow);
  const byCorrelation = opacityOfCorrelation(frame.appliedStrain, maskBelow);
  for (let i = 0; i < strain.length; i++) {
    let sure = byCorrelation[correlation[i]];
    if (strainStd && correlation[i] >= lowest) sure = opacityOfStd(strainStd[i], 0);
    const usable = sure > 0 && strain[i] !== NO_STRAIN;
    values[i] = usable ? percent * strain[i] : NaN;
    opacity[i] = usable ? sure : 0;
  }
}

function fillRelative(frame, maskBelow, { values, opacity }) {
  const { relative, relativeStd, correlation } = frame;
  const lowest = lowestCorrelation(maskBelow);
  for (let i = 0; i < relative.length; i++) {
    const value = LOG2_OF_STORED[relative[i] & 0xffff];
    let sure = correlation[i] >= lowest ? 255 : 0;
    if (relativeStd) sure = opacityOfStd(relativeStd[i], Math.max(value, HARDEST_SHOWN));
    const usable = sure > 0 && value === value;
    values[i] = usable ? value : NaN;
    opacity[i] = usable ? sure : 0;
  }
}
