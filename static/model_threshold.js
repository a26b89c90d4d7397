// Where a version begins to say "unknown": set on a plot of what it knows and does not, with what each choice costs.

import { api, wordsOf } from "./api.js";
import { buttonOf, make } from "./dom.js";
import { announce, selectOf, share } from "./model_parts.js";
import { createPlot } from "./model_plot.js";
import { active, changed, path, state, versionPath, whole } from "./model_state.js";
import { ask } from "./model_try.js";
import { reasonOf } from "./model_words.js";
import { createQueue } from "./queue.js";
import { say } from "./texts.js";

const host = document.getElementById("threshold");
const enqueue = createQueue(2);
const strangers = new Map(); // by version: the scores of photos that were shown to it here
let version = null;
let scores = null;
let threshold = 0;
let view = null;

export async function drawThreshold() {
  const names = whole().map((one) => one.version);
  if (!names.length) return;
  if (!names.includes(version)) version = active()?.version ?? names.at(-1);
  if (!view) view = build();
  view.chooseFrom(names);
  await read();
}

async function read() {
  const asked = version;
  try {
    const found = await api("GET", `${versionPath(asked)}/scores`);
    if (asked !== version) return;
    const wasMoved = scores?.version === asked && threshold !== scores.threshold;
    scores = found;
    if (!wasMoved) ({ threshold } = found);
    redraw();
  } catch (error) {
    view.trouble.textContent = reasonOf(wordsOf(error));
  }
}

const unknownScores = () => [...scores.unknown, ...(strangers.get(version) ?? [])];

function redraw() {
  const words = sentences();
  view.plot.show({ known: scores.known?.curve ?? null, unknown: unknownScores(), threshold }, words.join(" "));
  view.range.value = threshold;
  view.range.style.setProperty("--value", threshold);
  view.range.style.setProperty("--own", scores.own_threshold);
  view.range.setAttribute("aria-valuetext", share(threshold, threshold * 100 % 1 ? 1 : 0));
  view.words.replaceChildren(...words.map((sentence, place) => make("p", { className: place ? "" : "threshold-now" }, sentence)));
  view.hint.hidden = unknownScores().length > 0;
  const isMoved = threshold !== scores.threshold;
  view.save.disabled = !isMoved;
  view.save.textContent = say("models_threshold_set", { threshold: share(threshold, 0) });
  view.undo.hidden = !isMoved;
  view.own.hidden = scores.threshold === scores.own_threshold;
  view.own.textContent = say("models_threshold_own", { threshold: share(scores.own_threshold, 0) });
}

/** What the threshold of the moment costs, in whole photos. */
function sentences() {
  let honest = [];
  const said = [say("models_at_threshold", { threshold: share(threshold, 0) })];
  if (scores.known) {
    const { n, curve } = scores.known;
    const [named, right] = at(curve);
    said.push(say("models_cost_known", { count: Math.round((1 - named) * n), n }));
    if (right !== null) honest = [say("models_cost_right", { right: share(right, 0) })];
  }
  const unknown = unknownScores();
  if (unknown.length) {
    said.push(say("models_cost_unknown", { count: unknown.filter((score) => score >= threshold).length, n: unknown.length }));
  }
  return [...said, ...honest];
}

/** The share of known photos that keep a name at the threshold, and of these names those that are right. */
function at(curve) {
  const place = Math.min(Math.floor(threshold * (curve.length - 1)), curve.length - 2);
  const [low, high] = [curve[place], curve[place + 1]];
  const part = (threshold - low[0]) / (high[0] - low[0]);
  return [low[1] + part * (high[1] - low[1]), (part > 0.5 ? high : low)[2] ?? low[2]];
}

function build() {
  const plot = createPlot(moveTo);
  const range = make("input", { type: "range", id: "threshold-range", min: "0", max: "1", step: "0.01" });
  range.addEventListener("input", () => moveTo(range.valueAsNumber));
  const choice = selectOf("threshold-version", say("models_version"), [], null, (name) => {
    version = name;
    scores = null;
    read();
  });
  choice.field.classList.add("threshold-version");
  const picked = make("input", { type: "file", accept: "image/*", multiple: true, id: "threshold-file" });
  picked.addEventListener("change", () => {
    showStrangers([...picked.files]);
    picked.value = "";
  });
  const parts = {
    plot, range, words: make("div", { className: "threshold-words", role: "status" }),
    hint: make("p", { className: "hint" }, say("models_threshold_no_strangers")),
    trouble: make("p", { className: "trouble", role: "alert" }),
    save: buttonOf("", () => save(threshold), "button button-main"),
    undo: buttonOf(say("models_threshold_undo"), () => moveTo(scores.threshold), "link"),
    own: buttonOf("", () => save(null), "link"),
    chooseFrom(names) {
      choice.fill(names.map((name) => [name, name === state.record.active ? say("models_version_active", { version: name }) : name]), version);
      choice.field.hidden = names.length < 2;
    },
  };
  const figure = make("div", { className: "sheet plot-sheet" },
    legend("plot-key-known", say("models_plot_known")), plot.svg, make("div", { className: "slide" }, range),
    legend("plot-key-unknown", say("models_plot_unknown")));
  watchDrops(figure);
  host.replaceChildren(
    choice.field,
    make("label", { className: "unseen", htmlFor: "threshold-range" }, say("models_threshold_range")),
    figure, parts.words,
    make("div", { className: "actions" }, parts.save, parts.undo, parts.own), parts.trouble,
    make("div", { className: "strangers" },
      make("label", { className: "button button-small pick" }, picked, say("models_strangers_show")), parts.hint));
  return parts;
}

const legend = (kind, words) => make("p", { className: `plot-key ${kind} hint` }, words);

function moveTo(value) {
  if (!scores) return;
  threshold = value;
  redraw();
}

function watchDrops(figure) {
  figure.addEventListener("dragover", (event) => event.preventDefault());
  figure.addEventListener("drop", (event) => {
    event.preventDefault();
    showStrangers([...event.dataTransfer.files]);
  });
}

/** How sure the version is of photos that show none of its classes; only this page remembers. */
function showStrangers(files) {
  const name = version;
  view.trouble.textContent = "";
  for (const file of files) {
    enqueue(async () => {
      try {
        const { results: [result] } = await ask(name, file);
        strangers.set(name, [...(strangers.get(name) ?? []), result.sureness]);
        if (name === version && scores) redraw();
      } catch (error) {
        view.trouble.textContent = `${file.name} · ${wordsOf(error)}`;
      }
    });
  }
}

async function save(value) {
  view.trouble.textContent = "";
  try {
    await api("PUT", `${path}/threshold`, { version, threshold: value });
    const now = value ?? scores.own_threshold;
    scores.threshold = now;
    threshold = now;
    view.range.focus();
    announce(say("models_threshold_done", { version, threshold: share(now, 0) }));
    changed();
  } catch (error) {
    view.trouble.textContent = reasonOf(wordsOf(error));
  }
}
