// Converts values to pixels: one canvas pixel per image pixel, upright as on the screen (rows are depths).

import { GREY_OF_BMODE } from "./colours.js";

class PixelImage {
  constructor() {
    this.canvas = document.createElement("canvas");
  }

  /** The pixels, to be set at [depth][line]; reallocated when the size changes. */
  pixels(grid) {
    const { canvas } = this;
    if (canvas.width !== grid.nLines || canvas.height !== grid.nDepths || !this.data) {
      canvas.width = grid.nLines;
      canvas.height = grid.nDepths;
      this.data = canvas.getContext("2d").createImageData(grid.nLines, grid.nDepths);
      this.words = new Uint32Array(this.data.data.buffer);
    }
    return this.words;
  }

  show() {
    this.canvas.getContext("2d").putImageData(this.data, 0, 0);
  }
}

export class BmodeImage extends PixelImage {
  update(grid, bmode) {
    if (bmode === this.bmode) return;
    this.bmode = bmode;
    const words = this.pixels(grid);
    const { nLines, nDepths } = grid;
    for (let line = 0, i = 0; line < nLines; line++) {
      for (let depth = 0, at = line; depth < nDepths; depth++, i++, at += nLines) {
        words[at] = GREY_OF_BMODE[bmode[i]];
      }
    }
    this.show();
  }
}

export class StrainImage extends PixelImage {
  /** Colours from `low` to `high`, as opaque as `opacity`; the B-mode shows where there is no value. */
  update(grid, { values, opacity }, low, high, colours) {
    const words = this.pixels(grid);
    const { nLines, nDepths } = grid;
    const perUnit = 255 / (high - low);
    for (let line = 0, i = 0; line < nLines; line++) {
      for (let depth = 0, at = line; depth < nDepths; depth++, i++, at += nLines) {
        const value = values[i];
        if (value !== value) {
          words[at] = 0;
          continue;
        }
        const index = (value - low) * perUnit;
        const colour = colours[index < 0 ? 0 : index > 255 ? 255 : index | 0];
        words[at] = (colour & 0xffffff) | (opacity[i] << 24);
      }
    }
    this.show();
  }
}

/** The colour bar: one pixel per colour, the soft end on top. */
export class BarImage extends PixelImage {
  update(colours) {
    if (colours === this.colours) return;
    this.colours = colours;
    this.pixels({ nLines: 1, nDepths: colours.length }).set(colours.toReversed());
    this.show();
  }
}
