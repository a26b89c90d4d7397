// What a version is worth, in words first.

import { api } from "./api.js";
import { album } from "./album_state.js";
import { inOurs, make } from "./dom.js";
import { currentLanguage, pageData, say } from "./texts.js";

const words = document.getElementById("result-words");
let shown = null;

export const newest = () => album.versions.at(-1) ?? null;
export const versionPath = (version) => `/api/modes/${pageData.mode}/versions/${version}`;

/** Tell of the newest version, where it is not told of already. */
export async function drawResult() {
  const version = newest();
  document.getElementById("result-none").hidden = version !== null;
  if (version === null || version === shown) return;
  shown = version;
  const facts = await api("GET", `${versionPath(version)}/report.json`).catch(() => null);
  words.replaceChildren(...(facts ? [...sentences(facts), rightByClass(facts), link(version)] : [link(version)]));
}

const isTest = (facts) => facts.judged_on === "test";
const judged = (facts) => facts[facts.judged_on];
const rightOf = (figures) => figures.confusion.reduce((sum, row, place) => sum + row[place], 0);
const nameAt = (facts, place) => inOurs(facts.labels[place].label, facts.labels[place].label_zh);

function sentences(facts) {
  const figures = judged(facts);
  const values = { right: rightOf(figures), n: figures.n };
  const first = isTest(facts) ? say("teach_right_new", values) : say("teach_right_aside", values);
  const range = { low: Math.round(figures.accuracy_low * 100), high: Math.round(figures.accuracy_high * 100) };
  return [
    make("p", { className: "figure" }, first),
    make("p", { className: "lede" }, confusedWords(facts), isTest(facts) ? "" : ` ${say("teach_aside_hint")}`),
    make("p", { className: "hint" }, say("teach_expect", range)),
  ];
}

function confusedWords(facts) {
  const [worst] = facts.confusions;
  if (!worst) return say("teach_confused_none");
  const n = judged(facts).classes[worst.truth].count;
  return say("teach_confused", {
    truth: nameAt(facts, worst.truth), answer: nameAt(facts, worst.answer), count: worst.count, n,
  });
}

function rightByClass(facts) {
  const { confusion, classes } = judged(facts);
  const rows = classes.map((one, place) => make("tr", {},
    make("th", { scope: "row" }, nameAt(facts, place)),
    make("td", {}, one.count === 0 ? say("teach_right_none") : say("teach_right_of", { right: confusion[place][place], n: one.count }))));
  return make("details", {}, make("summary", {}, say("teach_by_class")), make("table", { className: "table" }, make("tbody", {}, ...rows)));
}

function link(version) {
  const href = `${versionPath(version)}/report?lang=${currentLanguage()}`;
  return make("p", {}, make("a", { href, target: "_blank", rel: "noopener" }, say("teach_report", { version })));
}
