// A second version beside the one in service: begun, watched as it goes, and ended.

import { api, wordsOf } from "./api.js";
import { buttonOf, make } from "./dom.js";
import { announce, facts, focusOn, momentOf, selectOf, share } from "./model_parts.js";
import { changed, path, state, whole } from "./model_state.js";
import { reasonOf } from "./model_words.js";
import { start } from "./model_work.js";
import { say } from "./texts.js";

const EVERY_MS = 2000;
const host = document.getElementById("trial");
let timer = null;
let drawnFor = null;

export function drawTrial() {
  clearTimeout(timer);
  const { trial, active } = state.record;
  const what = JSON.stringify([trial, active, whole().map(({ version }) => version), ending()]);
  if (what === drawnFor && !trial) return; // a form that somebody may be filling in
  drawnFor = what;
  if (trial) watch(trial);
  else host.replaceChildren(...[ending(), form()].filter(Boolean));
}

/** Why the last trial ended, where it was the server that ended it. */
function ending() {
  const last = state.history.at(-1);
  return last?.action === "trial_ended" && last.by === "the server"
    ? make("p", { className: "notice" }, say("models_trial_stopped", { version: last.version, why: reasonOf(last.why) })) : null;
}

function form() {
  const { active } = state.record;
  const names = whole().map(({ version }) => version).filter((version) => version !== active).reverse();
  if (!active || names.length === 0) return make("p", { className: "quiet" }, say("models_trial_none"));
  const { field, select: version } = selectOf("trial-version", say("models_trial_version"), names.map((name) => [name, name]), names[0]);
  const kinds = [kindOf("split", say("models_split"), say("models_split_hint"), true), kindOf("shadow", say("models_shadow"), say("models_shadow_hint"), false)];
  const range = make("input", { type: "range", id: "trial-share", min: "5", max: "100", step: "5", value: "20" });
  const said = make("output", { htmlFor: "trial-share" });
  const slide = make("div", { className: "field" },
    make("div", { className: "threshold-line" }, make("label", { htmlFor: "trial-share" }, say("models_trial_share")), said), make("div", { className: "slide" }, range));
  const drawShare = () => {
    said.textContent = `${range.value}%`;
    range.setAttribute("aria-valuetext", said.textContent);
    range.style.setProperty("--value", (range.value - 5) / 95);
  };
  range.addEventListener("input", drawShare);
  drawShare();
  const why = make("input", { type: "text", id: "trial-why", maxLength: 500, autocomplete: "off" });
  const trouble = make("p", { className: "trouble", role: "alert" });
  const go = make("button", { className: "button button-main" }, say("models_trial_begin"));
  const whole_ = make("form", { className: "form" },
    field,
    make("fieldset", { className: "choices" }, make("legend", {}, say("models_trial_kind")), ...kinds), slide,
    make("div", { className: "field" }, make("label", { htmlFor: "trial-why" }, say("models_why_field")), why), trouble, make("div", { className: "actions" }, go));
  const kind = () => new FormData(whole_).get("kind");
  whole_.addEventListener("change", () => { slide.hidden = kind() === "shadow"; });
  whole_.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    trouble.textContent = "";
    try {
      await api("PUT", `${path}/trial`, { version: version.value, kind: kind(), share: range.value / 100, why: why.value.trim() });
      announce(say("models_trial_begun", { version: version.value }));
      focusOn("trial-title");
      changed();
    } catch (error) {
      trouble.textContent = reasonOf(wordsOf(error));
    }
    go.disabled = false;
  });
  return whole_;
}

function kindOf(value, name, hint, checked) {
  return make("label", {}, make("input", { type: "radio", name: "kind", value, checked }),
    make("span", {}, make("strong", {}, name), " ", hint));
}

function watch(trial) {
  const numbers = make("div", { className: "pair", id: "trial-numbers" });
  const trouble = make("p", { className: "trouble", role: "alert" });
  const share_ = trial.kind === "split" ? say("models_trial_splits", { share: share(trial.share, 0) }) : say("models_trial_shadows");
  host.replaceChildren(
    make("p", {}, make("strong", {}, trial.version), " ", share_, " ", make("span", { className: "quiet" }, say("models_trial_since", { when: momentOf(trial.since) }))),
    trouble, numbers,
    make("div", { className: "actions" },
      buttonOf(say("models_trial_promote", { version: trial.version }), () => start("promote", { version: trial.version }), "button button-main"),
      buttonOf(say("models_trial_stop"), stop, "button")));
  async function look() {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        const report = await api("GET", `${path}/trial`);
        if (!numbers.isConnected) return;
        if (!report.trial) { // another person, or the version itself, has ended it
          changed();
          return;
        }
        trouble.textContent = report.refused ? say("models_trial_refused", { why: reasonOf(report.refused) }) : "";
        numbers.replaceChildren(...report.versions.map((figures) => numbersOf(figures, report.active)));
      } catch (error) {
        trouble.textContent = wordsOf(error);
      }
    }
    timer = setTimeout(look, EVERY_MS);
  }
  look();
}

function numbersOf(one, active) {
  const rate = (value) => (value === null ? "–" : share(value));
  return make("div", { className: "sheet arm" },
    make("h3", {}, one.version, " ", make("span", { className: "tag" }, one.version === active ? say("models_tag_active") : say("models_tag_trial"))),
    make("p", { className: "figure" }, String(one.pictures), " ", make("span", { className: "quiet" }, say("models_pictures"))),
    facts([
      [say("models_unknown_rate"), rate(one.unknown_rate)],
      [say("models_agreement"), one.compared ? rate(one.agreement) : null],
      [say("models_milliseconds"), one.mean_infer_ms === null ? "–" : one.mean_infer_ms.toFixed(1)],
      [say("models_corrections"), String(one.corrections)],
      [say("models_errors"), String(one.errors)],
    ]));
}

async function stop() {
  try {
    await api("DELETE", `${path}/trial`, {});
    announce(say("models_trial_ended"));
    focusOn("trial-title");
    changed();
  } catch (error) {
    document.getElementById("notice").textContent = reasonOf(wordsOf(error));
  }
}
