// The photos of this visit, small, with their answers: kept in this browser's tab, and nowhere else.

import { said } from "./card.js";
import { levelOf, nameOf } from "./decision.js";
import { currentLanguage, say } from "./texts.js";
import { VISIT } from "./tools.js";

const MOST = 24;
const MANY = 4; // from so many on the strip is a way to get about the page
const SHORT_SIDE = 320; // the network looks at 256 or less
const LONG_SIDE = 960;
const QUALITY = 0.8;

const element = document.getElementById("visit");
const list = document.getElementById("visit-photos");

export class Strip {
  entries = stored();

  /** `cardOf(id)` is the card of an entry, where it is on the page; `onChoose(entry)` is called when one is chosen. */
  constructor({ cardOf, onChoose, onForget }) {
    Object.assign(this, { cardOf, onChoose });
    document.getElementById("visit-forget").addEventListener("click", () => {
      this.entries = [];
      forget();
      onForget();
    });
  }

  /** Take in an answered card, or its new answer. */
  async remember(card) {
    await card.part("img").decode().catch(() => {}); // one that the browser cannot show stays out
    if (!card.answer) return;
    const known = this.entries.find(({ id }) => id === card.id);
    const photo = known?.photo ?? smallCopy(card.part("img"));
    if (!photo) return;
    const entry = { id: card.id, name: card.file.name, photo, answer: card.answer };
    if (known) Object.assign(known, entry);
    else this.entries = [entry, ...this.entries].slice(0, MOST);
    this.entries = kept(this.entries);
  }

  /** Shown once it holds more than what is on the page anyway. */
  draw(threshold) {
    element.hidden = this.entries.length < MANY && this.entries.every(({ id }) => this.cardOf(id));
    const buttons = new Map([...list.children].map((item) => [item.dataset.id, item]));
    const items = this.entries.map((entry) => buttons.get(entry.id) ?? this.item(entry));
    if (items.length !== list.children.length || items.some((item, place) => item !== list.children[place])) {
      list.replaceChildren(...items);
    }
    this.entries.forEach((entry, place) => drawItem(items[place], entry, threshold));
  }

  item({ id, photo }) {
    const item = document.createElement("li");
    item.dataset.id = id;
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const image = Object.assign(document.createElement("img"), { src: photo, alt: "" });
    button.append(image, document.createElement("span"));
    button.addEventListener("click", () => this.onChoose(this.entries.find((entry) => entry.id === id)));
    item.append(button);
    return item;
  }
}

/** The photo of an entry as a file again. */
export function fileOf({ name, photo }) {
  const bytes = Uint8Array.from(atob(photo.split(",")[1]), (letter) => letter.charCodeAt(0));
  return new File([bytes], name, { type: "image/jpeg" });
}

function drawItem(item, { name, answer }, threshold) {
  const [result] = answer.results;
  const level = levelOf(result, threshold);
  const { name: known, share } = said(result, threshold);
  const words = level ? known : say("unknown");
  item.querySelector("span").textContent = level === "group" ? nameOf(result.group, currentLanguage()) : words; // short
  item.toggleAttribute("data-unknown", !level);
  item.querySelector("button").setAttribute("aria-label", say("visit_photo", { file: name, name: words, share }));
}

function smallCopy(image) {
  if (!image.naturalWidth) return null;
  const [short, long] = [image.naturalWidth, image.naturalHeight].sort((one, other) => one - other);
  const scale = Math.min(1, SHORT_SIDE / short, LONG_SIDE / long);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // JPEG has no transparency, and the server puts white behind it, too
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", QUALITY);
}

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(VISIT)) ?? [];
  } catch {
    return []; // refused, or not ours
  }
}

/** Write as many as there is room for, the newest first; a browser that refuses keeps them until the page is left. */
function kept(entries) {
  for (let count = entries.length; count > 0; count = Math.floor(count * 0.75)) {
    try {
      sessionStorage.setItem(VISIT, JSON.stringify(entries.slice(0, count)));
      return entries.slice(0, count);
    } catch (error) {
      if (error.name !== "QuotaExceededError") break;
    }
  }
  return entries;
}

function forget() {
  try {
    sessionStorage.removeItem(VISIT);
  } catch {
    // Then nothing was kept.
  }
}
