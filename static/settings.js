// The mode, and the threshold below which the answer is "unknown".

import { currentLanguage, pageData, say } from "./texts.js";
import { percent } from "./decision.js";

const mode = document.getElementById("mode");
const slider = document.getElementById("threshold");
const shown = document.getElementById("threshold-shown");
const kept = document.getElementById("threshold-kept");
const hint = document.getElementById("threshold-hint");
const reset = document.getElementById("threshold-reset");
const allModes = document.getElementById("all-modes");
const modelName = document.getElementById("model-name");
const modelSmall = document.getElementById("model-small");

const STEP = 0.01;

const option = () => mode.selectedOptions[0];
const ownThreshold = () => Number(option().dataset.threshold);

export const chosenMode = () => mode.value;

/** Where the slider stands. Its steps are hundredths; at the one nearest to it, the mode's own value counts. */
export function threshold() {
  const [value, own] = [Number(slider.value), ownThreshold()];
  return Math.abs(value - own) < STEP / 2 ? own : value;
}

/** Every mode that can be chosen, and what it is called. */
export const modes = () => [...mode.options].map(({ value }) => value);
export const titleOf = (key) => [...mode.options].find(({ value }) => value === key)?.dataset[currentLanguage()] ?? key;

/** Whether the other modes are asked, too; a server with one mode has no such switch. */
export const asksAllModes = () => allModes?.checked ?? false;

/** Turn the form's fields into live controls. */
export function watchSettings({ onMode, onThreshold, onThresholdSettled, onAllModes }) {
  slider.type = "range";
  hint.dataset.text = "threshold_hint";
  mode.addEventListener("change", () => {
    useOwnThreshold();
    onMode();
  });
  allModes?.addEventListener("change", onAllModes);
  if (allModes) allModes.closest("label").hidden = false;
  slider.addEventListener("input", () => {
    drawSettings();
    onThreshold();
  });
  slider.addEventListener("change", onThresholdSettled);
  reset.addEventListener("click", () => {
    useOwnThreshold();
    slider.focus();
    onThreshold();
    onThresholdSettled();
  });
  useOwnThreshold();
}

/** Draw what depends on the values and on the language. */
export function drawSettings() {
  const own = ownThreshold();
  shown.textContent = percent(threshold());
  slider.setAttribute("aria-valuetext", percent(threshold()));
  const share = shareKept();
  kept.hidden = share === null;
  kept.textContent = share === null ? "" : say("threshold_kept", { share: percent(share) });
  slider.parentElement.style.setProperty("--value", threshold());
  slider.parentElement.style.setProperty("--own", own);
  reset.textContent = say("threshold_reset", { percent: percent(own) });
  reset.hidden = threshold() === own;
  hint.hidden = !reset.hidden;
  modelName.textContent = option().dataset.model;
  modelSmall.hidden = option().dataset.model !== pageData.smallModel;
}

/** The share of known photos that would keep their name; null where that was not measured. */
function shareKept() {
  const shares = option().dataset.kept?.split(",");
  return shares ? Number(shares[Math.round(threshold() / STEP)]) / 1000 : null;
}

/** Take over what the server says of a mode: it may have been replaced since the page was loaded. */
export function learnMode(key, own, model) {
  const known = [...mode.options].find((candidate) => candidate.value === key);
  if (!known) return;
  const untouched = known === option() && threshold() === ownThreshold();
  known.dataset.threshold = own;
  if (known.dataset.modelVersion !== model.version) delete known.dataset.kept; // another version's shares
  known.dataset.model = model.name;
  if (untouched) slider.value = own;
  drawSettings();
}

function useOwnThreshold() {
  slider.value = ownThreshold();
  drawSettings();
}
