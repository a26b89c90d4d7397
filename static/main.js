// The page: pictures come in, each is asked about, the answers are drawn and spoken.

import { ask } from "./ask.js";
import { Card } from "./card.js";
import { watchIntake } from "./intake.js";
import { createQueue } from "./queue.js";
import { chosenMode, drawSettings, learnMode, threshold, watchSettings } from "./settings.js";
import { prepare } from "./shrink.js";
import { currentLanguage, pageData, relabel, say, watchLanguage } from "./texts.js";
import { Tools, visitIsKept } from "./tools.js";

const AT_ONCE = 2;
const SPOKEN_FOR_MS = 10_000;

const results = document.getElementById("results");
const list = document.getElementById("cards");
const notice = document.getElementById("notice");
const announcer = document.getElementById("announcer");

const enqueue = createQueue(AT_ONCE);
const tools = new Tools({ cards: () => cards, addFiles, pictureOf, enqueue, announce, warn });
let cards = [];
let nextId = 0;

function start() {
  document.documentElement.classList.add("js");
  document.querySelector(".drop-words").hidden = false;
  document.getElementById("clear").hidden = false;
  document.getElementById("clear").addEventListener("click", clearAll);
  document.getElementById("ask").addEventListener("submit", (event) => event.preventDefault());
  watchSettings({
    onMode: () => cards.forEach(recognise),
    onThreshold: drawAll,
    onThresholdSettled: announceThreshold,
    onAllModes: () => cards.filter((card) => card.answer).forEach((card) => tools.askOthers(card)),
  });
  relabel();
  watchIntake(addFiles, () => warn("nothing_dropped"));
  // Answers that the server drew into the page know one language only: there the links lead to a page in the other.
  if (!document.querySelector("[data-served]")) watchLanguage(() => { drawSettings(); drawAll(); });
  if (visitIsKept()) tools.showVisit();
}

/** Put pictures on the page: new ones, or one brought back with its `id` and its `answer`. `isQuiet`: without going
 *  there. */
function addFiles(files, { id = null, answer = null, isQuiet = false } = {}) {
  warn(null);
  for (const served of document.querySelectorAll("[data-served]")) served.remove();
  const added = files.map((file) => newCard(file, id ?? `${Date.now()}-${nextId += 1}`));
  cards = [...added, ...cards];
  list.prepend(...added.map((card) => card.element));
  results.hidden = false;
  document.documentElement.classList.add("has-results");
  for (const card of added) {
    if (answer) settle(card, answer);
    else recognise(card);
  }
  const isNarrow = matchMedia("(max-width: 40rem)").matches; // there the answer would hide behind the buttons
  if (!isQuiet) added[0].element.scrollIntoView({ block: isNarrow ? "start" : "nearest" });
}

function newCard(file, id) {
  const card = new Card(file, () => pictureOf(card), id);
  card.part(".remove").addEventListener("click", () => remove(card));
  card.part(".retry").addEventListener("click", () => recognise(card));
  tools.wire(card);
  return card;
}

function pictureOf(card, onPhase = () => {}) {
  return prepare(card.file, pageData.limits.limit_mb, onPhase);
}

function recognise(card) {
  const signal = card.restart();
  card.draw(threshold());
  enqueue(async () => {
    if (signal.aborted) return;
    try {
      settle(card, await answerFor(card, signal));
    } catch (error) {
      if (signal.aborted) return;
      card.fail(error);
      card.draw(threshold());
    }
    announce(card.spoken(threshold()));
  });
}

function settle(card, answer) {
  card.finish(answer);
  card.draw(threshold());
  tools.answered(card);
}

async function answerFor(card, signal) {
  const onPhase = (name, value = null) => {
    card.phase = { name, value };
    card.draw(threshold());
  };
  const mode = chosenMode();
  const picture = await pictureOf(card, onPhase);
  card.shrunk = picture.shrunk;
  const answer = await ask(picture, { mode, top_k: 3, lang: currentLanguage(), groups: 1 }, signal, onPhase);
  learnMode(answer.mode, answer.threshold, answer.model);
  return answer;
}

function remove(card) {
  const place = cards.indexOf(card);
  cards.splice(place, 1);
  card.discard();
  tools.draw();
  announce(say("announce_removed", { file: card.file.name }));
  const next = cards[Math.min(place, cards.length - 1)];
  if (next) next.part(".remove").focus();
  else showEmpty();
}

function clearAll() {
  for (const card of cards) card.discard();
  cards = [];
  list.replaceChildren();
  tools.draw();
  showEmpty();
}

function showEmpty() {
  results.hidden = true;
  document.documentElement.classList.remove("has-results");
  document.getElementById("choose").focus();
}

function drawAll() {
  for (const card of cards) card.draw(threshold());
  tools.draw();
}

function announceThreshold() {
  const answered = cards.filter((card) => card.result);
  if (answered.length === 0) return;
  const unknown = answered.filter((card) => card.state(threshold()) === "unknown").length;
  announce(say("announce_threshold", { threshold: `${Math.round(threshold() * 100)}%`, unknown, total: answered.length }));
}

/** Show the sentence `key` above the results, in whichever language the page has; null: none. */
function warn(key) {
  if (key) notice.dataset.text = key;
  else delete notice.dataset.text;
  notice.textContent = key ? say(key) : "";
}

/** Say one sentence to screen readers; it goes again, so that nobody who browses the page meets it twice. */
function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  announcer.append(line);
  setTimeout(() => line.remove(), SPOKEN_FOR_MS);
}

start();
