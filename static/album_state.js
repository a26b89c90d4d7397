// The album that this page shows: as the server last told it, and what is drawn anew when it changes.

import { api, wordsOf } from "./api.js";
import { currentLanguage, pageData } from "./texts.js";
import { inOurs } from "./dom.js";

export const path = `/api/albums/${pageData.mode}`;

/** The album; replaced whole with each answer of the server. */
export let album = null;

const listeners = [];

/** Call `draw` with every new album. */
export function onAlbum(draw) {
  listeners.push(draw);
}

export function use(answer) {
  album = answer;
  for (const draw of listeners) draw(album);
}

/** Ask the server for a change of the album; whether it was done. What went wrong stands in the notice. */
export async function change(method, tail, body = undefined) {
  complain("");
  try {
    use(await api(method, path + tail, body));
    return true;
  } catch (error) {
    complain(wordsOf(error));
    return false;
  }
}

export const reload = () => change("GET", "");

/** A photo that has just been taken in. */
export function addPhoto(classId, photo) {
  const one = album.classes.find((other) => other.id === classId);
  if (!one || one.photos.some((other) => other.id === photo.id)) return;
  one.photos.push(photo);
  album.photos += 1;
}

/** The page's one notice of trouble. */
export function complain(words) {
  const notice = document.getElementById("notice");
  notice.textContent = words;
  if (words) notice.scrollIntoView({ block: "nearest" });
}

export const nameOf = (one) => inOurs(one.label, one.label_zh);

/** The class of that name, in either language. */
export function classNamed(name) {
  const plain = name.trim().toLowerCase();
  return album.classes.find((one) => [one.label, one.label_zh].some((other) => other?.trim().toLowerCase() === plain));
}

/** Add a class of a single name; it, or null where that failed. */
export async function addClass(name) {
  const isChinese = currentLanguage() === "zh";
  const isDone = await change("POST", "/classes", { label: name, label_zh: isChinese ? name : "" });
  return isDone ? classNamed(name) : null;
}

/** The two names in a form's fields; the first language's stands in for a missing English one. */
export function namesIn(form, prefix) {
  const [en, zh] = ["en", "zh"].map((code) => form.elements[`${prefix}_${code}`].value.trim());
  return { en, zh };
}
