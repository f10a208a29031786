// Decodes the server's messages: see page_message.py beside the server's code.

export const NO_STRAIN = -32768;

const ARRAYS = { "<i2": Int16Array, "|u1": Uint8Array };

/**
 * A strain frame from a binary message.
 *
 * `strain` (int16, times `strainScale`), `correlation` (0 to 255), and, each null if the stream has none,
 * `bmode` (steps of 0.25 dB), `relative`, `relativeStd` and `strainStd` (see page_images.py) are
 * [line][depth], depth running fastest, and share the message's memory.
 */
export function decodeFrame(buffer) {
  const headerBytes = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerBytes)));
  const images = imagesOf(buffer, 8 + headerBytes, header);
  return {
    stream: header.stream,
    seq: header.seq,
    frameIds: header.frame_ids,
    acquiredMs: header.acquired_ms,
    grid: {
      nLines: header.n_lines,
      nDepths: header.n_depths,
      axialStepMm: 1e3 * header.axial_step_m,
      linePitchMm: 1e3 * header.line_pitch_m,
      startDepthMm: 1e3 * header.start_depth_m,
    },
    strain: images.strain,
    strainScale: header.strain_scale,
    correlation: images.correlation,
    bmode: images.bmode ?? null,
    relative: images.relative_strain ?? null,
    relativeStd: images.relative_strain_std ?? null,
    strainStd: images.strain_std ?? null,
    motion: header.motion,
    persistence: header.persistence,
    bytes: buffer.byteLength,
    quality: header.quality,
    poorShare: header.poor_share,
    appliedStrain: header.applied_strain,
    engine: header.engine,
    ageMs: header.age_ms,
    ageFrom: header.age_from,
    stale: header.stale,
    creditMs: header.credit_ms,
    heldMs: header.held_ms,
    arrivedMs: performance.now(),
  };
}

function imagesOf(buffer, start, header) {
  const count = header.n_lines * header.n_depths;
  const images = {};
  let at = start;
  for (const [name, dtype] of header.images) {
    images[name] = new ARRAYS[dtype](buffer, at, count);
    at += images[name].byteLength;
  }
  return images;
}

/**
 * How old a frame is now, in ms, by this page's clock alone: its age when it was sent, half of the time
 * that credit and frame took together, and the time since it arrived.
 */
export function ageNowMs(frame) {
  return ageAtMostMs(frame) - bothWaysMs(frame) / 2;
}

/** How old a frame can be at most: if the frame alone took all of that time. */
export function ageAtMostMs(frame) {
  return frame.ageMs + bothWaysMs(frame) + (performance.now() - frame.arrivedMs);
}

function bothWaysMs(frame) {
  return Math.max(0, frame.arrivedMs - frame.creditMs - frame.heldMs);
}

export function sameGrid(a, b) {
  return (
    a.nLines === b.nLines &&
    a.nDepths === b.nDepths &&
    a.axialStepMm === b.axialStepMm &&
    a.linePitchMm === b.linePitchMm &&
    a.startDepthMm === b.startDepthMm
  );
}

/** Whether two frames have the same stream and grid, so that they can be combined. */
export function belongTogether(a, b) {
  return a.stream === b.stream && sameGrid(a.grid, b.grid);
}
