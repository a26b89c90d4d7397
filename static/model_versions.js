// Every version of the mode: its figures, and what can be done with it.

import { api, wordsOf } from "./api.js";
import { openExport } from "./model_export.js";
import { buttonOf, confirmed, make } from "./dom.js";
import { announce, between, dateOf, focusOn, intervalOf, judged, photosJudged, share, sizeOf } from "./model_parts.js";
import { changed, state, versionPath } from "./model_state.js";
import { openTry } from "./model_try.js";
import { reasonOf } from "./model_words.js";
import { start } from "./model_work.js";
import { currentLanguage, say } from "./texts.js";

const host = document.getElementById("versions");

export function drawVersions() {
  const columns = [say("models_version"), say("models_accuracy"), say("models_macro_recall"), say("models_judged_on"),
    say("models_threshold"), say("models_size"), say("models_actions")];
  const newestFirst = [...state.record.versions].reverse();
  // The roles are said anew, because a table that is laid out as cards on a phone loses them.
  host.replaceChildren(make("table", { className: "table versions", role: "table" },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
      ...columns.map((name) => make("th", { scope: "col", role: "columnheader" }, name)))),
    make("tbody", { role: "rowgroup" }, ...newestFirst.map((version) => rowOf(version, columns)))));
}

function rowOf(version, columns) {
  const found = judged(version);
  const cells = [
    found ? [make("span", { className: "value" }, share(found.accuracy)), intervalOf(found),
      make("span", { className: "quiet" }, between(found.accuracy_low, found.accuracy_high))] : "–",
    found ? share(found.macro_recall) : "–",
    found ? photosJudged(found) : say("models_not_judged"),
    version.threshold === null ? "–" : share(version.threshold, 0),
    sizeOf(version.size),
  ];
  return make("tr", { role: "row", className: version.active ? "is-active" : "", id: `version-${version.version}` },
    make("th", { scope: "row", role: "rowheader" }, nameOf(version)),
    ...cells.map((cell, place) => make("td", { role: "cell", "data-name": columns[place + 1] }, make("div", {}, ...[cell].flat()))),
    make("td", { role: "cell", className: "does" }, actionsOf(version)));
}

function nameOf(version) {
  return [
    make("span", { className: "version-name" }, version.version),
    version.active ? make("span", { className: "tag tag-main" }, say("models_tag_active")) : null,
    version.on_trial ? make("span", { className: "tag" }, say("models_tag_trial")) : null,
    version.complete ? null : make("span", { className: "tag" }, say("models_tag_broken")),
    make("span", { className: "version-about quiet" }, aboutOf(version)),
  ];
}

function aboutOf(version) {
  const imported = version.imported_from?.replace(/, SHA-256 .*/, "");
  const from = imported ? say("models_from_import", { source: imported })
    : version.parent ? say("models_from_parent", { version: version.parent }) : "";
  return [version.created && dateOf(version.created), version.backbone, from].filter(Boolean).join(" · ");
}

function actionsOf(version) {
  if (!version.complete) return make("div", { className: "actions" }, version.active ? null : deleteOf(version));
  const name = version.version;
  const report = `${versionPath(name)}/report?lang=${currentLanguage()}`;
  return make("div", { className: "actions" },
    version.active ? null : named(buttonOf(say("models_promote"), () => start("promote", { version: name })), "models_promote_it", name),
    named(buttonOf(say("models_try"), () => openTry(name), "link"), "models_try_it", name),
    judged(version) ? make("a", { className: "link", href: report, target: "_blank", rel: "noopener", "aria-label": say("models_report_of", { version: name }) },
      say("models_report")) : null,
    named(buttonOf(say("models_export"), () => openExport(name), "link"), "models_export_title", name),
    version.active || version.on_trial ? null : deleteOf(version));
}

function named(button, key, version) {
  button.setAttribute("aria-label", say(key, { version }));
  return button;
}

function deleteOf({ version }) {
  return named(buttonOf(say("models_delete"), async () => {
    if (!(await confirmed(say("models_delete_sure", { version }), say("models_delete")))) return;
    try {
      await api("DELETE", versionPath(version));
      announce(say("models_deleted", { version }));
      focusOn("versions-title");
      changed();
    } catch (error) {
      document.getElementById("notice").textContent = reasonOf(wordsOf(error));
    }
  }, "link"), "models_delete_it", version);
}
