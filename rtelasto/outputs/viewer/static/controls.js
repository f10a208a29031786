// The controls beside the images: each shows the state and changes it, by hand or by key.

import { COLOURS } from "./colours.js";
import { PERSISTENCE, savePreferences } from "./preferences.js";

const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Controls {
  /** `changed()` is called after every change. */
  constructor(preferences, range, changed) {
    this.preferences = preferences;
    this.range = range;
    this.changed = changed;
    const colours = byId("colours");
    for (const [key, { name }] of Object.entries(COLOURS)) colours.add(new Option(name, key));
    colours.onchange = () => this.set({ colours: colours.value });
    byId("opacity").oninput = (event) => this.set({ opacity: Number(event.target.value) });
    byId("mask").oninput = (event) => this.set({ maskBelow: Number(event.target.value) });
    byId("persistence").onchange = (event) => this.set({ persistence: Number(event.target.value) });
    byId("range-auto").onchange = (event) => this.setAuto(event.target.checked);
    for (const id of ["range-low", "range-high"]) byId(id).onchange = () => this.readRange();
    this.show();
  }

  set(choices) {
    Object.assign(this.preferences, choices);
    savePreferences(this.preferences);
    this.show();
    this.changed();
  }

  nextColours() {
    const keys = Object.keys(COLOURS);
    const next = keys[(keys.indexOf(this.preferences.colours) + 1) % keys.length];
    this.set({ colours: next });
  }

  nextPersistence() {
    const next = (PERSISTENCE.indexOf(this.preferences.persistence) + 1) % PERSISTENCE.length;
    this.set({ persistence: PERSISTENCE[next] });
  }

  addOpacity(step) {
    this.set({ opacity: clamp(this.preferences.opacity + step, 0, 100) });
  }

  addMask(step) {
    this.set({ maskBelow: clamp(this.preferences.maskBelow + step, 0, 95) });
  }

  setAuto(auto) {
    if (auto) this.range.follow();
    else this.range.fix(this.range.low, this.range.high);
    this.show();
    this.changed();
  }

  readRange() {
    const [low, high] = [byId("range-low").valueAsNumber, byId("range-high").valueAsNumber];
    if (Number.isFinite(low) && Number.isFinite(high) && high > low) this.range.fix(low, high);
    this.show();
    this.changed();
  }

  /** Bring what is shown in line with the state. */
  show() {
    const { colours, opacity, maskBelow, persistence } = this.preferences;
    byId("colours").value = colours;
    byId("opacity").value = opacity;
    byId("opacity-text").value = `${opacity} %`;
    byId("mask").value = maskBelow;
    byId("mask-text").value = (maskBelow / 100).toFixed(2);
    byId("persistence").value = persistence;
    this.showRange();
  }

  showRange() {
    const { auto, low, high } = this.range;
    byId("range-auto").checked = auto;
    for (const [id, value] of [["range-low", low], ["range-high", high]]) {
      const input = byId(id);
      input.disabled = auto;
      if (document.activeElement !== input) input.value = value.toFixed(2);
    }
  }
}
