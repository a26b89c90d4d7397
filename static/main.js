// The page: pictures come in, each is asked about, the answers are drawn and spoken.

import { ask } from "./ask.js";
import { Card } from "./card.js";
import { watchIntake } from "./intake.js";
import { createQueue } from "./queue.js";
import { chosenMode, drawSettings, learnMode, threshold, watchSettings } from "./settings.js";
import { prepare } from "./shrink.js";
import { currentLanguage, pageData, relabel, say, watchLanguage } from "./texts.js";

const AT_ONCE = 2;
const SPOKEN_FOR_MS = 10_000;

const results = document.getElementById("results");
const list = document.getElementById("cards");
const notice = document.getElementById("notice");
const announcer = document.getElementById("announcer");

const enqueue = createQueue(AT_ONCE);
let cards = [];

function start() {
  document.documentElement.classList.add("js");
  document.querySelector(".drop-words").hidden = false;
  document.getElementById("clear").hidden = false;
  document.getElementById("clear").addEventListener("click", clearAll);
  document.getElementById("ask").addEventListener("submit", (event) => event.preventDefault());
  watchSettings({
    onMode: () => cards.forEach(recognise),
    onThreshold: drawCards,
    onThresholdSettled: announceThreshold,
  });
  relabel();
  watchIntake(addFiles, () => { notice.textContent = say("nothing_dropped"); });
  // Answers that the server drew into the page know one language only: there the links lead to a page in the other.
  if (!document.querySelector("[data-served]")) watchLanguage(() => { drawSettings(); drawCards(); });
}

function addFiles(files) {
  notice.textContent = "";
  for (const served of document.querySelectorAll("[data-served]")) served.remove();
  const added = files.map((file) => new Card(file, () => prepare(file, pageData.limits.limit_mb, () => {})));
  cards = [...added, ...cards];
  list.prepend(...added.map((card) => card.element));
  results.hidden = false;
  document.documentElement.classList.add("has-results");
  for (const card of added) {
    card.part(".remove").addEventListener("click", () => remove(card));
    card.part(".retry").addEventListener("click", () => recognise(card));
    recognise(card);
  }
  const isNarrow = matchMedia("(max-width: 40rem)").matches; // there the answer would hide behind the buttons
  added[0].element.scrollIntoView({ block: isNarrow ? "start" : "nearest" });
}

function recognise(card) {
  const signal = card.restart();
  card.draw(threshold());
  enqueue(async () => {
    if (signal.aborted) return;
    try {
      card.finish(await answerFor(card, signal));
    } catch (error) {
      if (signal.aborted) return;
      card.fail(error);
    }
    card.draw(threshold());
    announce(card.spoken(threshold()));
  });
}

async function answerFor(card, signal) {
  const onPhase = (name, value = null) => {
    card.phase = { name, value };
    card.draw(threshold());
  };
  const mode = chosenMode();
  const picture = await prepare(card.file, pageData.limits.limit_mb, onPhase);
  card.shrunk = picture.shrunk;
  const answer = await ask(picture, { mode, language: currentLanguage() }, signal, onPhase);
  learnMode(answer.mode, answer.threshold, answer.model.name);
  return answer;
}

function remove(card) {
  const place = cards.indexOf(card);
  cards.splice(place, 1);
  card.discard();
  announce(say("announce_removed", { file: card.file.name }));
  const next = cards[Math.min(place, cards.length - 1)];
  if (next) next.part(".remove").focus();
  else showEmpty();
}

function clearAll() {
  for (const card of cards) card.discard();
  cards = [];
  list.replaceChildren();
  showEmpty();
}

function showEmpty() {
  results.hidden = true;
  document.documentElement.classList.remove("has-results");
  document.getElementById("choose").focus();
}

function drawCards() {
  for (const card of cards) card.draw(threshold());
}

function announceThreshold() {
  const answered = cards.filter((card) => card.result);
  if (answered.length === 0) return;
  const unknown = answered.filter((card) => card.state(threshold()) === "unknown").length;
  announce(say("announce_threshold", { threshold: `${Math.round(threshold() * 100)}%`, unknown, total: answered.length }));
}

/** Say one sentence to screen readers; it goes again, so that nobody who browses the page meets it twice. */
function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  announcer.append(line);
  setTimeout(() => line.remove(), SPOKEN_FOR_MS);
}

start();
