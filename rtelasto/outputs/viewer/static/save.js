// Saves a picture with its figures and settings in one file: a PNG that also holds them as JSON.

import { INK, number } from "./canvas.js";

const TEXT_KEY = "rtelasto";
const LINE_PX = 20;
const SIGNATURE_BYTES = 8;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A PNG (Uint8Array) with a text in UTF-8 (chunk iTXt) before its image. */
export function withText(png, key, text) {
  const name = new TextEncoder().encode("iTXt");
  const content = new TextEncoder().encode(`${key}\0\0\0\0\0${text}`);
  const header = new DataView(png.buffer, png.byteOffset).getUint32(SIGNATURE_BYTES) + 12 + SIGNATURE_BYTES;
  const chunk = new Uint8Array(12 + content.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set(name, 4);
  chunk.set(content, 8);
  view.setUint32(8 + content.length, crc32(chunk.subarray(4, 8 + content.length)));
  const whole = new Uint8Array(png.length + chunk.length);
  whole.set(png.subarray(0, header));
  whole.set(chunk, header);
  whole.set(png.subarray(header), header + chunk.length);
  return whole;
}

/** Draw the stage with lines of text under it, and let the browser save the file. */
export async function save(stageCanvas, lines, record) {
  const ratio = stageCanvas.width / stageCanvas.clientWidth;
  const canvas = document.createElement("canvas");
  canvas.width = stageCanvas.width;
  canvas.height = stageCanvas.height + Math.ceil(ratio * LINE_PX * (lines.length + 0.5));
  const context = canvas.getContext("2d");
  context.fillStyle = INK.ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(stageCanvas, 0, 0);
  context.scale(ratio, ratio);
  context.font = '13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
  context.fillStyle = INK.text;
  const width = stageCanvas.clientWidth - 20;
  lines.forEach((line, i) => context.fillText(line, 10, stageCanvas.clientHeight + LINE_PX * (i + 0.8), width));
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const png = new Uint8Array(await blob.arrayBuffer());
  const file = new Blob([withText(png, TEXT_KEY, JSON.stringify(record, null, 1))], { type: "image/png" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `rtelasto-${record.saved.replaceAll(/[:.]/g, "-")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return link.download;
}

/** The data on a frame in a saved file. */
export function recordOf(frame, seen, settings, figures) {
  return {
    saved: new Date().toISOString(),
    notice: "Not a medical device. For research only.",
    stream: frame.stream,
    seq: frame.seq,
    frame_ids: frame.frameIds,
    acquired_ms: frame.acquiredMs,
    engine: frame.engine,
    strain_of_frame_ids: seen.source?.frameIds ?? null,
    strain: seen.mode,
    colours_from: seen.limits,
    applied_strain: frame.appliedStrain,
    quality: frame.quality,
    poor_share: frame.poorShare,
    persistence: seen.source?.persistence ?? null,
    settings,
    figures,
  };
}

/** The same as text, in a few lines under the picture. */
export function recordLines(record, content, ratioText) {
  const percent = record.applied_strain === null ? "–" : `${number(100 * record.applied_strain, 2)} %`;
  return [
    `${record.notice} ${record.saved}`,
    `${record.strain} strain (${content}), engine ${record.engine || "–"}, frames ${record.frame_ids.join(" → ")}, ` +
      `applied strain ${percent}, quality ${record.quality?.toFixed(2) ?? "–"}`,
    `strain ratio ${ratioText}`,
  ];
}
