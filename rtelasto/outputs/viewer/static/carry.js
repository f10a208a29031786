// Carries regions along with the tissue, by the displacement that was measured in each pair.

import { belongTogether } from "./wire.js";

// After a longer pause the tissue's position is unknown: regions stay where they are.
const MOST_PAUSE_MS = 500;

function middle(values) {
  if (!values.length) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Displacement within an ellipse from a frame's first to its second RF frame, in mm: the median. */
export function motionWithin(frame, shape) {
  const { motion, grid } = frame;
  if (!motion) return { dxMm: 0, dzMm: 0 };
  const axial = [];
  const lateral = [];
  let nearest = Infinity;
  for (let i = 0, k = 0; i < motion.lines.length; i++) {
    const x = (motion.lines[i] - 0.5 * (grid.nLines - 1)) * grid.linePitchMm;
    for (let j = 0; j < motion.depths.length; j++, k++) {
      if (motion.axial_um[k] === null) continue;
      const z = grid.startDepthMm + motion.depths[j] * grid.axialStepMm;
      const off = ((x - shape.xMm) / shape.rxMm) ** 2 + ((z - shape.zMm) / shape.rzMm) ** 2;
      if (off > 1 && off >= nearest) continue;
      // A region smaller than the mesh follows the point nearest to it.
      if (nearest > 1) axial.length = lateral.length = 0;
      nearest = Math.min(nearest, off);
      axial.push(motion.axial_um[k]);
      if (motion.lateral_um && motion.lateral_um[k] !== null) lateral.push(motion.lateral_um[k]);
    }
  }
  return { dxMm: middle(lateral) / 1000, dzMm: middle(axial) / 1000 };
}

/**
 * How far tissue within an ellipse moves from the first RF frame of `from` to that of `to`, the next frame.
 *
 * Pairs may overlap, skip frames or begin at an earlier one. Tissue is assumed to move evenly within a pair.
 */
function step(from, to, shape) {
  const still = { dxMm: 0, dzMm: 0 };
  if (!belongTogether(from, to) || to.arrivedMs - from.arrivedMs > MOST_PAUSE_MS) return still;
  const [[p1, q1], [p2, q2]] = [from.frameIds, to.frameIds];
  if (q1 <= p1 || q2 <= p2) return still;
  const first = motionWithin(from, shape);
  const second = motionWithin(to, shape);
  const scaled = ({ dxMm, dzMm }, by) => ({ dxMm: by * dxMm, dzMm: by * dzMm });
  if (p2 < p1) return scaled(second, (p2 - p1) / (q2 - p2));
  if (p2 <= q1) return scaled(first, (p2 - p1) / (q1 - p1));
  // Between the pairs, assume the mean speed of both.
  const gap = p2 - q1;
  const [a, b] = [scaled(first, 1 + gap / (2 * (q1 - p1))), scaled(second, gap / (2 * (q2 - p2)))];
  return { dxMm: a.dxMm + b.dxMm, dzMm: a.dzMm + b.dzMm };
}

/** The ellipse of `from` as it lies in the next frame, `to`; or in the one before, with `back`. */
export function carried(shape, from, to, back = false) {
  if (!shape) return null;
  const { dxMm, dzMm } = back ? step(to, from, shape) : step(from, to, shape);
  const sign = back ? -1 : 1;
  return { ...shape, xMm: shape.xMm + sign * dxMm, zMm: shape.zMm + sign * dzMm };
}
