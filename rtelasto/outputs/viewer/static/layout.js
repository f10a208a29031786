// The positions of the images on the stage, with one scale for both images and both axes.

const LEFT = 46;
const TOP = 24;
const BOTTOM = 34;
const GAP = 22;
const BAR_GAP = 14;
const BAR_WIDTH = 14;
const BAR_ROOM = 66;
const PROFILE_WIDTH = 96;
const PROFILE_RIGHT = 18;
// The profile has a column of its own unless that would shrink the images below this share of their
// possible size; then it lies over the strain image.
const LEAST_SHARE = 0.85;
// Stack the images only if that makes them larger by this factor.
const STACK_GAIN = 1.15;
const LEAST_SCALE = 0.1;

/** Extent of a grid in mm, half a pixel beyond the outermost centres. */
export function extentMm(grid) {
  const half = 0.5 * grid.nLines * grid.linePitchMm;
  const top = grid.startDepthMm - 0.5 * grid.axialStepMm;
  return { left: -half, right: half, top, bottom: top + grid.nDepths * grid.axialStepMm };
}

/**
 * Rectangles of the images, the colour bar and the profile in CSS pixels, and the scale in pixels per mm.
 *
 * The images stand side by side, or one above the other on a narrow stage. The profile's column is
 * reserved even if it is not shown, so that nothing moves when the cursor enters.
 */
export function layOut(width, height, grid) {
  const extent = extentMm(grid);
  const [widthMm, heightMm] = [extent.right - extent.left, extent.bottom - extent.top];
  const fit = (across, room, down) =>
    Math.max(
      LEAST_SCALE,
      Math.min((width - room) / (across * widthMm), (height - down * (TOP + BOTTOM)) / (down * heightMm)),
    );
  const without = LEFT + GAP + BAR_GAP + BAR_WIDTH + BAR_ROOM;
  const stacked = fit(1, without - GAP, 2) > STACK_GAIN * fit(2, without, 1);
  const [across, down] = stacked ? [1, 2] : [2, 1];
  const narrow = stacked ? without - GAP : without;
  const column =
    fit(across, narrow + PROFILE_WIDTH + PROFILE_RIGHT, down) > LEAST_SHARE * fit(across, narrow, down);
  const room = narrow + (column ? PROFILE_WIDTH + PROFILE_RIGHT : 0);
  const scale = fit(across, room, down);
  const [w, h] = [scale * widthMm, scale * heightMm];
  const left = LEFT + Math.max(0, (width - room - across * w) / 2);
  const top = TOP + Math.max(0, (height - down * (h + TOP + BOTTOM)) / 2);
  const strain = stacked
    ? { x: left, y: top + h + BOTTOM + TOP, w, h }
    : { x: left + w + GAP, y: top, w, h };
  const barX = strain.x + w + BAR_GAP;
  const barInset = Math.min(22, h / 5);
  return {
    extent,
    scale,
    stacked,
    bmode: { x: left, y: top, w, h },
    strain,
    bar: { x: barX, y: strain.y + barInset, w: BAR_WIDTH, h: Math.min(h - 2 * barInset, 320) },
    profile: column
      ? { x: barX + BAR_WIDTH + BAR_ROOM, y: strain.y, w: PROFILE_WIDTH, h }
      : { x: strain.x + w / 2, y: strain.y, w: w / 2, h },
    hasProfileColumn: column,
  };
}

/** Convert a point on the stage to mm in the tissue, and its image; null outside the images. */
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
