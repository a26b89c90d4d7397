// One picture among the results: what is known of it, and how that is drawn.

import { Failure } from "./failure.js";
import { Correction } from "./correction.js";
import { isApart, levelOf, nameOf, percent } from "./decision.js";
import { currentLanguage, groupWords, languageTag, otherLanguage, relabel, say, sayError } from "./texts.js";

const cardTemplate = document.getElementById("card");
const guessTemplate = document.getElementById("guess");

export class Card {
  file;
  element;
  answer = null;
  failure = null;
  shrunk = null;
  phase = { name: "waiting", value: null };
  controller = null;
  look = null; // where it looked, once that was asked for
  others = null; // what the other modes say, once they were asked

  /** `picture()` promises what is sent of `file`; `id` tells it from every other of this visit. */
  constructor(file, picture, id) {
    Object.assign(this, { file, id });
    this.element = cardTemplate.content.firstElementChild.cloneNode(true);
    relabel(this.element);
    this.part(".file").textContent = file.name;
    this.correction = new Correction(this.part(".correction"), picture);
    this.showPreview();
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  /** Start anew: what ran for this picture is given up, and the signal for the new run returned. */
  restart() {
    this.controller?.abort();
    this.controller = new AbortController();
    this.failure = null;
    this.phase = { name: "waiting", value: null };
    return this.controller.signal;
  }

  finish(answer) {
    this.answer = answer;
    this.phase = null;
    this.part(".guesses").replaceChildren(); // so that the bars grow again
  }

  fail(error) {
    this.answer = null;
    this.failure = error instanceof Failure ? error : new Failure({ key: "unreachable", mayPass: true });
    this.phase = null;
  }

  discard() {
    this.controller?.abort();
    this.look?.shut();
    this.others?.stop();
    URL.revokeObjectURL(this.part("img").src);
    this.element.remove();
  }

  get result() {
    return this.answer?.results[0] ?? null;
  }

  /** "empty", "failed", "known", "group" or "unknown". */
  state(threshold) {
    if (this.failure) return "failed";
    if (!this.result) return "empty";
    return STATES[levelOf(this.result, threshold)];
  }

  /** One sentence for the ears. */
  spoken(threshold) {
    const file = this.file.name;
    if (this.failure) return say("announce_failed", { file, sentence: this.failureSentence() });
    const key = this.state(threshold) === "unknown" ? "announce_unknown" : "announce_done";
    return say(key, { file, ...said(this.result, threshold) });
  }

  failureSentence() {
    const { code, words, key } = this.failure;
    return (code && sayError(code, words)) || say(key ?? "unreachable");
  }

  showPreview() {
    const image = this.part("img");
    image.addEventListener("load", () => { image.hidden = false; });
    image.addEventListener("error", () => { this.part(".no-preview").hidden = false; });
    this.part(".no-preview strong").textContent = this.file.name.match(/\.(\w{2,5})$/)?.[1].toUpperCase() ?? "";
    image.src = URL.createObjectURL(this.file);
  }

  draw(threshold) {
    const state = this.state(threshold);
    this.element.dataset.state = state;
    this.element.toggleAttribute("data-busy", this.phase !== null);
    this.part(".remove").setAttribute("aria-label", say("remove", { file: this.file.name }));
    this.drawWords(state, threshold);
    this.drawGuesses(threshold);
    this.drawSureness(threshold);
    this.drawFacts();
    this.drawProgress();
    this.correction.draw(this.phase === null ? this.answer : null);
    for (const selector of [".where", ".curl"]) this.part(selector).hidden = !this.answer || this.phase !== null;
    this.look?.draw();
    this.others?.draw();
    this.part(".retry").hidden = !this.failure?.mayPass;
  }

  drawWords(state, threshold) {
    const best = this.result?.top[0];
    const names = { failed: () => say("failed"), unknown: () => say("unknown"), empty: () => "" };
    this.part(".name").textContent = names[state]?.() ?? said(this.result, threshold).name;
    const asides = { known: () => asideOf(best), group: () => asideOf(this.result.group) };
    this.part(".aside").replaceChildren(...asides[state]?.() ?? []);
    const messages = {
      failed: () => this.failureSentence(),
      unknown: () => unknownSentence(this.result, threshold),
      group: () => say("group_reason", {
        group: nameOf(this.result.group, currentLanguage()),
        group_share: percent(this.result.group.confidence),
        ...reasonOf(this.result, threshold),
      }),
    };
    this.part(".message").textContent = messages[state]?.() ?? "";
  }

  drawGuesses(threshold) {
    const list = this.part(".guesses");
    const entries = this.result?.top ?? [];
    while (list.children.length > entries.length) list.lastElementChild.remove();
    while (list.children.length < entries.length) list.append(newGuess());
    const mark = this.result && isApart(this.result) ? null : threshold;
    entries.forEach((entry, place) => drawGuess(list.children[place], entry, mark));
  }

  /** How sure the mode is that it is any of these, where the shares of the guesses do not say that. */
  drawSureness(threshold) {
    const list = this.part(".sureness");
    list.hidden = !this.result || !isApart(this.result);
    if (list.hidden) return;
    if (!list.children.length) list.append(newGuess());
    drawGuess(list.firstElementChild, { label: say("sure_of_any"), confidence: this.result.sureness }, threshold);
  }

  drawFacts() {
    const { image } = this.result ?? {};
    this.part(".facts").replaceChildren(...(image ? [
      image.format,
      `${image.width} × ${image.height}`,
      say("recognised_in", { ms: Math.round(this.answer.timing_ms.total) }),
      say("answered_by", { model: this.answer.model.name }),
    ].map((fact) => spanOf(fact)) : []));
    const note = this.part(".note");
    note.hidden = !this.shrunk;
    note.textContent = this.shrunk ? say("shrunk", this.shrunk) : "";
  }

  drawProgress() {
    const line = this.part(".progress");
    line.hidden = this.phase === null;
    if (line.hidden) return;
    const { name, value } = this.phase;
    const bar = line.querySelector("progress");
    if (name === "sending") bar.value = value;
    else bar.removeAttribute("value");
    const words = say(name, { seconds: value });
    line.querySelector("span").textContent = name === "sending" && value > 0 ? `${words} ${percent(value)}` : words;
    bar.setAttribute("aria-label", words);
  }
}

const STATES = { class: "known", group: "group", null: "unknown" };

/** What an answer is called under the threshold of the moment, and with which share; unknown: its closest guess. */
export function said(result, threshold) {
  if (levelOf(result, threshold) === "group") {
    return { name: groupWords(result.group), share: percent(result.group.confidence) };
  }
  const [best] = result.top;
  return { name: nameOf(best, currentLanguage()), share: percent(best.confidence, threshold) };
}

const reasonOf = ({ sureness }, threshold) => ({ share: percent(sureness, threshold), threshold: percent(threshold) });

function unknownSentence(result, threshold) {
  return say(isApart(result) ? "unknown_stranger" : "unknown_reason", reasonOf(result, threshold));
}

function asideOf(best) {
  const parts = [];
  const other = nameOf(best, otherLanguage());
  if (other !== nameOf(best, currentLanguage())) {
    parts.push(spanOf(other, { lang: languageTag(otherLanguage()) }));
  }
  const group = currentLanguage() === "zh" ? best.group_zh : best.group;
  if (group) parts.push(spanOf(group, { className: "group" }));
  return parts;
}

function spanOf(text, properties = {}) {
  return Object.assign(document.createElement("span"), { textContent: text }, properties);
}

/** An empty entry of a list of guesses. */
export const newGuess = () => guessTemplate.content.firstElementChild.cloneNode(true);

/** Fill it: the name, the share, and the bar with the threshold's mark; null: there is none on this bar. */
export function drawGuess(item, entry, threshold) {
  item.querySelector(".guess-name").textContent = nameOf(entry, currentLanguage());
  item.querySelector(".guess-share").textContent = percent(entry.confidence, threshold);
  item.querySelector(".bar-share").setAttribute("width", entry.confidence * 100);
  const mark = item.querySelector(".bar-mark");
  mark.toggleAttribute("hidden", threshold === null);
  for (const end of ["x1", "x2"]) mark.setAttribute(end, threshold * 100);
}
