// What serves now, and the way back.

import { api, wordsOf } from "./api.js";
import { openExport } from "./model_export.js";
import { buttonOf, make } from "./dom.js";
import { announce, facts, intervalOf, judged, photosJudged, share } from "./model_parts.js";
import { active, changed, isBase, path, state } from "./model_state.js";
import { reasonOf } from "./model_words.js";
import { pageData, say } from "./texts.js";

const section = document.getElementById("standing");
const notice = document.getElementById("notice");

export function drawStanding() {
  section.hidden = false;
  const { record, served } = state;
  if (isBase || record.file) {
    section.replaceChildren(make("div", { className: "sheet standing" }, ...plain()));
    return;
  }
  const version = active();
  const found = judged(version);
  section.replaceChildren(make("div", { className: "sheet standing" },
    make("div", { className: "standing-name" },
      make("p", { className: "quiet" }, say("models_in_service")),
      make("p", { className: "figure" }, record.active ?? say("models_nothing_serves"))),
    found && make("div", { className: "standing-accuracy" },
      make("p", { className: "quiet" }, say("models_accuracy")),
      make("p", { className: "line" }, make("span", { className: "figure" }, share(found.accuracy)), intervalOf(found)),
      make("p", { className: "hint" }, say("models_accuracy_hint", {
        low: Math.round(found.accuracy_low * 100), high: Math.round(found.accuracy_high * 100), on: photosJudged(found),
      }))),
    version && make("div", { className: "standing-threshold" },
      make("p", { className: "quiet" }, say("models_threshold")),
      make("p", { className: "figure" }, share(version.threshold, 0)),
      make("p", { className: "hint" }, say("models_threshold_below"))),
    make("div", { className: "actions standing-actions" },
      served && make("a", { className: "button button-main", href: `/?mode=${encodeURIComponent(pageData.mode)}` }, say("models_use")),
      record.earlier && buttonOf(say("models_roll_back", { version: record.earlier }), () => rollBack(record.earlier), "button")),
    record.problem && make("p", { className: "trouble" }, say("models_problem", { reason: reasonOf(record.problem) }))));
}

/** What has no versions: the base mode, and a plain file. */
function plain() {
  const { record, served } = state;
  const model = served?.model;
  return [
    make("p", {}, isBase ? say("models_base_hint") : say("models_file_hint", { file: record.file })),
    facts([
      [say("models_network"), model?.name],
      [say("models_weights"), model && make("code", {}, model.sha256.slice(0, 12))],
      [say("models_classes"), served?.labels.length],
      [say("models_threshold"), served && share(served.threshold, 0)],
    ]),
    make("p", { className: "hint" }, say("models_base_threshold"), " ", make("code", {}, "THRESHOLD")),
    record?.problem && make("p", { className: "trouble" }, say("models_problem", { reason: reasonOf(record.problem) })),
    make("div", { className: "actions" },
      served && make("a", { className: "button button-main", href: `/?mode=${encodeURIComponent(pageData.mode)}` }, say("models_use")),
      pageData.mode === "imagenet" && buttonOf(say("models_export"), () => openExport(null), "button")),
  ];
}

/** Take the mode back to `version`, say so, and offer the way forward again. */
async function rollBack(version) {
  notice.replaceChildren();
  try {
    const event = await api("POST", `${path}/rollback`, { to: version });
    announce(say("models_rolled_back", { version: event.version, before: event.before }));
    notice.replaceChildren(
      make("span", {}, say("models_rolled_back", { version: event.version, before: event.before })), " ",
      buttonOf(say("models_forward", { version: event.before }), () => rollBack(event.before), "link"));
    notice.querySelector("button").focus();
    changed();
  } catch (error) {
    notice.textContent = reasonOf(wordsOf(error));
  }
}
