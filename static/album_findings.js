// What the examination found, as soon as the photos have settled: a sentence, what to do, and the photos it speaks of.

import { api, wordsOf } from "./api.js";
import { showPhoto } from "./album_classes.js";
import { select } from "./album_selection.js";
import { album, onAlbum, path } from "./album_state.js";
import { announce, buttonOf, inOurs, make } from "./dom.js";
import { say } from "./texts.js";

const SETTLED_MS = 900;
const SHOWN = 8;
const REMOVABLE = ["tiny", "blurred", "exact_duplicate", "near_duplicate", "conflict"];

const state = document.getElementById("findings-state");
const list = document.getElementById("findings-list");
let timer = null;
let controller = null;
let seen = "";

/** Look again whenever the photos have changed; not while `isBusy()`. */
export function watchFindings(isBusy) {
  onAlbum(() => findSoon(isBusy));
}

export function findSoon(isBusy) {
  const now = JSON.stringify(album.classes.map((one) => [one.label, one.photos.map((photo) => photo.id)]));
  if (now === seen || isBusy()) return;
  seen = now;
  clearTimeout(timer);
  controller?.abort();
  if (album.photos > 0) timer = setTimeout(find, SETTLED_MS);
  else {
    list.replaceChildren();
    state.textContent = say("teach_findings_none_yet");
  }
}

async function find() {
  controller = new AbortController();
  state.textContent = say("teach_findings_looking");
  try {
    const { findings } = await api("GET", `${path}/findings`, undefined, controller.signal);
    list.replaceChildren(...findings.map(drawn));
    state.textContent = findings.length === 0 ? say("teach_findings_none")
      : findings.length === 1 ? say("teach_findings_one") : say("teach_findings_n", { n: findings.length });
    for (const finding of findings) announce(inOurs(finding.en, finding.zh));
  } catch (error) {
    if (error.name === "AbortError") return;
    seen = "";
    state.textContent = wordsOf(error);
  }
}

function drawn({ kind, en, zh, photos }) {
  const there = photos.filter((id) => album.classes.some((one) => one.photos.some((photo) => photo.id === id)));
  const doIt = adviceOn(kind);
  const canSelect = there.length > 0 && REMOVABLE.includes(kind);
  return make("li", { className: "finding" },
    make("p", {}, inOurs(en, zh)),
    doIt && make("p", { className: "hint" }, doIt),
    there.length > 0 ? make("ul", { className: "finding-photos" }, ...there.slice(0, SHOWN).map(thumbnail)) : null,
    there.length > SHOWN ? make("p", { className: "hint" }, say("teach_findings_more", { n: there.length - SHOWN })) : null,
    canSelect ? buttonOf(say("teach_findings_select"), () => {
      select(there, true, true);
      showPhoto(there[0]);
    }, "link") : null);
}

function thumbnail(id, place) {
  const image = make("img", { src: `${path}/photos/${id}?size=small`, alt: "", loading: "lazy" });
  const button = buttonOf(image, () => showPhoto(id), "finding-photo");
  button.setAttribute("aria-label", say("teach_findings_show", { n: place + 1 }));
  return make("li", {}, button);
}

function adviceOn(kind) {
  return {
    tiny: say("teach_do_tiny"),
    blurred: say("teach_do_blurred"),
    exact_duplicate: say("teach_do_exact_duplicate"),
    near_duplicate: say("teach_do_near_duplicate"),
    conflict: say("teach_do_conflict"),
    too_few: say("teach_do_too_few"),
    imbalance: say("teach_do_imbalance"),
  }[kind] ?? null;
}
