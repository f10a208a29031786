// Writes the readings beside the images. Each stays for a second: figures that jump are unreadable.

import { REST_STRAIN, isTelling } from "./certainty.js";
import { number } from "./canvas.js";
import { compare, measureFrame } from "./measures.js";
import { qualityWord } from "./trace.js";

const byId = (id) => document.getElementById(id);
const RECENT_MS = 1000;

/** Quality and applied strain: median and peak of the last second, or those of a held frame. */
export function showPress(frames, held) {
  const newest = held ?? frames.at(-1);
  if (!newest) return;
  const recent = held ? [held] : frames.filter((frame) => frame.arrivedMs > newest.arrivedMs - RECENT_MS);
  // Tissue at rest agrees best of all, which is not good quality.
  const moves = recent.some((frame) => Math.abs(frame.appliedStrain ?? 0) >= REST_STRAIN);
  showQuality(middle(recent.map((frame) => frame.quality)), moves);
  const poorShare = middle(recent.map((frame) => frame.poorShare));
  byId("poor-share").value = poorShare === null ? "–" : `${(100 * poorShare).toFixed(0)} %`;
  const percents = recent.filter((frame) => frame.appliedStrain !== null).map((f) => 100 * f.appliedStrain);
  const peak = percents.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  let words = "at rest";
  if (!percents.length) words = "–";
  else if (held && isTelling(held)) words = `${peak < 0 ? "press" : "release"} ${number(peak, 2)} %`;
  else if (recent.some(isTelling)) words = `peak ${number(Math.abs(peak), 2)} %`;
  byId("applied").value = words;
}

function showQuality(quality, moves) {
  const value = moves ? (quality ?? 0) : 0;
  const [word, level] = qualityWord(quality);
  const meter = byId("quality");
  meter.dataset.level = moves ? level : "none";
  meter.firstElementChild.style.width = `${100 * value}%`;
  meter.setAttribute("aria-valuenow", value.toFixed(2));
  if (quality === null) byId("quality-text").value = "–";
  else byId("quality-text").value = moves ? `${quality.toFixed(2)} ${word}` : "at rest";
}

function middle(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}

/** Measures of the frame shown; blank if it has none. */
export function showFrameMeasures(frame, maskBelow) {
  const { lesion, background } = measureFrame(frame, maskBelow);
  const { ratio, snreDb, cnreDb } = compare(lesion, background);
  const percent = (found) => (found ? `${number(100 * found.mean, 3)} %` : "–");
  const db = (value) => (value === null ? "–" : `${number(value, 1)} dB`);
  byId("lesion-strain").textContent = percent(lesion);
  byId("background-strain").textContent = percent(background);
  byId("frame-ratio").textContent = ratio === null ? "–" : number(ratio, 2);
  byId("frame-ratio").dataset.value = ratio ?? "";
  byId("snre").textContent = db(snreDb);
  byId("cnre").textContent = db(cnreDb);
}

/** The figure for the record; `found` is from `strainRatio`, null without both regions. */
export function showRatio(found) {
  const ratio = byId("strain-ratio");
  ratio.textContent = found ? ratioWords(found) : "–";
  ratio.dataset.value = found?.ratio ?? "";
  byId("ratio-of").textContent = found ? [countWords(found), found.why].filter(Boolean).join(" · ") : "";
}

export function ratioWords({ ratio, halfWidth }) {
  if (ratio === null) return "–";
  if (halfWidth === null) return ratio.toFixed(1);
  const digits = halfWidth < 0.05 ? 2 : 1;
  return `${ratio.toFixed(digits)} ± ${Math.max(halfWidth, 0.01).toFixed(digits)}`;
}

export function countWords({ frames, presses }) {
  if (!frames) return "";
  return `${frames} ${frames === 1 ? "frame" : "frames"}, ${presses} ${presses === 1 ? "press" : "presses"}`;
}

export function showHint([level, words]) {
  const hint = byId("hint");
  hint.dataset.level = level;
  if (hint.textContent !== words) hint.textContent = words;
}

export function showHealth({ rates, drops, lost, latency, engine }) {
  byId("health-rates").textContent = rates;
  byId("health-drops").textContent = drops;
  byId("health-drops").classList.toggle("lost", lost);
  byId("health-latency").textContent = latency;
  byId("health-engine").textContent = engine;
}
