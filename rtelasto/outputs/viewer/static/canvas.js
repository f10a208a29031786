// Shared by the drawing modules: sharp canvases, and the colours of lines and text.

export const INK = {
  ground: "#101317",
  line: "#3a424c",
  faint: "#2a3038",
  text: "#d7dce2",
  quiet: "#8d97a3",
  accent: "#5fa8d3",
  good: "#8fce6b",
  lesion: "#e8a33d",
  background: "#5fc9d8",
};
export const FONT = '12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

/** A 2-D context in CSS pixels, cleared, sharp on any screen; null while the canvas has no size. */
export function begin(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return context;
}

export function label(context, text, x, y, options = {}) {
  const { align = "left", base = "alphabetic", ink = INK.quiet, most } = options;
  context.textAlign = align;
  context.textBaseline = base;
  context.fillStyle = ink;
  context.fillText(text, x, y, most);
}

/** A number with a true minus sign. */
export function number(value, digits) {
  return value.toFixed(digits).replace("-", "−");
}
