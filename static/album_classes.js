// The things to tell apart: added by name, shown as chips that lead to their photos, and each with its section.

import { ClassSection } from "./album_class.js";
import { DRAGGED } from "./album_grid.js";
import { isSelected, movePhotos } from "./album_selection.js";
import { album, change, nameOf, namesIn, onAlbum } from "./album_state.js";
import { announce, make } from "./dom.js";
import { say } from "./texts.js";

const host = document.getElementById("classes");
const chips = document.getElementById("chips");
const form = document.getElementById("add");
const sections = new Map();

/** `onFound(found, classId)` gets what is chosen in a class. */
export function watchClasses(uploads, onFound) {
  form.addEventListener("submit", add);
  onAlbum(() => {
    const ids = album.classes.map((one) => one.id);
    for (const [id, section] of sections) {
      if (ids.includes(id)) continue;
      section.element.remove();
      sections.delete(id);
    }
    for (const one of album.classes) {
      if (!sections.has(one.id)) {
        const section = new ClassSection(one, uploads, (found) => onFound(found, one.id));
        sections.set(one.id, section);
        host.append(section.element);
      }
    }
    drawClasses();
  });
  for (const place of [host, chips]) watchDrags(place);
}

/** Draw all anew, or one class. */
export function drawClasses(id = null) {
  for (const one of album.classes) if (id === null || one.id === id) sections.get(one.id)?.draw(one);
  chips.replaceChildren(...album.classes.map(chip));
  document.getElementById("no-classes").hidden = album.classes.length > 0;
}

export function drawUploads(id) {
  sections.get(id)?.drawUploads();
}

/** Bring a photo into view, and the focus to it. */
export function showPhoto(photoId) {
  const one = album.classes.find((other) => other.photos.some((photo) => photo.id === photoId));
  if (!one) return;
  if (!document.getElementById(`photo-${photoId}`)) sections.get(one.id).grid.showAll();
  const item = document.getElementById(`photo-${photoId}`);
  item.scrollIntoView({ block: "center" });
  item.focus({ preventScroll: true });
  item.setAttribute("data-shown", "");
  setTimeout(() => item.removeAttribute("data-shown"), 2000);
}

function chip(one) {
  const link = make("a", { href: `#${one.id}` }, nameOf(one), " ", make("span", {}, String(one.photos.length)));
  const item = make("li", {}, link);
  item.dataset.class = one.id;
  return item;
}

async function add(event) {
  event.preventDefault();
  const { en, zh } = namesIn(form, "label");
  const first = form.querySelector("input");
  if (en || zh) {
    if (!(await change("POST", "/classes", { label: en || zh, label_zh: zh }))) return;
    announce(say("teach_added", { name: nameOf(album.classes.at(-1)) }));
    form.reset();
  }
  first.focus(); // for the next one
}

// Thumbnails are dropped onto another class, or onto its chip.
function watchDrags(place) {
  let over = null;
  const mark = (target) => {
    over?.removeAttribute("data-over");
    over = target;
    over?.setAttribute("data-over", "");
  };
  place.addEventListener("dragover", (event) => {
    const target = event.target.closest("[data-class]");
    if (!target || !event.dataTransfer.types.includes(DRAGGED)) return;
    event.preventDefault();
    mark(target);
  });
  for (const end of ["dragleave", "dragend"]) place.addEventListener(end, () => mark(null));
  place.addEventListener("drop", (event) => {
    const target = event.target.closest("[data-class]");
    mark(null);
    if (!target || !event.dataTransfer.types.includes(DRAGGED)) return;
    event.preventDefault();
    const photos = JSON.parse(event.dataTransfer.getData(DRAGGED)).filter(isSelected);
    if (photos.length > 0) movePhotos(photos, target.dataset.class);
  });
}
