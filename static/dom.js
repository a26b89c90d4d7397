// Elements in one line, a voice for screen readers, and a question before what cannot be taken back.

import { currentLanguage, languageTag, otherLanguage } from "./texts.js";

const SVG = document.querySelector("svg").namespaceURI;
const SPOKEN_FOR_MS = 10_000;

/** An element; properties that it does not have become attributes; children that are nothing are left out. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter(Boolean));
  return element;
}

/** A button that calls `act`. */
export function buttonOf(words, act, className = "button button-small") {
  const button = make("button", { type: "button", className }, words);
  button.addEventListener("click", act);
  return button;
}

/** A copy of a template of the page. */
export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Which of two names is in the page's language; the other one where there is none. */
export const inOurs = (en, zh) => (currentLanguage() === "zh" ? zh || en : en || zh) ?? "";

/** The other name, marked as what it is so that screen readers pronounce it well, where it differs. */
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
  dialog.querySelector(".confirm-yes").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
