// "Ask all modes at once": what the other modes say of a card's photo, beside the answer of the chosen one.

import { ask } from "./ask.js";
import { drawGuess, newGuess, said } from "./card.js";
import { levelOf, nameOf } from "./decision.js";
import { Failure } from "./failure.js";
import { chosenMode, modes, titleOf } from "./settings.js";
import { currentLanguage, relabel, say } from "./texts.js";

export class Others {
  answers = new Map(); // mode to its answer, a Failure, or null while it is asked
  controller = new AbortController();
  isOn = true;

  /** `picture()` promises what to send of the card's photo; `enqueue` is the page's queue. */
  constructor(card, picture, enqueue) {
    Object.assign(this, { card, picture, enqueue });
    this.element = document.createElement("div");
    this.element.className = "others";
    const heading = document.createElement("h4");
    heading.dataset.text = "other_modes";
    this.list = document.createElement("ul");
    this.element.append(heading, this.list);
    card.part(".guesses").after(this.element);
  }

  /** Ask every mode but the chosen one that has not answered yet. */
  ask() {
    for (const mode of this.modes()) {
      if (this.answers.has(mode) && !(this.answers.get(mode) instanceof Failure)) continue;
      this.answers.set(mode, null);
      this.enqueue(() => this.askOne(mode));
    }
    this.draw();
  }

  async askOne(mode) {
    const { signal } = this.controller;
    if (signal.aborted) return;
    try {
      this.answers.set(mode, await ask(await this.picture(), { mode, top_k: 1, lang: currentLanguage(), groups: 1 }, signal, () => {}));
    } catch (error) {
      if (signal.aborted) return;
      this.answers.set(mode, error instanceof Failure ? error : new Failure({ key: "unreachable" }));
    }
    this.draw();
  }

  /** Begin or end; what was answered stays known. */
  turn(isOn) {
    this.isOn = isOn;
    if (isOn) this.ask();
    else this.stop();
    this.draw();
  }

  stop() {
    this.controller.abort();
    this.controller = new AbortController();
    for (const [mode, answer] of this.answers) if (answer === null) this.answers.delete(mode);
  }

  modes() {
    return modes().filter((mode) => mode !== chosenMode());
  }

  draw() {
    const asked = this.modes().filter((mode) => this.answers.has(mode));
    this.element.hidden = !this.isOn || asked.length === 0 || this.card.state(0) === "failed";
    if (this.element.hidden) return;
    relabel(this.element);
    while (this.list.children.length > asked.length) this.list.lastElementChild.remove();
    while (this.list.children.length < asked.length) this.list.append(newRow());
    asked.forEach((mode, place) => this.drawRow(this.list.children[place], mode));
  }

  drawRow(row, mode) {
    const answer = this.answers.get(mode);
    row.querySelector(".other-title").textContent = titleOf(mode);
    row.toggleAttribute("data-pending", answer === null);
    const result = answer?.results?.[0];
    row.querySelector(".bar").toggleAttribute("hidden", !result);
    if (!result) {
      row.querySelector(".guess-name").textContent = say(answer === null ? "looking" : "failed");
      row.querySelector(".guess-share").textContent = "";
      return;
    }
    // The bar says how sure that mode is: of two names one always has most of the share, whatever the photo shows.
    const level = levelOf(result, answer.threshold);
    const [best] = result.top;
    drawGuess(row, { ...best, confidence: result.sureness }, answer.threshold);
    if (level === "group") drawGuess(row, result.group, Math.max(answer.threshold, result.group.threshold));
    const { name } = said(result, answer.threshold);
    row.querySelector(".guess-name").textContent = level ? name : say("other_unknown", { name: nameOf(best, currentLanguage()) });
  }
}

function newRow() {
  const row = newGuess();
  row.prepend(Object.assign(document.createElement("span"), { className: "other-title" }));
  return row;
}
