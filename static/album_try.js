// A photo for the newest version, and what it says at once.

import { newest, versionPath } from "./album_result.js";
import { album } from "./album_state.js";
import { api, wordsOf } from "./api.js";
import { isApart, isUnknown, nameOf, percent } from "./decision.js";
import { Failure } from "./failure.js";
import { prepare } from "./shrink.js";
import { copyOf, make } from "./dom.js";
import { currentLanguage, pageData, say } from "./texts.js";

const box = document.getElementById("try");
const photo = box.querySelector(".try-photo");
const answer = document.getElementById("try-answer");
let controller = null;

export function watchTrying() {
  photo.addEventListener("load", () => { photo.hidden = false; });
  photo.addEventListener("error", () => { photo.hidden = true; });
  for (const id of ["try-choose", "try-take"]) {
    const input = document.getElementById(id);
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = "";
      if (file) tryOn(file);
    });
  }
}

export function drawTrying() {
  box.hidden = album.versions.length === 0;
}

export async function tryOn(file) {
  if (box.hidden) return;
  controller?.abort();
  controller = new AbortController();
  const { signal } = controller;
  URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(file);
  answer.replaceChildren(make("p", { className: "quiet" }, say("teach_trying")));
  try {
    const picture = await prepare(file, pageData.limits.limit_mb, () => {});
    const form = new FormData();
    form.append("file", picture.blob, picture.name);
    const given = await api("POST", `${versionPath(newest())}/try`, form, signal);
    answer.replaceChildren(...answerOf(given));
  } catch (error) {
    if (error.name === "AbortError") return;
    const words = error instanceof Failure && error.code === "too_large" ? say("teach_try_large") : wordsOf(error);
    answer.replaceChildren(make("p", { className: "trouble" }, words));
  }
}

function answerOf({ results: [result], threshold, model }) {
  const language = currentLanguage();
  const isNone = isUnknown(result, threshold);
  const best = result.top[0];
  const name = isNone ? say("teach_unknown") : nameOf(best, language);
  const words = { share: percent(result.sureness, threshold), threshold: percent(threshold) };
  const [ofNone, ofAny] = isApart(result) ? ["teach_unknown_stranger", "teach_sure_of_any"] : ["teach_unknown_reason", null];
  const reason = isNone ? ofNone : ofAny;
  return [
    make("p", { className: isNone ? "try-name try-unknown" : "try-name" }, name),
    reason ? make("p", { className: "hint" }, say(reason, words)) : "",
    make("ol", { className: "guesses" }, ...result.top.slice(0, 3).map((entry) => guess(entry, threshold, language))),
    make("p", { className: "hint" }, say("teach_answered_by", { version: model.version })),
  ];
}

function guess(entry, threshold, language) {
  const bar = copyOf("bar-of-guess");
  bar.querySelector(".meter-share").setAttribute("width", entry.confidence * 100);
  return make("li", {}, make("span", {}, nameOf(entry, language)), make("span", {}, percent(entry.confidence, threshold)), bar);
}
