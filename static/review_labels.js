// The names that a mode knows: to be suggested, to be shown in the page's language, and to be told from new ones.

import { nameOf } from "./decision.js";
import { currentLanguage } from "./texts.js";

let modes = new Map();
const lists = new Map();

/** Ask the server once which modes there are; without an answer names are shown as they were stored. */
export async function learnLabels() {
  const reply = await fetch("/modes").catch(() => null);
  const known = reply?.ok ? (await reply.json()).modes : [];
  modes = new Map(known.map((mode) => [mode.key, mode.labels ?? []]));
}

/** A stored label in the page's language. */
export function shownLabel(mode, label) {
  const entry = modes.get(mode)?.find((one) => one.label === label);
  return entry ? nameOf(entry, currentLanguage()) : label;
}

/** What to store of a name that somebody typed: the mode's own label where it is one, in either language. */
export function storedLabel(mode, typed) {
  const name = typed.trim();
  for (const fold of [(text) => text, (text) => text.toLowerCase()]) {
    for (const field of ["label", "label_short", "label_zh"]) {
      const found = modes.get(mode)?.find((one) => fold(one[field] ?? "") === fold(name));
      if (found) return found.label;
    }
  }
  return name;
}

/** The id of the `<datalist>` of a mode, made when first asked for. */
export function listOf(mode) {
  if (!lists.has(mode)) {
    const list = Object.assign(document.createElement("datalist"), { id: `labels-${lists.size}` });
    const names = (modes.get(mode) ?? []).map((one) => nameOf(one, currentLanguage()));
    list.append(...names.map((value) => Object.assign(document.createElement("option"), { value })));
    document.body.append(list);
    lists.set(mode, list);
  }
  return lists.get(mode).id;
}
