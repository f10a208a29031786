// The controls beside the images: each shows the state and changes it, by hand or by key.

import { COLOURS } from "./colours.js";
import { savePreferences } from "./preferences.js";
import { INSTANTANEOUS, RELATIVE } from "./values.js";

const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const LIMITS = ["range-low", "range-high"];

export class Controls {
  /** `changed()` is called after every change. */
  constructor(preferences, changed) {
    this.preferences = preferences;
    this.changed = changed;
    /** The mode shown; it differs from the chosen one if the stream has no relative strain. */
    this.mode = preferences.mode;
    const colours = byId("colours");
    for (const [key, { name }] of Object.entries(COLOURS)) colours.add(new Option(name, key));
    colours.onchange = () => this.set({ colours: colours.value });
    byId("mode").onchange = (event) => this.set({ mode: event.target.value });
    byId("opacity").oninput = (event) => this.set({ opacity: Number(event.target.value) });
    byId("mask").oninput = (event) => this.set({ maskBelow: Number(event.target.value) });
    byId("range-auto").onchange = (event) => this.setAuto(event.target.checked);
    for (const id of LIMITS) byId(id).onchange = () => this.readRange();
    byId("range-reset").onclick = () => this.resetRange();
    this.show();
  }

  get range() {
    return this.preferences.ranges[this.mode];
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

  nextMode() {
    this.set({ mode: this.preferences.mode === RELATIVE ? INSTANTANEOUS : RELATIVE });
  }

  addOpacity(step) {
    this.set({ opacity: clamp(this.preferences.opacity + step, 0, 100) });
  }

  addMask(step) {
    this.set({ maskBelow: clamp(this.preferences.maskBelow + step, 0, 95) });
  }

  setAuto(auto) {
    if (auto) this.range.follow();
    else this.range.hold();
    this.say("");
    this.set({});
  }

  resetRange() {
    this.range.reset();
    this.say("");
    this.set({});
  }

  /** Apply the limits that were entered, or restore the current ones and show why. */
  readRange() {
    const [low, high] = LIMITS.map((id) => byId(id).valueAsNumber);
    const why = this.range.refusal(low, high);
    if (!why) this.range.fix(low, high);
    this.showLimits();
    this.say(why && `not accepted: ${why}`);
    this.set({});
  }

  say(words) {
    byId("range-refusal").textContent = words;
  }

  /** Update the controls to the state. */
  show() {
    const { colours, opacity, maskBelow } = this.preferences;
    byId("colours").value = colours;
    byId("opacity").value = opacity;
    byId("opacity-text").value = `${opacity} %`;
    byId("mask").value = maskBelow;
    byId("mask-text").value = (maskBelow / 100).toFixed(2);
    this.showRange();
  }

  /** Show which mode is active: a stream without an average over time has no relative strain. */
  showMode(mode, hasRelative) {
    this.mode = mode;
    byId("mode").value = mode;
    byId("mode").options[0].disabled = !hasRelative;
  }

  showRange() {
    const { auto, scale } = this.range;
    byId("range-auto").checked = auto;
    byId("range-unit").textContent = scale.unit;
    for (const id of LIMITS) byId(id).disabled = auto;
    // Keep text that is being typed; `readRange` shows what has been entered.
    if (!LIMITS.includes(document.activeElement?.id)) this.showLimits();
  }

  showLimits() {
    const { low, high } = this.range.shown;
    for (const [id, value] of [["range-low", low], ["range-high", high]]) byId(id).value = value.toFixed(2);
  }
}
