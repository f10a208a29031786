// The pointer on the images: draws a region, drags one, or shows the axial profile under the cursor.

import { toMm } from "./layout.js";

const LEAST_DRAG_PX = 4;

/**
 * Connects the stage's canvas with `regions`.
 *
 * `tool()` returns the region to draw, or null. `drawn()` is called after a region was drawn, `profile(mm)`
 * with the lateral position under the cursor, null outside the images, `edited()` after every change of a
 * region, `changed()` after every other change. Only the first finger, or the mouse, is used.
 */
export function followPointer(stage, regions, { tool, drawn, profile, edited, changed }) {
  const { canvas } = stage;
  let drag = null;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return stage.layout && { x, y, mm: toMm(stage.layout, x, y) };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary) {
      // A second finger is a gesture other than drawing: undo what the first began.
      undo();
      return;
    }
    const at = place(event);
    if (!at?.mm) return;
    const hit = regions.at(at.mm);
    if (tool()) {
      drag = { draws: tool(), from: at, before: regions.shapes[tool()] };
    } else if (hit) {
      regions.selected = hit;
      drag = { moves: hit, last: at.mm, before: { ...regions.shapes[hit] } };
    } else {
      regions.selected = null;
    }
    if (drag) canvas.setPointerCapture(event.pointerId);
    changed();
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    const at = place(event);
    if (!at) return;
    profile(at.mm ? at.mm.xMm : null);
    if (!drag || !at.mm) return;
    if (drag.draws) {
      const far = Math.hypot(at.x - drag.from.x, at.y - drag.from.y) >= LEAST_DRAG_PX;
      if (far && at.mm.image === drag.from.mm.image) regions.draw(drag.draws, drag.from.mm, at.mm);
    } else {
      const shape = regions.shapes[drag.moves];
      shape.xMm += at.mm.xMm - drag.last.xMm;
      shape.zMm += at.mm.zMm - drag.last.zMm;
      drag.last = at.mm;
    }
    edited();
  });

  const undo = () => {
    if (!drag) return;
    regions.shapes[drag.draws ?? drag.moves] = drag.before;
    drag = null;
    edited();
  };

  canvas.addEventListener("pointerup", (event) => {
    if (!event.isPrimary || !drag) return;
    if (drag.draws && regions.shapes[drag.draws] !== drag.before) {
      regions.selected = drag.draws;
      drawn();
    }
    drag = null;
    changed();
  });
  canvas.addEventListener("pointercancel", undo);
  canvas.addEventListener("pointerleave", () => drag || profile(null));
}
