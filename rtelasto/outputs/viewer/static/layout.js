// Where the images lie on the stage: one scale for both, the same along and across.

const LEFT = 46;
const TOP = 24;
const BOTTOM = 34;
const GAP = 22;
const BAR_GAP = 14;
const BAR_WIDTH = 14;
const BAR_ROOM = 66;
const PROFILE_WIDTH = 96;
const PROFILE_RIGHT = 18;
// The profile has a column of its own unless that makes the images smaller than this share of what they
// could be; then it lies over the strain image.
const LEAST_SHARE = 0.85;
const LEAST_SCALE = 0.5;

/** Extent of a grid in mm, half a pixel beyond the outermost centres. */
export function extentMm(grid) {
  const half = 0.5 * grid.nLines * grid.linePitchMm;
  const top = grid.startDepthMm - 0.5 * grid.axialStepMm;
  return { left: -half, right: half, top, bottom: top + grid.nDepths * grid.axialStepMm };
}

/**
 * Rectangles of the images, the colour bar and the profile in CSS pixels, and the scale in pixels a mm.
 *
 * The profile's column is there whether it is shown or not, so that nothing moves when the cursor comes.
 */
export function layOut(width, height, grid) {
  const extent = extentMm(grid);
  const [widthMm, heightMm] = [extent.right - extent.left, extent.bottom - extent.top];
  const scaleBeside = (room) => {
    const fits = Math.min((width - room) / (2 * widthMm), (height - TOP - BOTTOM) / heightMm);
    return Math.max(LEAST_SCALE, fits);
  };
  const without = LEFT + GAP + BAR_GAP + BAR_WIDTH + BAR_ROOM;
  const column = scaleBeside(without + PROFILE_WIDTH + PROFILE_RIGHT) > LEAST_SHARE * scaleBeside(without);
  const beside = without + (column ? PROFILE_WIDTH + PROFILE_RIGHT : 0);
  const scale = scaleBeside(beside);
  const [w, h] = [scale * widthMm, scale * heightMm];
  const left = LEFT + Math.max(0, (width - beside - 2 * w) / 2);
  const top = TOP + Math.max(0, (height - TOP - BOTTOM - h) / 2);
  const strainX = left + w + GAP;
  const barX = strainX + w + BAR_GAP;
  return {
    extent,
    scale,
    bmode: { x: left, y: top, w, h },
    strain: { x: strainX, y: top, w, h },
    bar: { x: barX, y: top + 22, w: BAR_WIDTH, h: Math.max(40, Math.min(h - 44, 320)) },
    profile: column
      ? { x: barX + BAR_WIDTH + BAR_ROOM, y: top, w: PROFILE_WIDTH, h }
      : { x: strainX + w / 2, y: top, w: w / 2, h },
    hasProfileColumn: column,
  };
}

/** Point on the stage to mm in the tissue, and which image it is on; null beside the images. */
export function toMm(layout, x, y) {
  for (const name of ["bmode", "strain"]) {
    const { x: left, y: top, w, h } = layout[name];
    if (x >= left && x <= left + w && y >= top && y <= top + h) {
      return {
        xMm: layout.extent.left + (x - left) / layout.scale,
        zMm: layout.extent.top + (y - top) / layout.scale,
        image: name,
      };
    }
  }
  return null;
}

/** A step of 1, 2 or 5 times a power of ten that leaves at least `leastPx` between ticks. */
export function tickStep(pxPerUnit, leastPx) {
  const raw = leastPx / pxPerUnit;
  const power = 10 ** Math.floor(Math.log10(raw));
  for (const factor of [1, 2, 5, 10]) {
    if (factor * power >= raw - 1e-12) return factor * power;
  }
  return 10 * power;
}

/** Multiples of `step` from `low` to `high`. */
export function ticks(low, high, step) {
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) found.push(k * step);
  return found;
}
