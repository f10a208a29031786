// The numbers beside the images.

import { number } from "./canvas.js";
import { compare, regionStrain } from "./regions.js";
import { pressWord, qualityWord } from "./trace.js";

const byId = (id) => document.getElementById(id);

export function showPress(frame) {
  const [word, level] = qualityWord(frame.quality);
  const meter = byId("quality");
  meter.dataset.level = level;
  meter.firstElementChild.style.width = `${100 * (frame.quality ?? 0)}%`;
  if (frame.quality !== null) meter.setAttribute("aria-valuenow", frame.quality.toFixed(2));
  byId("quality-text").value = frame.quality === null ? "–" : `${frame.quality.toFixed(2)} ${word}`;
  byId("applied").value = pressWord(frame.appliedStrain);
}

export function showMeasures(frame, shapes, maskBelow) {
  const of = (shape) => (shape ? regionStrain(frame, shape, maskBelow) : null);
  const [lesion, background] = [of(shapes.lesion), of(shapes.background)];
  const { ratio, snreDb, cnreDb } = compare(lesion, background);
  const percent = (found) => (found ? `${number(100 * found.mean, 3)} %` : "–");
  const db = (value) => (value === null ? "–" : `${number(value, 1)} dB`);
  byId("lesion-strain").textContent = percent(lesion);
  byId("background-strain").textContent = percent(background);
  byId("strain-ratio").textContent = ratio === null ? "–" : number(ratio, 2);
  byId("strain-ratio").dataset.value = ratio ?? "";
  byId("snre").textContent = db(snreDb);
  byId("cnre").textContent = db(cnreDb);
}

export function showHealth({ rates, drops, lost, latency, engine }) {
  byId("health-rates").textContent = rates;
  byId("health-drops").textContent = drops;
  byId("health-drops").classList.toggle("lost", lost);
  byId("health-latency").textContent = latency;
  byId("health-engine").textContent = engine;
}
