// Figures, times and sizes as people write them, and the parts that show them.

import { draw, make } from "./dom.js";
import { currentLanguage, languageTag, say } from "./texts.js";

const SPOKEN_FOR_MS = 10_000;

document.documentElement.classList.add("js");

/** The modes that come with the networks, and have no versions. */
export const BUILT_IN = ["imagenet", "imagenet-ensemble"];

/** A select under its label, with the page's own arrow. `options`: [value, words]. */
export function selectOf(id, words, options, chosen, onChange = () => {}) {
  const select = make("select", { id });
  const fill = (some, value) => select.replaceChildren(...some.map(([one, name]) => make("option", { value: one, selected: one === value }, name)));
  fill(options, chosen);
  select.addEventListener("change", () => onChange(select.value));
  const arrow = draw("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: "M6 9l6 6 6-6" }));
  const field = make("div", { className: "field" }, make("label", { htmlFor: id }, words), make("span", { className: "select" }, select, arrow));
  return { field, select, fill };
}

export const share = (value, digits = 1) => (value >= 1 ? "100%" : `${(value * 100).toFixed(digits)}%`);
export const between = (low, high) => `${Math.round(low * 100)}–${Math.round(high * 100)}%`;
export const dateOf = (iso) => format(iso, { dateStyle: "medium" });
export const momentOf = (iso) => format(iso, { dateStyle: "medium", timeStyle: "short" });

function format(iso, options) {
  return iso ? new Intl.DateTimeFormat(languageTag(currentLanguage()), options).format(new Date(iso)) : "–";
}

export function sizeOf(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** What a version was judged on, the test part where it has one: {part, n, accuracy, …}; null where nothing is known. */
export function judged(version) {
  const part = ["test", "validation"].find((name) => version?.metrics?.[name]);
  return part ? { part, ...version.metrics[part] } : null;
}

export const photosJudged = ({ part, n }) => (
  part === "test" ? say("models_on_test", { n }) : say("models_on_validation", { n }));

/** A share with its interval on a line from 0 to 100 %: the numbers beside it say the same. */
export function intervalOf({ accuracy, accuracy_low: low, accuracy_high: high }) {
  const x = (value) => 4 + 112 * value;
  return draw("svg", { class: "interval", viewBox: "0 0 120 12", "aria-hidden": "true" },
    draw("line", { class: "interval-axis", x1: x(0), x2: x(1), y1: 6, y2: 6 }),
    draw("line", { class: "interval-reach", x1: x(low), x2: x(high), y1: 6, y2: 6 }),
    draw("circle", { class: "interval-value", cx: x(accuracy), cy: 6, r: 3.5 }));
}

/** "a", "b" as pairs of a description list. */
export function facts(pairs, className = "facts") {
  return make("dl", { className }, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** Say one sentence to screen readers, and for a while to everyone. */
export function announce(sentence) {
  const line = make("p", {}, sentence);
  document.getElementById("announcer").replaceChildren(line);
  setTimeout(() => line.remove(), SPOKEN_FOR_MS);
}

/** Move the focus to the heading of a part whose buttons have just been drawn anew. */
export function focusOn(id) {
  const heading = document.getElementById(id);
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

