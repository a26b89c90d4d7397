// What few ask for, loaded when they do: where it looked, other modes, curl, the photos of this visit, the live camera.

import { asksAllModes, chosenMode, threshold } from "./settings.js";

export const VISIT = "wanwu-visit"; // under this name the browser keeps the photos of this visit

/** Whether this tab has photos from before. */
export function visitIsKept() {
  try {
    return sessionStorage.getItem(VISIT) !== null;
  } catch {
    return false; // a browser that keeps nothing
  }
}

/** `page` offers cards(), addFiles(files, brought), pictureOf(card), enqueue(job), announce(sentence), warn(key). */
export class Tools {
  strip = null;
  live = null;

  constructor(page) {
    this.page = page;
    this.liveButton = document.getElementById("live-start");
    this.liveButton.hidden = false;
    this.liveButton.addEventListener("click", () => this.startLive());
  }

  /** Let the buttons of a new card work. */
  wire(card) {
    card.part(".where").addEventListener("click", () => this.showLook(card));
    card.part(".curl").addEventListener("click", () => this.copyCurl(card));
  }

  /** Take note of a card's answer. */
  async answered(card) {
    if (asksAllModes() || card.others) await this.askOthers(card);
    await this.showVisit(card);
  }

  /** What depends on the threshold and the language. */
  draw() {
    this.strip?.draw(threshold());
    this.live?.draw();
  }

  async showLook(card) {
    const module = await this.load("./look.js");
    if (!module) return;
    card.look ??= new module.Look(card, () => this.page.pictureOf(card), this.page.enqueue);
    card.look.toggle();
  }

  async copyCurl(card) {
    const module = await this.load("./curl.js");
    if (!module) return;
    const command = { name: card.file.name, mode: card.answer.mode, threshold: threshold(), origin: location.origin };
    await module.copy(module.commandFor(command), card.part(".curl-line"));
  }

  async askOthers(card) {
    const module = await this.load("./others.js");
    if (!module) return;
    card.others ??= new module.Others(card, () => this.page.pictureOf(card), this.page.enqueue);
    card.others.turn(asksAllModes());
  }

  /** Draw the strip of this visit, once `card` is in it, too. */
  async showVisit(card = null) {
    const module = await this.load("./strip.js");
    if (!module) return;
    this.strip ??= new module.Strip({
      cardOf: (id) => this.page.cards().find((one) => one.id === id),
      onChoose: (entry) => this.bringBack(entry, module.fileOf),
      onForget: () => {
        this.strip.draw(threshold());
        document.getElementById("choose").focus();
      },
    });
    if (card) await this.strip.remember(card);
    this.strip.draw(threshold());
  }

  bringBack(entry, fileOf) {
    const card = this.page.cards().find(({ id }) => id === entry.id);
    if (!card) {
      const answer = entry.answer.mode === chosenMode() ? entry.answer : null;
      this.page.addFiles([fileOf(entry)], { id: entry.id, answer });
      return;
    }
    card.element.scrollIntoView({ block: "start" });
    card.part(".name").focus({ preventScroll: true });
  }

  async startLive() {
    if (this.live?.isOn) return;
    const module = await this.load("./live.js");
    if (!module) return;
    this.live ??= new module.Live({
      onPhoto: (file) => this.page.addFiles([file], { isQuiet: true }),
      announce: this.page.announce,
      onEnd: (failure) => {
        this.liveButton.hidden = false;
        this.liveButton.focus();
        if (failure) this.page.warn(failure.key);
      },
    });
    this.page.warn(null);
    try {
      await this.live.start();
      this.liveButton.hidden = true;
    } catch (failure) {
      this.page.warn(failure.key ?? "live_none");
    }
  }

  async load(path) {
    try {
      return await import(path);
    } catch {
      this.page.warn("unreachable");
      return null;
    }
  }
}
