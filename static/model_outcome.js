// What came of letting two versions answer the same photos.

import { make } from "./dom.js";
import { between, share } from "./model_parts.js";
import { classNamed } from "./model_state.js";
import { explainSideBySide, shortP } from "./verdict.js";
import { say } from "./texts.js";

const MOST_CLASSES = 12;

/** The heading, the words and the table of what `models compare --json` prints. */
export function comparisonOf(result) {
  const { verdict, candidate, active } = result;
  const words = explainSideBySide(result).map((sentence) => make("p", {}, sentence));
  if (!verdict.candidate) return [make("h3", {}, say("models_compared_none")), ...words];
  return [make("h3", {}, heading(verdict, candidate, active)), ...words, table(result)];
}

function heading({ p, candidate, active }, first, second) {
  if (p >= 0.05) return say("models_compared_level", { first, second });
  const better = candidate.right > active.right ? first : second;
  return say("models_compared_better", { version: better });
}

function table({ candidate, active, verdict }) {
  const sides = [verdict.candidate, verdict.active];
  const row = (name, cells) => make("tr", {}, make("th", { scope: "row" }, name),
    ...cells.map((cell) => make("td", { className: "number" }, cell)));
  const rows = [
    row(say("models_right"), sides.map(({ right }) => say("models_of", { right, n: verdict.n }))),
    row(say("models_accuracy"), sides.map(({ accuracy }) => `${share(accuracy.value)} (${between(accuracy.low, accuracy.high)})`)),
    row(say("models_only_this"), [verdict.pairs.candidate, verdict.pairs.active]),
    row(say("models_calibration"), sides.map((side) => share(side.calibration_error))),
    row(say("models_milliseconds"), sides.map(({ milliseconds }) => milliseconds.toFixed(1))),
    ...differing(verdict.classes).map((one) => row(classNamed(one.label),
      [one.candidate, one.active].map((right) => (right === null ? "–" : say("models_of", { right, n: one.count }))))),
  ];
  return make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": say("models_compare") },
    make("table", { className: "table figures" },
      make("caption", { className: "hint" }, say("models_compared_p", { n: verdict.n, p: shortP(verdict.p) })),
      make("thead", {}, make("tr", {}, make("td", {}),
        ...[candidate, active].map((name) => make("th", { scope: "col", className: "number" }, name)))),
      make("tbody", {}, ...rows)));
}

const differing = (classes) => classes.filter((one) => one.candidate !== one.active).slice(0, MOST_CLASSES);
