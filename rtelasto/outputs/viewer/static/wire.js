// What comes from the server: see page_message.py beside the server's code.

export const NO_STRAIN = -32768;

/**
 * A strain frame out of a binary message.
 *
 * `strain` (int16, times `strainScale`), `correlation` (0 to 255) and `bmode` (steps of 0.25 dB, or null)
 * are [line][depth], depth running fastest, and share the message's memory.
 */
export function decodeFrame(buffer) {
  const headerBytes = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerBytes)));
  const count = header.n_lines * header.n_depths;
  const start = 8 + headerBytes;
  return {
    stream: header.stream,
    seq: header.seq,
    frameIds: header.frame_ids,
    grid: {
      nLines: header.n_lines,
      nDepths: header.n_depths,
      axialStepMm: 1e3 * header.axial_step_m,
      linePitchMm: 1e3 * header.line_pitch_m,
      startDepthMm: 1e3 * header.start_depth_m,
    },
    strain: new Int16Array(buffer, start, count),
    strainScale: header.strain_scale,
    correlation: new Uint8Array(buffer, start + 2 * count, count),
    bmode: header.bmode ? new Uint8Array(buffer, start + 3 * count, count) : null,
    quality: header.quality,
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

/**
 * How old a frame is now, in ms, by no more than this page's own clock: its age when it was sent, half of
 * the way that credit and frame took together, and the time since it arrived.
 */
export function ageNowMs(frame) {
  return ageAtMostMs(frame) - bothWaysMs(frame) / 2;
}

/** How old a frame can be at most: should all of the way have been that of the frame. */
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
