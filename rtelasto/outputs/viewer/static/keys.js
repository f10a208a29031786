// Keyboard control of the whole page.

/** Key, what it does as the help shows it, and the name of the action. */
export const KEYS = [
  [["Space"], "freeze, resume; also on a control, which Enter presses", "freeze"],
  [["ArrowLeft"], "back a frame (frozen), or move the region", "left"],
  [["ArrowRight"], "on a frame (frozen), or move the region", "right"],
  [["ArrowUp"], "move the region up; with Shift, arrows resize it", "up"],
  [["ArrowDown"], "move the region down", "down"],
  [["KeyC"], "next colours", "colours"],
  [["Equal", "NumpadAdd", "BracketRight"], "more of the strain over the B-mode", "opaque"],
  [["Minus", "NumpadSubtract", "BracketLeft"], "less of it", "transparent"],
  [["KeyA"], "range automatic or fixed", "range"],
  [["KeyM"], "hide more (correlation threshold up)", "maskUp"],
  [["KeyN"], "hide less", "maskDown"],
  [["KeyI"], "relative strain, averaged over presses, or instantaneous strain", "mode"],
  [["KeyG"], "best press of the last minute", "best"],
  [["KeyS"], "save picture, figures and settings", "save"],
  [["KeyL"], "lesion: place, select", "lesion"],
  [["KeyB"], "background: place, select", "background"],
  [["Delete", "Backspace"], "remove the selected region, or both", "clear"],
  [["KeyX"], "axial profile on or off", "profile"],
  [["Comma"], "profile to the left", "profileLeft"],
  [["Period"], "profile to the right", "profileRight"],
  [["Escape"], "deselect the region", "release"],
  [["Slash", "F1"], "this list", "help"],
];

const SHOWN = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Equal: "+", Minus: "−",
  Comma: ",", Period: ".", Slash: "?", Escape: "Esc",
};

/** Name of a key for display. */
export function keyName(code) {
  return SHOWN[code] ?? code.replace("Key", "");
}

// Keys that a focused control handles itself. Space freezes no matter which control has the focus: the
// operator has no time to look.
const OWN_KEYS = {
  button: ["Enter"],
  select: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
  range: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
  number: ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Minus", "NumpadSubtract", "NumpadAdd", "Equal",
    "Comma", "Period", "Delete", "Backspace"],
};

function belongsToControl(target, code) {
  // The trace steps by frames, not by hundredths of a second.
  if (target.id === "scroll") return false;
  const kind = target.tagName === "INPUT" ? target.type : target.tagName.toLowerCase();
  return (OWN_KEYS[kind] ?? []).includes(code);
}

/** Call `actions[name](event)` for each key. */
export function listen(actions) {
  const names = new Map(KEYS.flatMap(([codes, , name]) => codes.map((code) => [code, name])));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]") || belongsToControl(event.target, event.code)) return;
    if (event.code === "Enter" && event.target.type === "checkbox") event.target.click();
    const name = names.get(event.code);
    if (!name) return;
    event.preventDefault();
    if (event.repeat && event.code === "Space") return;
    actions[name](event);
  });
  // A button is pressed by Space when the key comes up.
  document.addEventListener("keyup", (event) => {
    if (event.code === "Space" && !document.querySelector("dialog[open]")) event.preventDefault();
  });
}
