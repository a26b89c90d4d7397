// The page `models`: every mode, as a catalogue.

import { api, wordsOf } from "./api.js";
import { inOther, inOurs, make } from "./dom.js";
import { BUILT_IN, dateOf, facts, between, intervalOf, judged, photosJudged, share } from "./model_parts.js";
import { reasonOf } from "./model_words.js";
import { prepareImport } from "./models_import.js";
import { say } from "./texts.js";

const list = document.getElementById("modes");
const notice = document.getElementById("notice");

async function show() {
  try {
    const [registry, served] = await Promise.all([api("GET", "/api/modes"), api("GET", "/modes")]);
    const own = registry.modes.map((record) => card(record, served.modes.find(({ key }) => key === record.key)));
    const base = served.modes.filter(({ key, available }) => available && BUILT_IN.includes(key)).map(baseCard);
    list.replaceChildren(...(own.length ? [] : [nothing()]), make("ul", { className: "modes" }, ...own, ...base));
  } catch (error) {
    notice.textContent = wordsOf(error);
    list.replaceChildren();
  }
  list.setAttribute("aria-busy", "false");
}

function nothing() {
  return make("p", { className: "empty" }, make("strong", {}, say("models_none")),
    make("span", {}, say("models_none_hint")), " ", make("a", { href: "/teach" }, say("models_none_teach")));
}

function card(record, served) {
  const version = record.versions.find(({ active }) => active);
  const title = served?.title ?? version?.title ?? record.versions.at(-1)?.title ?? { en: record.key, zh: record.key };
  const found = judged(version);
  const tags = [
    record.trial && make("span", { className: "tag" }, say("models_trial_runs", { version: record.trial.version })),
    record.problem && make("span", { className: "tag tag-main" }, say("models_not_served")),
  ];
  return entry(record.key, title, tags, [
    [say("models_in_service"), record.active ?? (record.file ? say("models_file", { file: record.file }) : null)],
    [say("models_classes"), version?.classes ?? served?.labels?.length],
    [say("models_judged_on"), found && photosJudged(found)],
    [say("models_made"), version?.created && dateOf(version.created)],
  ], found, record.problem);
}

function baseCard(mode) {
  return entry(mode.key, mode.title, [make("span", { className: "tag" }, say("models_base"))], [
    [say("models_in_service"), mode.model.name],
    [say("models_classes"), mode.labels.length],
  ], null, null);
}

function entry(key, title, tags, pairs, found, problem) {
  const link = make("a", { href: `/models/${encodeURIComponent(key)}` }, inOurs(title.en, title.zh));
  return make("li", { className: "mode" },
    make("div", { className: "mode-name" },
      make("h2", {}, link),
      make("p", { className: "quiet" }, inOther(title.en, title.zh), " ", make("code", {}, key)),
      make("p", { className: "tags" }, ...tags)),
    found ? make("p", { className: "mode-figure" },
      make("span", { className: "figure" }, share(found.accuracy)),
      intervalOf(found),
      make("span", { className: "quiet" }, say("models_interval", { range: between(found.accuracy_low, found.accuracy_high) })))
      : make("p", { className: "mode-figure quiet" }, BUILT_IN.includes(key) ? "" : say("models_not_judged")),
    facts(pairs),
    problem ? make("p", { className: "trouble mode-problem" }, say("models_problem", { reason: reasonOf(problem) })) : null);
}

prepareImport(show);
show();
