// Two versions beside each other: what is known of them, and by a button their answers on the same photos.

import { buttonOf, make } from "./dom.js";
import { between, dateOf, judged, photosJudged, selectOf, share, sizeOf } from "./model_parts.js";
import { active, classNamed, reportOf, versionOf, whole } from "./model_state.js";
import { start } from "./model_work.js";
import { say } from "./texts.js";

const MOST_CLASSES = 12;
const host = document.getElementById("compare");
const chosen = { first: null, second: null };

export function drawComparison() {
  const names = whole().map(({ version }) => version);
  document.getElementById("compare-part").hidden = names.length === 0;
  if (names.length < 2) {
    host.replaceChildren(make("p", { className: "quiet" }, say("models_compare_one")));
    return;
  }
  const serving = active()?.version ?? names[0];
  if (!names.includes(chosen.second)) chosen.second = serving;
  if (!names.includes(chosen.first)) chosen.first = names.filter((name) => name !== chosen.second).at(-1);
  const table = make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": say("models_compare_figures") });
  const go = buttonOf(say("models_compare_go"), () => start("compare", { ...chosen }), "button");
  const draw = async () => {
    go.disabled = chosen.first === chosen.second;
    const pair = [chosen.first, chosen.second];
    const reports = await Promise.all(pair.map((name) => (judged(versionOf(name)) ? reportOf(name) : null)));
    if (pair[0] === chosen.first && pair[1] === chosen.second) table.replaceChildren(figures(pair.map(versionOf), reports));
  };
  host.replaceChildren(
    make("div", { className: "pair" }, choice("first", say("models_compare_first"), names, draw), choice("second", say("models_compare_second"), names, draw)),
    table,
    make("div", { className: "actions" }, go, make("p", { className: "hint" }, say("models_compare_hint"))));
  draw();
}

function choice(side, words, names, onChange) {
  return selectOf(`compare-${side}`, words, names.map((name) => [name, name]), chosen[side], (name) => {
    chosen[side] = name;
    onChange();
  }).field;
}

function figures(versions, reports) {
  const row = (name, cells) => make("tr", {}, make("th", { scope: "row" }, name),
    ...cells.map((cell) => make("td", { className: "number" }, cell ?? "–")));
  const found = versions.map(judged);
  const each = (write) => found.map((one, place) => (one ? write(one, place) : null));
  const rows = [
    row(say("models_accuracy"), each(({ accuracy }) => share(accuracy))),
    row(say("models_interval_long"), each((one) => between(one.accuracy_low, one.accuracy_high))),
    row(say("models_judged_on"), each(photosJudged)),
    row(say("models_macro_recall"), each((one) => share(one.macro_recall))),
    row(say("models_calibration"), reports.map((report) => report && share(report.calibration.error_after))),
    row(say("models_threshold"), versions.map(({ threshold }) => share(threshold, 0))),
    row(say("models_size"), versions.map(({ size }) => sizeOf(size))),
    row(say("models_made"), versions.map(({ created }) => dateOf(created))),
  ];
  return make("table", { className: "table figures" },
    make("thead", {}, make("tr", {}, make("td", {}),
      ...versions.map(({ version }) => make("th", { scope: "col", className: "number" }, version)))),
    make("tbody", {}, ...rows, ...recalls(reports, row)));
}

/** Per class, where both reports know it: the largest differences first. */
function recalls(reports, row) {
  if (reports.some((report) => !report)) return [];
  const [first, second] = reports.map((report) => new Map(
    report[report.judged_on].classes.filter(({ recall }) => recall).map(({ label, recall }) => [label, recall.value])));
  return [...first.keys()].filter((label) => second.has(label))
    .sort((one, other) => Math.abs(first.get(other) - second.get(other)) - Math.abs(first.get(one) - second.get(one)))
    .slice(0, MOST_CLASSES)
    .map((label) => row(say("models_recall_of", { label: classNamed(label) }), [share(first.get(label)), share(second.get(label))]));
}
