// One photo to one version, in service or not.

import { api, wordsOf } from "./api.js";
import { isApart, nameOf, percent } from "./decision.js";
import { make } from "./dom.js";
import { versionPath } from "./model_state.js";
import { prepare } from "./shrink.js";
import { currentLanguage, pageData, say } from "./texts.js";

const dialog = document.getElementById("try");
const input = document.getElementById("try-file");
const answer = document.getElementById("try-answer");
let version = null;
let shown = null;

/** What `name` says of `file`: the answer as `/predict` gives it. */
export async function ask(name, file) {
  const { blob, name: filename } = await prepare(file, pageData.limits.limit_mb, () => {});
  const body = new FormData();
  body.append("file", blob, filename);
  return api("POST", `${versionPath(name)}/try`, body);
}

export function openTry(name) {
  version = name;
  document.getElementById("try-title").textContent = say("models_try_it", { version: name });
  answer.replaceChildren();
  dialog.showModal();
}

async function take(files) {
  const [file] = files;
  if (!file) return;
  answer.replaceChildren(make("p", { className: "quiet" }, say("models_try_looking")));
  try {
    draw(file, await ask(version, file));
  } catch (error) {
    answer.replaceChildren(make("p", { className: "trouble" }, wordsOf(error)));
  }
}

function draw(file, { results: [result], threshold }) {
  if (shown) URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(file);
  const language = currentLanguage();
  const said = result.unknown ? say("models_try_unknown", { threshold: percent(threshold) }) : nameOf(result, language);
  const sure = isApart(result) ? say("models_try_sure", { share: percent(result.sureness, threshold) }) : null;
  const rows = result.top.map((guess) => make("li", {}, make("span", {}, nameOf(guess, language)), bar(guess.confidence),
    make("span", { className: "number" }, percent(guess.confidence, threshold))));
  answer.replaceChildren(
    make("img", { className: "try-photo", src: shown, alt: "" }),
    make("div", {}, make("p", { className: "try-said" }, said), sure && make("p", { className: "hint" }, sure), make("ol", { className: "guesses-small" }, ...rows)));
}

function bar(value) {
  const meter = make("progress", { max: 1, value });
  meter.setAttribute("aria-hidden", "true");
  return meter;
}

input.addEventListener("change", () => {
  take([...input.files]);
  input.value = "";
});
dialog.addEventListener("dragover", (event) => event.preventDefault());
dialog.addEventListener("drop", (event) => {
  event.preventDefault();
  take([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  if (dialog.open && event.clipboardData?.files.length) take([...event.clipboardData.files]);
});
