// Elements in one line, numbers in words, and a voice for screen readers.

import { currentLanguage, languageTag, otherLanguage, say } from "./texts.js";

const SPOKEN_FOR_MS = 10_000;

/** An element with its properties (what is none becomes an attribute) and children; null ones are left out. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A button that calls `act`. */
export function buttonOf(words, act, className = "button") {
  const button = make("button", { type: "button", className }, words);
  button.addEventListener("click", act);
  return button;
}

/** A copy of a template of the page. */
export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** "1 photo", "12 photos". */
export function photosOf(n) {
  return n === 1 ? say("teach_photo") : say("teach_photos", { n });
}

/** "1 thing", "5 things". */
export function thingsOf(n) {
  return n === 1 ? say("teach_thing") : say("teach_things", { n });
}

/** What has a name in both languages in the one of the page, or in the other where there is none. */
export function inOurs(en, zh) {
  return (currentLanguage() === "zh" ? zh || en : en || zh) ?? "";
}

/** The name in the other language, where there is one; marked as such, for screen readers to pronounce. */
export function inOther(en, zh) {
  const other = currentLanguage() === "zh" ? en : zh;
  const isNew = other && other !== inOurs(en, zh);
  return isNew ? make("span", { className: "other", lang: languageTag(otherLanguage()) }, other) : null;
}

/** Say one sentence to screen readers; it goes again, so that nobody who browses the page meets it twice. */
export function announce(sentence) {
  const line = make("p", {}, sentence);
  document.getElementById("announcer").append(line);
  setTimeout(() => line.remove(), SPOKEN_FOR_MS);
}

/** Ask before something that cannot be taken back; promises whether it may be done. */
export function confirmed(words, action) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector(".confirm-words").textContent = words;
  const yes = dialog.querySelector(".confirm-yes");
  yes.textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
