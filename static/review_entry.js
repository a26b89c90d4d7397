// One entry of the queue as a card: what Wanwu said, what a person said, and what may be done about it.

import { percent } from "./decision.js";
import { listOf, shownLabel, storedLabel } from "./review_labels.js";
import { currentLanguage, languageTag, say } from "./texts.js";

const template = document.getElementById("entry");
const QUICKER = { accepted: "review_quicker_accepted", rejected: "review_quicker_rejected", pending: "review_quicker_pending" };
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
let nextNumber = 0;

export class EntryCard {
  trouble = "";

  /** `modeTitle`: shown where the queue holds several modes. `act(card, action, label)`: what a press of a button means. */
  constructor(entry, { modeTitle, act }) {
    Object.assign(this, { entry, modeTitle, act });
    this.element = template.content.firstElementChild.cloneNode(true);
    this.cell = this.part(".entry-cell");
    this.field = this.part("input");
    this.listen();
    this.showPicture();
    this.draw();
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  listen() {
    for (const action of ["accept", "reject", "dismiss"]) {
      this.part(`.entry-${action}`).addEventListener("click", () => this.act(this, action));
    }
    this.part(".entry-back").addEventListener("click", () => this.act(this, "undo"));
    this.part(".entry-relabel").addEventListener("click", () => this.ask());
    this.part(".entry-leave").addEventListener("click", () => this.leave());
    const form = this.part("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.field.value.trim()) this.act(this, "relabel", this.field.value);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) this.leave();
    });
  }

  /** Say what went wrong with it. */
  explain(words) {
    this.trouble = words;
    this.draw();
  }

  draw() {
    const { entry } = this;
    const isPending = entry.status === "pending";
    this.element.dataset.status = entry.status;
    this.part(".entry-answer").textContent = this.answer();
    this.part(".entry-name").textContent = this.name;
    this.part(".entry-kind").textContent = this.kind();
    this.part(".entry-facts").replaceChildren(...this.facts());
    this.part(".entry-trouble").textContent = this.trouble;
    for (const action of ["accept", "relabel", "reject"]) this.part(`.entry-${action}`).hidden = !isPending;
    this.part(".entry-back").hidden = isPending || entry.status === "gone";
    this.part(".entry-dismiss").hidden = isPending || !this.trouble;
  }

  answer() {
    const { mode, answer, confidence } = this.entry;
    const share = percent(confidence);
    if (answer === "unknown") return say("review_wanwu_unknown", { share });
    return say("review_wanwu_said", { name: shownLabel(mode, answer), share });
  }

  /** What is right, as far as anybody has said. */
  get name() {
    const label = this.entry.final_label ?? this.entry.label;
    return label === null ? say("review_none") : shownLabel(this.entry.mode, label);
  }

  kind() {
    const { kind, label, final_label: final } = this.entry;
    if (final !== null && final !== label) {
      return say("review_renamed", { name: label === null ? say("review_none") : shownLabel(this.entry.mode, label) });
    }
    return kind === "new" ? say("review_new") : "";
  }

  facts() {
    const { created, version, count, used_by: learned } = this.entry;
    const when = Object.assign(document.createElement("time"), { dateTime: created, textContent: ago(created) });
    const words = [
      this.modeTitle, say("review_version", { version }),
      count > 1 ? say("review_times", { count }) : "", learned ? say("review_learned", { version: learned }) : "",
    ].filter(Boolean);
    return [`${words.join(" · ")} · `, when];
  }

  showPicture() {
    const [image, none] = [this.part("img"), this.part(".entry-no-picture")];
    none.textContent = say("review_no_picture");
    if (!this.entry.picture) return;
    image.addEventListener("error", () => {
      image.hidden = true;
      none.hidden = false;
      none.textContent = say("review_picture_gone");
    });
    image.src = this.entry.picture;
    [image.hidden, none.hidden] = [false, true];
  }

  /** What somebody else made of it meanwhile. */
  saidOfIt() {
    return say(QUICKER[this.entry.status] ?? "review_quicker_gone", { name: this.name });
  }

  /** A typed name as it is sent. */
  storedLabel(typed) {
    return storedLabel(this.entry.mode, typed);
  }

  /** Let the right name be typed. */
  ask() {
    this.field.id ||= `right-name-${nextNumber += 1}`;
    this.part("label").htmlFor = this.field.id;
    this.field.setAttribute("list", listOf(this.entry.mode));
    this.field.value = this.entry.label === null ? "" : this.name;
    this.turn(true);
    this.field.focus();
    this.field.select();
  }

  leave() {
    this.turn(false);
    this.focus();
  }

  turn(isAsking) {
    this.part("form").hidden = !isAsking;
    this.part(".entry-actions").hidden = isAsking;
  }

  /** Whether the Tab key stops here, and at the buttons. */
  setCurrent(isCurrent) {
    this.cell.tabIndex = isCurrent ? 0 : -1;
    for (const button of this.element.querySelectorAll(".entry-actions button")) button.tabIndex = isCurrent ? 0 : -1;
  }

  focus() {
    this.cell.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** Go, without a jolt where the person minds none. */
  vanish() {
    this.element.inert = true;
    if (isStill.matches) {
      this.element.remove();
      return;
    }
    const fading = this.element.animate({ opacity: [1, 0] }, { duration: 140, easing: "ease-out" });
    fading.onfinish = fading.oncancel = () => this.element.remove();
  }
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

/** How long ago, in words; the date where it is more than a month. */
function ago(moment) {
  const tag = languageTag(currentLanguage());
  const seconds = Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
  if (seconds > 30 * 86400) return new Intl.DateTimeFormat(tag, { dateStyle: "medium" }).format(new Date(moment));
  const [unit, length] = UNITS.find(([, long]) => seconds >= long) ?? ["minute", Infinity];
  return new Intl.RelativeTimeFormat(tag, { numeric: "auto" }).format(-Math.floor(seconds / length), unit);
}
