// Paints the frame shown: the newest one live, or a held one as it was first shown.

import { COLOURS } from "./colours.js";
import { extentMm } from "./layout.js";
import { Picture, asSeen } from "./picture.js";
import { Stage } from "./stage.js";
import { RELATIVE, shownValues } from "./values.js";

const TITLES = {
  relative: "relative strain, 1 = average",
  instantaneous: "axial strain of one pair",
};

export class View {
  constructor(canvas, preferences, controls, regions) {
    this.preferences = preferences;
    this.controls = controls;
    this.regions = regions;
    this.stage = new Stage(canvas);
    this.picture = new Picture();
    /** What is shown: { source, mode, limits }. */
    this.seen = { source: null, mode: RELATIVE, limits: null };
    this.profileMm = null;
    this.values = null;
  }

  paint({ shown: frame, frozen }) {
    const { preferences, controls, regions, profileMm } = this;
    const { source, mode, limits } = frozen ? asSeen(frame, preferences.mode) : this.picture.choose(frame, preferences.mode);
    controls.showMode(mode, frame.relative !== null);
    const { range } = controls;
    if (source) this.values = shownValues(source, mode, preferences.maskBelow / 100, this.values);
    if (!frozen && source === frame) range.update(this.values.values);
    // A range that the user fixed applies to all frames; an automatic one belongs to the frame as it was shown.
    const used = range.auto && limits ? limits : range.limits;
    this.seen = { source, mode, limits: used };
    if (!frozen) frame.seen = this.seen;
    this.stage.draw({
      frame,
      source,
      shown: this.values,
      limits: used,
      scale: range.scale,
      colours: COLOURS[preferences.colours].pixels,
      opacity: preferences.opacity / 100,
      regions,
      profileMm,
      title: TITLES[mode],
      words: wordsFor(frame, source),
    });
  }

  moveProfile(sign, grid) {
    const { left, right } = extentMm(grid);
    const half = 0.5 * grid.linePitchMm;
    const next = (this.profileMm ?? 0) + sign * grid.linePitchMm;
    this.profileMm = Math.min(right - half, Math.max(left + half, next));
  }
}

/** Text in the strain image beside strain. */
function wordsFor(frame, source) {
  if (!source) return "no strain to show: press gently";
  return "";
}
