// How certain strain is, relative to the applied strain, and where it may be shown: the same rules as in
// rtelasto.sinks.shown_strain.

// Below this applied strain (0.05 %) tissue is at rest: frames agree well, but carry no information on stiffness.
export const REST_STRAIN = 5e-4;
// A pair with a lower median correlation shows noise.
export const POOR_QUALITY = 0.5;
// Noise of a pair's strain if its engine states none: this times √(1 − c²)/c at the correlation c.
const NOISE_STRAIN = 1e-3;
// Up to the first share of the applied strain (or of the relative strain) a pixel is shown fully, from the second on not at all.
const SURE = 0.15;
const UNSURE = 0.5;

const SIZE = 256;
const STD_OF_1 = 160;
const STD_STEPS_PER_OCTAVE = 16;

function opacity(std) {
  return Math.round(255 * Math.min(1, Math.max(0, (UNSURE - std) / (UNSURE - SURE))));
}

const OPACITY_OF_STORED = Uint8Array.from({ length: SIZE }, (_, stored) =>
  opacity(2 ** ((stored - STD_OF_1) / STD_STEPS_PER_OCTAVE)),
);

/** Opacity (0 to 255) of a stored standard deviation of 2^`log2Value`; 0 if unknown. */
export function opacityOfStd(stored, log2Value) {
  if (stored === SIZE - 1) return 0;
  const over = Math.round(stored - STD_STEPS_PER_OCTAVE * log2Value);
  return over < 0 ? 255 : over >= SIZE ? 0 : OPACITY_OF_STORED[over];
}

/** Opacity of each stored correlation at an applied strain. */
export function opacityOfCorrelation(appliedStrain, maskBelow) {
  const lowest = lowestCorrelation(maskBelow);
  return Uint8Array.from({ length: SIZE }, (_, stored) => {
    if (stored < lowest || stored === 0) return 0;
    const c = stored / (SIZE - 1);
    return opacity((NOISE_STRAIN * Math.sqrt(1 - c * c)) / c / Math.abs(appliedStrain));
  });
}

/** Whether a pair carries information on stiffness: enough strain, and enough correlation. */
export function isTelling(frame) {
  const { appliedStrain, quality } = frame;
  return appliedStrain !== null && Math.abs(appliedStrain) >= REST_STRAIN && (quality ?? 0) >= POOR_QUALITY;
}

/** The least correlation (0 to 255) that is shown with a threshold of 0 to 1. */
export function lowestCorrelation(maskBelow) {
  return Math.ceil(255 * maskBelow - 1e-9);
}
