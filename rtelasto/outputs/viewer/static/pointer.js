// Pointer on the images: draw a region, drag one, or see the axial profile under the cursor.

import { toMm } from "./layout.js";

const LEAST_DRAG_PX = 4;

/**
 * Connects the stage's canvas with `regions`.
 *
 * `tool()` is the region to be drawn, or null; `drawn()` is called when one has been; `profile(mm)` with
 * the lateral position under the cursor, null beside the images; `changed()` after every change.
 */
export function followPointer(stage, regions, { tool, drawn, profile, changed }) {
  const { canvas } = stage;
  let drag = null;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return stage.layout && { x, y, mm: toMm(stage.layout, x, y) };
  };

  canvas.addEventListener("pointerdown", (event) => {
    const at = place(event);
    if (!at?.mm) return;
    const hit = regions.at(at.mm);
    if (tool()) {
      drag = { draws: tool(), from: at };
    } else if (hit) {
      regions.selected = hit;
      drag = { moves: regions.shapes[hit], last: at.mm };
    } else {
      regions.selected = null;
    }
    if (drag) canvas.setPointerCapture(event.pointerId);
    changed();
  });

  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (!at) return;
    profile(at.mm ? at.mm.xMm : null);
    if (!drag || !at.mm) return;
    if (drag.draws) {
      const far = Math.hypot(at.x - drag.from.x, at.y - drag.from.y) >= LEAST_DRAG_PX;
      if (far && at.mm.image === drag.from.mm.image) regions.draw(drag.draws, drag.from.mm, at.mm);
    } else {
      drag.moves.xMm += at.mm.xMm - drag.last.xMm;
      drag.moves.zMm += at.mm.zMm - drag.last.zMm;
      drag.last = at.mm;
    }
    changed();
  });

  const end = () => {
    if (drag?.draws && regions.shapes[drag.draws]) {
      regions.selected = drag.draws;
      drawn();
    }
    drag = null;
    changed();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => drag || profile(null));
}
